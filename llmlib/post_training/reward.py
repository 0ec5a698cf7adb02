r"""The reward model: a number for an answer, learned from comparisons.

A judge prefers answer :math:`y_c` to :math:`y_r`. Bradley and Terry explain such comparisons by a
number for each answer; the reward model is trained to be this number:

.. math::

   p(y_c \succ y_r \mid x) = \sigma\bigl(r(x, y_c) - r(x, y_r)\bigr), \qquad
   \mathcal L = -\frac1B \sum \log \sigma\bigl(r(x, y_c) - r(x, y_r) - m\bigr)

==============  ====================================================  ============
code            what it is                                            shape
==============  ====================================================  ============
``chosen``      :math:`r(x, y_c)`, rewards of the preferred answers   ``(B,)``
``rejected``    :math:`r(x, y_r)`                                     ``(B,)``
``margin``      :math:`m`, how far apart they are to be, at least     ``(B,)``
``hidden``      what the decoder's last norm gives                    ``(B, T, D)``
``head``        :math:`w`: the reward is :math:`w \cdot h` at the     ``(D,)``
                last token; zero at the start
``offset``      taken from every reward, see
                :meth:`RewardModel.centre`
==============  ====================================================  ============

The loss knows differences only: a constant added to all rewards changes nothing.

References
----------
1. Bradley and Terry, *Rank Analysis of Incomplete Block Designs: I. The Method of Paired
   Comparisons*, Biometrika 39, 1952.
2. Stiennon et al., *Learning to Summarize from Human Feedback*, NeurIPS 2020, arXiv:2009.01325.
3. Ouyang et al., *Training Language Models to Follow Instructions with Human Feedback*, 2022,
   arXiv:2203.02155.
4. Touvron et al., *Llama 2: Open Foundation and Fine-Tuned Chat Models*, 2023, arXiv:2307.09288
   (the margin).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from llmlib.models import CausalLanguageModel
from llmlib.nn import Linear
from llmlib.post_training.preference_batches import PreferenceBatch
from llmlib.training import BatchLoss

__all__ = ["RewardLoss", "RewardModel", "pair_accuracy", "reward_ranking_loss"]


def reward_ranking_loss(
    chosen: Tensor, rejected: Tensor, *, margin: Tensor | float = 0.0
) -> Tensor:
    """Mean negative log-likelihood of the comparisons.

    Parameters
    ----------
    chosen, rejected : Tensor
        ``(B,)``, rewards of the answers that were preferred, and of the others.
    margin : Tensor or float
        ``(B,)`` or a number: how far apart they are to be, at least.

    Returns
    -------
    Tensor
        A number, in nats per pair; ln 2 where all rewards are equal.

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> reward_ranking_loss(torch.tensor([1.0, 5.0]), torch.tensor([1.0, 5.0]))  # ln 2
    tensor(0.6931)
    >>> reward_ranking_loss(torch.tensor([2.0]), torch.tensor([0.0]))  # ln(1 + e^-2)
    tensor(0.1269)
    """
    if chosen.shape != rejected.shape:
        raise ValueError(
            f"chosen rewards have shape {tuple(chosen.shape)}, rejected {tuple(rejected.shape)}: "
            "give a reward for both answers of each pair"
        )
    return -logsigmoid(chosen - rejected - margin).mean()


def pair_accuracy(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Share of pairs in which the preferred answer has the higher reward; a tie counts half.

    Parameters
    ----------
    chosen, rejected : Tensor
        ``(B,)``.

    Examples
    --------
    >>> pair_accuracy(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.0, 3.0, 2.0, 4.0]))
    tensor(0.6250)
    """
    return ((chosen > rejected).float() + 0.5 * (chosen == rejected).float()).mean()


class RewardModel(nn.Module):
    """A decoder that gives a text a number, read at its last token.

    Parameters
    ----------
    body : CausalLanguageModel
        Taken as it is and trained on; give a copy where the original is still needed.

    Attributes
    ----------
    offset : Tensor
        A number that is taken from every reward; 0 until :meth:`centre` sets it.

    Notes
    -----
    Equal to ``LlamaForSequenceClassification`` of transformers with one label.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> sizes = {"vocab_size": 8, "context_length": 4, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> reward = RewardModel(GPT(GPTConfig(**sizes)))
    >>> reward(torch.tensor([[1, 2, 3], [4, 5, 6]])).detach()  # it has no opinion yet
    tensor([0., 0.])
    """

    offset: Tensor

    def __init__(self, body: CausalLanguageModel) -> None:
        super().__init__()
        self.body = body
        weight = body.output_weight
        self.head = Linear(weight.shape[1], 1, bias=False).to(weight.device, weight.dtype)
        with torch.no_grad():
            self.head.weight.zero_()
        self.register_buffer("offset", weight.new_zeros(()))

    @property
    def config(self):
        """That of the decoder."""
        return self.body.config

    @property
    def blocks(self) -> nn.ModuleList:
        """Those of the decoder."""
        return self.body.blocks

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, *, positions: Tensor | None = None
    ) -> Tensor:
        """Reward of each text.

        Parameters
        ----------
        ids : Tensor
            ``(B, T)`` integers: prompt and answer, up to the mark that ends it.
        mask : Tensor, optional
            Boolean ``(B, T)``, False at padding.
        positions : Tensor, optional
            As for the decoder; texts padded on the left need them.

        Returns
        -------
        Tensor
            ``(B,)``.
        """
        rewards = self.at_each_token(ids, mask, positions=positions)  # (B, T)
        if mask is None:
            return rewards[:, -1]
        return rewards.gather(1, last_token(mask)[:, None])[:, 0]

    def at_each_token(
        self, ids: Tensor, mask: Tensor | None = None, *, positions: Tensor | None = None
    ) -> Tensor:
        """What the head reads at every token: ``(B, T) -> (B, T)``.

        Only the last number was trained; those before are what the model would say of a text that
        ended there.
        """
        hidden = self.body.hidden_states(ids, mask, positions=positions)  # (B, T, D)
        return self.head(hidden)[..., 0] - self.offset

    @torch.no_grad()
    def judge(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, size: int = 64
    ) -> Tensor:
        """Reward of answers given as lists of tokens, without gradients.

        Parameters
        ----------
        prompts, answers : sequence of sequences of int
            Tokens of each, as many answers as prompts.
        size : int
            Texts that are read at once.

        Returns
        -------
        Tensor
            ``(B,)``.

        Examples
        --------
        >>> from llmlib.models import GPT, GPTConfig
        >>> sizes = {"vocab_size": 8, "context_length": 4, "dim": 16, "num_layers": 1}
        >>> reward = RewardModel(GPT(GPTConfig(**sizes, num_heads=2)))
        >>> reward.judge([[1, 2], [1]], [[3], [4, 5]])
        tensor([0., 0.])
        """
        texts = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        device, found = self.head.weight.device, []
        for start in range(0, len(texts), size):
            part = [torch.tensor(text) for text in texts[start : start + size]]
            ids = nn.utils.rnn.pad_sequence(part, batch_first=True)
            lengths = torch.tensor([len(text) for text in part])
            mask = torch.arange(ids.shape[1]) < lengths[:, None]
            found.append(self(ids.to(device), mask.to(device)))
        return torch.cat(found)

    @torch.no_grad()
    def centre(self, rewards: Tensor) -> None:
        """Shift all rewards so that these, of answers of reference, have the mean 0."""
        self.offset += rewards.mean()


def last_token(mask: Tensor) -> Tensor:
    """Place of the last real token of each text: ``(B, T) -> (B,)``, on whichever side padding is.

    >>> last_token(torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0]]).bool())
    tensor([1, 3, 0])
    """
    return (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)


class RewardLoss(BatchLoss):
    """The ranking loss of a batch of pairs, for the argument ``loss`` of the Trainer.

    Parameters
    ----------
    model : RewardModel
        To be trained.
    precision : str
        As in :class:`~llmlib.training.TrainConfig`.
    center : float
        Weight of the mean of :math:`(r_c + r_r)^2`, which keeps rewards near 0.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> from llmlib.training import Batch
    >>> sizes = {"vocab_size": 8, "context_length": 4, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> loss = RewardLoss(RewardModel(GPT(GPTConfig(**sizes))))
    >>> side = Batch(ids=torch.ones(2, 3).long(), targets=torch.ones(2, 3).long(),
    ...              mask=torch.ones(2, 3).bool())
    >>> value, others = loss(PreferenceBatch(side, side))
    >>> round(value.item(), 4), others["accuracy"].item()
    (0.6931, 0.5)
    """

    def __init__(
        self, model: RewardModel, precision: str = "float32", *, center: float = 0.0
    ) -> None:
        super().__init__(model, precision)
        self.center = center

    def forward(self, batch: PreferenceBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss, in nats per pair; ``accuracy``, and ``margin``, the mean difference."""
        both = batch.joined
        with self._autocast(both.ids.device.type):
            rewards = self.model(both.ids, both.mask).float()  # (2 B,)
        chosen, rejected = rewards.chunk(2)
        loss = reward_ranking_loss(chosen, rejected)
        if self.center:
            loss = loss + self.center * (chosen + rejected).square().mean()
        return loss, {
            "accuracy": pair_accuracy(chosen, rejected),
            "margin": (chosen - rejected).mean(),
        }

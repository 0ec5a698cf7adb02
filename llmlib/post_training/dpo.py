r"""Direct preference optimisation: learn from comparisons without a reward model.

The policy that earns most, at a price of :math:`\beta` for each nat of distance from a reference,
is :math:`\pi(y \mid x) \propto \pi_{\text{ref}}(y \mid x)\, e^{r(x, y) / \beta}`. Solved for the
reward this gives, up to a term of the prompt alone, the *implicit reward* of a policy. A comparison
of two answers to one prompt knows differences only, so the term is gone:

.. math::

   \hat r(y) = \beta \log \frac{\pi(y \mid x)}{\pi_{\text{ref}}(y \mid x)}, \qquad
   h = \log \frac{\pi(y_c \mid x)}{\pi_{\text{ref}}(y_c \mid x)}
     - \log \frac{\pi(y_r \mid x)}{\pi_{\text{ref}}(y_r \mid x)}

.. math::

   \mathcal L_{\text{DPO}} = -\log \sigma(\beta h), \qquad
   \mathcal L_{\text{IPO}} = \Bigl(h - \frac{1}{2 \tau}\Bigr)^2, \qquad
   \mathcal L_{\text{SimPO}} = -\log \sigma\Bigl(\frac{\beta}{|y_c|} \log \pi(y_c \mid x)
     - \frac{\beta}{|y_r|} \log \pi(y_r \mid x) - \gamma\Bigr)

=========================  =================================================  =====================
code                       symbol                                             shape
=========================  =================================================  =====================
``policy_chosen_logps``    :math:`\log \pi(y_c \mid x)`, a sum over tokens    ``(B,)``
``policy_rejected_logps``  :math:`\log \pi(y_r \mid x)`                       ``(B,)``
``ref_chosen_logps``       :math:`\log \pi_{\text{ref}}(y_c \mid x)`          ``(B,)``
``ref_rejected_logps``     :math:`\log \pi_{\text{ref}}(y_r \mid x)`          ``(B,)``
``chosen_lengths``         :math:`\lvert y_c \rvert`, tokens of the answer    ``(B,)``
``rejected_lengths``       :math:`\lvert y_r \rvert`                          ``(B,)``
=========================  =================================================  =====================

References
----------
1. Rafailov et al., *Direct Preference Optimization: Your Language Model is Secretly a Reward
   Model*, NeurIPS 2023, arXiv:2305.18290.
2. Azar et al., *A General Theoretical Paradigm to Understand Learning from Human Preferences*,
   AISTATS 2024, arXiv:2310.12036 (IPO).
3. Meng, Xia and Chen, *SimPO: Simple Preference Optimization with a Reference-Free Reward*,
   NeurIPS 2024, arXiv:2405.14734.
4. Lambert et al., *Tülu 3: Pushing Frontiers in Open Language Model Post-Training*, 2024,
   arXiv:2411.15124 (DPO with lengths taken out).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from llmlib.post_training.log_probabilities import sequence_lengths, sequence_log_probabilities
from llmlib.post_training.preference_batches import PreferenceBatch
from llmlib.post_training.reward import pair_accuracy
from llmlib.training import BatchLoss

__all__ = [
    "DPOLoss",
    "dpo_loss",
    "implicit_reward",
    "ipo_loss",
    "length_normalized_dpo_loss",
    "simpo_loss",
]


def implicit_reward(policy_logps: Tensor, ref_logps: Tensor, beta: float) -> Tensor:
    """The reward for which the policy is the best one, up to a number for each prompt.

    Parameters
    ----------
    policy_logps, ref_logps : Tensor
        ``(...)``, log-probabilities of the same answers.
    beta : float
        Reward that a nat of distance from the reference costs.

    Examples
    --------
    >>> implicit_reward(torch.tensor([-3.0, -5.0]), torch.tensor([-4.0, -4.0]), beta=0.5)
    tensor([ 0.5000, -0.5000])
    """
    return beta * (policy_logps - ref_logps)


def dpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    beta: float,
) -> Tensor:
    r"""Mean negative log-likelihood of the comparisons under the implicit rewards.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps : Tensor
        ``(B,)``, log-probabilities of whole answers, not of the prompt, under the policy.
    ref_chosen_logps, ref_rejected_logps : Tensor
        ``(B,)``, the same under the reference, without gradient.
    beta : float
        Above 0. A small one lets the policy go far from the reference for the same comparisons.

    Returns
    -------
    Tensor
        A number, in nats per pair; ln 2 where the policy is the reference.

    Raises
    ------
    ValueError
        The shapes differ, or ``beta`` is not above 0.

    Notes
    -----
    A pair pulls with the weight that is given to the wrong order: the gradient for the chosen
    answer's log-probability is :math:`-\beta\, \sigma(-\beta h) / B`, for the rejected one's the
    same with the other sign. Only the difference is pulled, so both may fall.

    Examples
    --------
    >>> chosen, rejected = torch.tensor([-4.0]), torch.tensor([-6.0])
    >>> dpo_loss(chosen, rejected, chosen, rejected, beta=0.1)  # ln 2
    tensor(0.6931)
    >>> dpo_loss(chosen + 10, rejected - 10, chosen, rejected, beta=0.1)  # ln(1 + e^-2)
    tensor(0.1269)
    """
    gap = _gap(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    return -logsigmoid(_positive(beta, "beta") * gap).mean()


def ipo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    tau: float,
) -> Tensor:
    r"""Mean squared distance of the gap from :math:`1 / (2 \tau)`, where it stops growing.

    DPO pulls at a pair that is never contradicted for ever; this has a place to rest.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps : Tensor
        ``(B,)``. The paper writes whole answers; its authors and trl use means over the tokens of
        each answer, so that long answers do not need another ``tau``.
    tau : float
        Above 0, the price of distance.

    Returns
    -------
    Tensor
        A number; :math:`1 / (4 \tau^2)` where the policy is the reference.

    Raises
    ------
    ValueError
        The shapes differ, or ``tau`` is not above 0.

    Examples
    --------
    >>> chosen, rejected = torch.tensor([-4.0]), torch.tensor([-6.0])
    >>> ipo_loss(chosen, rejected, chosen, rejected, tau=0.25)  # (0 - 2)²
    tensor(4.)
    >>> ipo_loss(chosen + 1.5, rejected - 0.5, chosen, rejected, tau=0.25)
    tensor(0.)
    """
    gap = _gap(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    return (gap - 1 / (2 * _positive(tau, "tau"))).square().mean()


def length_normalized_dpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    beta: float,
) -> Tensor:
    """:func:`dpo_loss` of means over tokens: a longer answer moves the loss no further.

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps : Tensor
        ``(B,)``, as for :func:`dpo_loss`.
    chosen_lengths, rejected_lengths : Tensor
        ``(B,)``, tokens of the answers.
    beta : float
        Above 0; about as many times larger than that of DPO as an answer has tokens.

    Returns
    -------
    Tensor
        A number, in nats per pair.

    Examples
    --------
    >>> chosen, rejected = torch.tensor([-4.0]), torch.tensor([-60.0])
    >>> lengths = torch.tensor([2]), torch.tensor([20])
    >>> length_normalized_dpo_loss(
    ...     chosen + 2, rejected - 20, chosen, rejected, *lengths, beta=1.0
    ... )  # ln(1 + e^-2)
    tensor(0.1269)
    """
    return dpo_loss(
        policy_chosen_logps / chosen_lengths,
        policy_rejected_logps / rejected_lengths,
        ref_chosen_logps / chosen_lengths,
        ref_rejected_logps / rejected_lengths,
        beta,
    )


def simpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    beta: float,
    gamma: float = 0.0,
) -> Tensor:
    """A comparison of mean log-probabilities, without a reference.

    Parameters
    ----------
    chosen_logps, rejected_logps : Tensor
        ``(B,)``, log-probabilities of whole answers under the policy.
    chosen_lengths, rejected_lengths : Tensor
        ``(B,)``, tokens of the answers.
    beta : float
        Above 0.
    gamma : float
        How far apart the two rewards are to be, at least.

    Returns
    -------
    Tensor
        A number, in nats per pair.

    Examples
    --------
    >>> simpo_loss(torch.tensor([-2.0]), torch.tensor([-9.0]), torch.tensor([2]),
    ...            torch.tensor([3]), beta=2.0, gamma=2.0)  # ln(1 + e^-2)
    tensor(0.1269)
    """
    _same_shape(chosen_logps, rejected_logps, chosen_lengths, rejected_lengths)
    gap = chosen_logps / chosen_lengths - rejected_logps / rejected_lengths
    return -logsigmoid(_positive(beta, "beta") * gap - gamma).mean()


class DPOLoss(BatchLoss):
    """The loss of a batch of pairs against a frozen reference, for the Trainer's ``loss``.

    Parameters
    ----------
    model : torch.nn.Module
        The policy: ``model(ids, mask)`` gives logits ``(B, T, V)``.
    precision : str
        As in :class:`~llmlib.training.TrainConfig`.
    reference : torch.nn.Module
        Where the policy began, a model of its own. It is frozen here and stays in evaluation mode.
        It is in no checkpoint: a run that resumes needs the same one again.
    beta : float
        As in :func:`dpo_loss`; ``tau`` of :func:`ipo_loss`.
    objective : callable
        :func:`dpo_loss`, :func:`ipo_loss` or another function of the same five arguments.
    per_token : bool
        Whether the objective gets means over the tokens of an answer instead of sums. With
        :func:`dpo_loss` this is :func:`length_normalized_dpo_loss`.

    Raises
    ------
    ValueError
        The reference is the model or shares weights with it.

    Examples
    --------
    >>> import copy
    >>> from llmlib.models import GPT, GPTConfig
    >>> from llmlib.training import Batch
    >>> sizes = {"vocab_size": 8, "context_length": 4, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> policy = GPT(GPTConfig(**sizes))
    >>> loss = DPOLoss(policy, reference=copy.deepcopy(policy), beta=0.1)
    >>> side = Batch(ids=torch.ones(2, 3).long(), targets=torch.ones(2, 3).long(),
    ...              mask=torch.ones(2, 3).bool())
    >>> value, others = loss(PreferenceBatch(side, side))
    >>> round(value.item(), 4), others["chosen_length"].item()
    (0.6931, 3.0)
    """

    def __init__(
        self,
        model: nn.Module,
        precision: str = "float32",
        *,
        reference: nn.Module,
        beta: float = 0.1,
        objective: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor] = dpo_loss,
        per_token: bool = False,
    ) -> None:
        super().__init__(model, precision)
        own = {id(weight) for weight in model.parameters()}
        if any(id(weight) in own for weight in reference.parameters()):
            raise ValueError(
                "the reference shares weights with the model, so it would move along: give a "
                "copy.deepcopy of the model, made before training"
            )
        self.reference = reference.requires_grad_(False).eval()
        self.beta, self.objective, self.per_token = _positive(beta, "beta"), objective, per_token

    def train(self, mode: bool = True) -> DPOLoss:
        """Set the mode of the policy; the reference has no dropout in either."""
        super().train(mode)
        self.reference.eval()
        return self

    def forward(self, batch: PreferenceBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss per pair, and means over the pairs.

        Returns
        -------
        tuple of Tensor and dict
            The dictionary has ``accuracy``, the share of pairs whose implicit rewards are in the
            right order (a tie counts half); ``margin``, the difference of these rewards;
            ``chosen_logp`` and ``rejected_logp``, log-probabilities of whole answers under the
            policy; ``kl``, how far the policy is from the reference in nats per answer, exact at
            each token but along the answers of the data, not along the policy's own;
            ``chosen_length`` and ``rejected_length``, tokens of an answer.
        """
        both = batch.joined
        with self._autocast(both.ids.device.type):
            logits = self.model(both.ids, both.mask).float()  # (2 B, T, V)
            with torch.no_grad():
                ref_logits = self.reference(both.ids, both.mask).float()  # (2 B, T, V)
        logps = sequence_log_probabilities(logits, both.targets)  # (2 B,)
        ref_logps = sequence_log_probabilities(ref_logits, both.targets)  # (2 B,)
        lengths = sequence_lengths(both.targets)  # (2 B,)
        scale = lengths.clamp(min=1) if self.per_token else 1
        loss = self.objective(*(logps / scale).chunk(2), *(ref_logps / scale).chunk(2), self.beta)
        with torch.no_grad():
            chosen, rejected = implicit_reward(logps, ref_logps, self.beta).chunk(2)
            kl = _divergence(logits, ref_logits).where(both.targets >= 0, 0).sum(-1)  # (2 B,)
            chosen_logps, rejected_logps = logps.chunk(2)
            chosen_lengths, rejected_lengths = lengths.float().chunk(2)
        return loss, {
            "accuracy": pair_accuracy(chosen, rejected),
            "margin": (chosen - rejected).mean(),
            "chosen_logp": chosen_logps.mean(),
            "rejected_logp": rejected_logps.mean(),
            "kl": kl.mean(),
            "chosen_length": chosen_lengths.mean(),
            "rejected_length": rejected_lengths.mean(),
        }


def _divergence(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """KL(policy || reference) of the next token: ``(..., V) -> (...)``."""
    logs, ref_logs = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return (logs.exp() * (logs - ref_logs)).sum(-1)


def _gap(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor) -> Tensor:
    """How much further the chosen answer has risen above the reference: ``(B,)``."""
    _same_shape(chosen, rejected, ref_chosen, ref_rejected)
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def _same_shape(*tensors: Tensor) -> None:
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if len(set(shapes)) > 1:
        raise ValueError(f"shapes {shapes} differ: give one number for each answer of each pair")


def _positive(value: float, name: str) -> float:
    if not value > 0:
        raise ValueError(f"{name}={value}: the price of distance has to be above 0")
    return value

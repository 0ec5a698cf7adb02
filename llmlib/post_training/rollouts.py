"""Rollouts: what a policy wrote for a batch of prompts, ready to be judged.

A batch has one width. Prompts are padded on the left and responses on the right, so that every
response begins at the same column::

    prompt_length = 3      responses
    [ -  the fox ]   [ was  sad  end ]
    [ the big owl ]  [ ran  end   -  ]

The model's output at a column scores the token of the next one. So the logits of the responses
are those from the last column of the prompts to the last but one of all.

===================  =============================================  =============
code                 what it is                                     shape
===================  =============================================  =============
``ids``              prompts and responses, P + T columns           ``(B, P + T)``
``mask``             True at real tokens                            ``(B, P + T)``
``responses``        the last T columns                             ``(B, T)``
``response_mask``    True up to the stop token, which is included   ``(B, T)``
===================  =============================================  =============
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llmlib.generation import generate, pad_left
from llmlib.models import CausalLanguageModel
from llmlib.post_training.log_probabilities import token_entropy, token_log_probabilities
from llmlib.post_training.value import ValueModel

__all__ = [
    "Rollouts",
    "response_log_probabilities",
    "response_logits",
    "response_values",
    "sample_responses",
]


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """Prompts with their responses.

    Parameters
    ----------
    ids : Tensor
        ``(B, P + T)`` integers.
    mask : Tensor
        Boolean ``(B, P + T)``.
    prompt_length : int
        Columns P of the prompts.
    """

    ids: Tensor
    mask: Tensor
    prompt_length: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def responses(self) -> Tensor:
        """``(B, T)``."""
        return self.ids[:, self.prompt_length :]

    @property
    def response_mask(self) -> Tensor:
        """``(B, T)``."""
        return self.mask[:, self.prompt_length :]

    @property
    def positions(self) -> Tensor:
        """Place of each token in its own text: ``(B, P + T)``."""
        return (self.mask.cumsum(dim=1) - 1).clamp(min=0)

    @property
    def lengths(self) -> Tensor:
        """Tokens of each response, the stop token included: ``(B,)``."""
        return self.response_mask.sum(dim=1)

    def lists(self) -> tuple[list[list[int]], list[list[int]]]:
        """Prompts and responses as lists of tokens, without padding."""
        prompts, responses = [], []
        for ids, mask in zip(self.ids, self.mask, strict=True):
            for found, part in ((prompts, slice(self.prompt_length)),
                                (responses, slice(self.prompt_length, None))):  # fmt: skip
                found.append(ids[part][mask[part]].tolist())
        return prompts, responses

    def rows(self, rows: Tensor | slice) -> Rollouts:
        """Some of the texts."""
        return Rollouts(ids=self.ids[rows], mask=self.mask[rows], prompt_length=self.prompt_length)


def sample_responses(
    policy: CausalLanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int] = (),
    temperature: float = 1.0,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Rollouts:
    """Let a policy answer prompts, with the key-value cache.

    Parameters
    ----------
    policy : CausalLanguageModel
        The model that writes.
    prompts : sequence of sequences of int
        At least one token each.
    max_new_tokens : int
        Longest response; one that has not stopped is cut.
    stop_ids : sequence of int
        Tokens that end a response.
    temperature : float
        Above 0; see :func:`~llmlib.generation.generate`.
    top_p : float, optional
        The same. What is drawn with it does not come from the policy's own distribution: it is for
        looking at what a policy writes, not for PPO.
    generator : torch.Generator, optional
        Of the random numbers.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> sizes = {"vocab_size": 8, "context_length": 8, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> found = sample_responses(GPT(GPTConfig(**sizes)), [[1, 2, 3], [4]], max_new_tokens=5)
    >>> found.ids.shape, found.lists()[0]
    (torch.Size([2, 8]), [[1, 2, 3], [4]])
    """
    device = next(policy.parameters()).device
    ids, mask = (tensor.to(device) for tensor in pad_left(prompts))
    written = generate(
        policy,
        ids,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        stop_ids=stop_ids,
        mask=mask,
        generator=generator,
    )
    responses = written[:, ids.shape[1] :]  # (B, T)
    stops = torch.isin(responses, torch.tensor(list(stop_ids), device=device, dtype=ids.dtype))
    ended_before = (stops.cumsum(dim=1) - stops.int()) > 0
    return Rollouts(
        ids=written, mask=torch.cat((mask, ~ended_before), dim=1), prompt_length=ids.shape[1]
    )


def response_log_probabilities(
    model: CausalLanguageModel, rollouts: Rollouts, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Log-probability of every token of the responses, and the entropy at its place.

    Parameters
    ----------
    model : CausalLanguageModel
        The policy or the reference.
    rollouts : Rollouts
        What was written.
    temperature : float
        With which it was drawn: the policy is the distribution that is drawn from.

    Returns
    -------
    tuple of Tensor
        ``(B, T)`` each, the entropy without a gradient. What stands at padding means nothing.
    """
    logits = response_logits(model, rollouts, temperature=temperature)
    return token_log_probabilities(logits, rollouts.responses), token_entropy(logits.detach())


def response_logits(
    model: CausalLanguageModel, rollouts: Rollouts, *, temperature: float = 1.0
) -> Tensor:
    """Scores from which every token of the responses was drawn: ``(B, T, V)``.

    Parameters
    ----------
    model, rollouts, temperature
        As for :func:`response_log_probabilities`.
    """
    hidden = model.hidden_states(
        rollouts.ids[:, :-1], rollouts.mask[:, :-1], positions=rollouts.positions[:, :-1]
    )
    return model.logits(hidden[:, rollouts.prompt_length - 1 :]) / temperature


def response_values(model: ValueModel, rollouts: Rollouts) -> Tensor:
    """What the value model expects before every token of the responses: ``(B, T)``."""
    values = model(
        rollouts.ids[:, :-1], rollouts.mask[:, :-1], positions=rollouts.positions[:, :-1]
    )
    return values[:, rollouts.prompt_length - 1 :]

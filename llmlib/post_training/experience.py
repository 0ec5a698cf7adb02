"""What a step of PPO learns from: texts, and a number for each of their tokens.

==============  ==============================================  ===========
code            what it is                                      shape
==============  ==============================================  ===========
``scores``      reward of each text                             ``(B,)``
``logps``       of the policy that drew the tokens              ``(B, T)``
``ref_logps``   of the reference                                ``(B, T)``
``values``      of the value model                              ``(B, T)``
``entropy``     of the policy, in nats                          ``(B, T)``
``advantages``  how much better than expected, whitened         ``(B, T)``
``returns``     what came: advantage, not whitened, plus value  ``(B, T)``
==============  ==============================================  ===========
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from llmlib.models import CausalLanguageModel
from llmlib.post_training.advantages import generalized_advantage_estimate, masked_mean, whiten
from llmlib.post_training.kl import kl_estimates, token_rewards
from llmlib.post_training.log_probabilities import token_log_probabilities
from llmlib.post_training.ppo_config import PPOConfig
from llmlib.post_training.rollouts import (
    Rollouts,
    response_log_probabilities,
    response_logits,
    response_values,
)
from llmlib.post_training.value import ValueModel

__all__ = ["Experience", "judge_tokens"]


@dataclass(frozen=True, kw_only=True)
class Experience:
    """Texts, and a number for each of their tokens; the fields are those of the table above."""

    rollouts: Rollouts
    scores: Tensor
    logps: Tensor
    ref_logps: Tensor
    values: Tensor
    entropy: Tensor
    advantages: Tensor
    returns: Tensor

    @property
    def kl(self) -> Tensor:
        """KL of each text from the reference, in nats, estimated by k1: ``(B,)``."""
        k1 = kl_estimates(self.logps, self.ref_logps).k1
        return k1.where(self.rollouts.response_mask, 0).sum(dim=1)

    def summary(self, stop_ids: tuple[int, ...]) -> dict[str, float]:
        """Means over the texts: reward, KL, entropy, length, share that wrote a stop token."""
        mask, responses = self.rollouts.response_mask, self.rollouts.responses
        stops = torch.tensor(stop_ids, device=mask.device, dtype=responses.dtype)
        ended = (torch.isin(responses, stops) & mask).any(dim=1)
        return {
            "reward": self.scores.mean().item(),
            "kl": self.kl.mean().item(),
            "entropy": masked_mean(self.entropy, mask).item(),
            "length": self.rollouts.lengths.double().mean().item(),
            "ended": ended.double().mean().item(),
        }


@torch.no_grad()
def judge_tokens(
    rollouts: Rollouts,
    scores: Tensor,
    *,
    policy: CausalLanguageModel,
    reference: CausalLanguageModel,
    value: ValueModel,
    kl_coefficient: float,
    config: PPOConfig,
) -> Experience:
    """From a number for each text to an advantage for each token.

    Parameters
    ----------
    rollouts : Rollouts
        What the policy wrote.
    scores : Tensor
        ``(B,)``, the reward of each text.
    policy, reference, value
        Three of the four models; the fourth gave the scores.
    kl_coefficient : float
        What a nat of distance from the reference costs.
    config : PPOConfig
        Gives ``gamma``, ``lam``, ``temperature``, and how many texts to read at once.

    Returns
    -------
    Experience
        Without gradients.
    """
    parts = []
    for start in range(0, len(rollouts), config.minibatch_size):
        part = rollouts.rows(slice(start, start + config.minibatch_size))
        logps, entropy = response_log_probabilities(policy, part, temperature=config.temperature)
        logits = response_logits(reference, part, temperature=config.temperature)
        ref_logps = token_log_probabilities(logits, part.responses)
        parts.append((logps, ref_logps, response_values(value, part), entropy))
    logps, ref_logps, values, entropy = (torch.cat(found) for found in zip(*parts, strict=True))
    mask = rollouts.response_mask
    rewards = token_rewards(scores, logps, ref_logps, mask, kl_coefficient)
    advantages = generalized_advantage_estimate(
        rewards, values, config.gamma, config.lam, mask=mask
    )
    return Experience(
        rollouts=rollouts,
        scores=scores,
        logps=logps,
        ref_logps=ref_logps,
        values=values,
        entropy=entropy,
        advantages=whiten(advantages, mask),
        returns=advantages + values,
    )

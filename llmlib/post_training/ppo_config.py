"""How to train with PPO."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["PPOConfig"]


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """How to train with PPO.

    Parameters
    ----------
    steps : int
        Times that the policy writes and learns.
    max_new_tokens : int
        Longest response.
    minibatch_size : int
        Texts of one update.
    epochs : int
        Times that the texts of a step are gone through.
    lr, value_lr : float
        Learning rates of the policy and of the value model.
    value_first : int
        Steps at the beginning in which only the value model learns.
    gamma, lam : float
        See :func:`~llmlib.post_training.generalized_advantage_estimate`.
    clip, value_clip : float
        See :func:`~llmlib.post_training.ppo_clip_loss` and
        :func:`~llmlib.post_training.value_clip_loss`.
    clip_norm : float
        Longest gradient, of either model.
    temperature : float
        At which responses are drawn, above 0.
    max_kl : float
        Mean KL of a text, in nats, at which the run is stopped as lost.
    save_every : int
        Steps between checkpoints; 0 for none.
    keep : int
        Checkpoints that stay on the disk.

    Examples
    --------
    >>> PPOConfig(steps=50, max_new_tokens=32).clip
    0.2
    """

    steps: int
    max_new_tokens: int
    minibatch_size: int = 16
    epochs: int = 2
    lr: float = 1e-4
    value_lr: float = 1e-3
    value_first: int = 0
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float = math.inf
    clip_norm: float = 1.0
    temperature: float = 1.0
    max_kl: float = 200.0
    save_every: int = 0
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("steps", "max_new_tokens", "minibatch_size", "epochs", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: it must be at least 1")
        for name in ("clip", "value_clip", "clip_norm", "temperature", "max_kl"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: it must be positive")

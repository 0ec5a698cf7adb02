"""What stops a PPO run that will not come back, and what says that two runs are one."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

from llmlib.post_training.ppo_config import PPOConfig
from llmlib.training import DivergenceError

__all__ = ["check_rollouts", "check_update", "fingerprint"]


def check_rollouts(scores: Tensor, kl: float, coefficient: float, config: PPOConfig) -> None:
    """Look at what the policy wrote before it learns from it.

    Parameters
    ----------
    scores : Tensor
        ``(B,)``, the rewards.
    kl : float
        Mean KL of a text from the reference, in nats.
    coefficient : float
        What a nat costs now.
    config : PPOConfig
        Of the run.

    Raises
    ------
    DivergenceError
        A reward is not finite, or the policy is farther away than ``max_kl``.

    Examples
    --------
    >>> config = PPOConfig(steps=9, max_new_tokens=8, max_kl=50.0)
    >>> check_rollouts(torch.tensor([1.0, 2.0]), 3.0, 0.05, config)
    >>> check_rollouts(torch.tensor([1.0, float("nan")]), 3.0, 0.05, config)
    Traceback (most recent call last):
    ...
    llmlib.training.guards.DivergenceError: the reward of text 1 is nan: a score must be a finite \
number. Try the reward model on that text alone.
    """
    strange = (~torch.isfinite(scores)).nonzero()
    if len(strange):
        row = int(strange[0])
        raise DivergenceError(
            f"the reward of text {row} is {float(scores[row])}: a score must be a finite number. "
            "Try the reward model on that text alone."
        )
    if not kl <= config.max_kl:
        raise DivergenceError(
            f"the policy is {kl:.1f} nats per text from its reference, more than "
            f"max_kl={config.max_kl:g}. Try a larger KL coefficient (now {coefficient:.3g}), a "
            f"lower lr (now {config.lr:.3g}) or fewer epochs, and read the texts: the reward may "
            "be exploited."
        )


def check_update(row: dict[str, float], config: PPOConfig) -> None:
    """Look at the losses and gradients of an update.

    Parameters
    ----------
    row : dict
        ``loss``, ``grad_norm``, ``value_loss`` and ``value_grad_norm``.
    config : PPOConfig
        Of the run.

    Raises
    ------
    DivergenceError
        One of them is not finite.

    Examples
    --------
    >>> row = {"loss": 0.1, "grad_norm": 1.0, "value_loss": 2.0, "value_grad_norm": float("inf")}
    >>> check_update(row, PPOConfig(steps=9, max_new_tokens=8))
    Traceback (most recent call last):
    ...
    llmlib.training.guards.DivergenceError: value_grad_norm is inf. Try a lower value_lr (now \
0.001), a smaller clip_norm or fewer epochs, and look at the largest reward.
    """
    names = ("loss", "grad_norm", "value_loss", "value_grad_norm")
    broken = [name for name in names if not math.isfinite(row[name])]
    if broken:
        rate = "value_lr" if all(name.startswith("value") for name in broken) else "lr"
        written = ", ".join(f"{name} is {row[name]}" for name in broken)
        raise DivergenceError(
            f"{written}. Try a lower {rate} (now {getattr(config, rate):.3g}), a smaller clip_norm "
            "or fewer epochs, and look at the largest reward."
        )


def fingerprint(model: nn.Module) -> str:
    """A short string that any change of a weight changes.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> before = fingerprint(layer)
    >>> with torch.no_grad():
    ...     _ = layer.bias.add_(1)
    >>> fingerprint(layer) == before
    False
    """
    digest = hashlib.blake2b(digest_size=8)
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

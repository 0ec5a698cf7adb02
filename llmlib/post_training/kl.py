r"""How far a policy has gone from its reference, and what that costs.

For a token drawn from the policy, with :math:`\Delta = \log \pi(y) - \log \pi_{\text{ref}}(y)`:

.. math::

   k_1 = \Delta, \qquad k_2 = \tfrac12 \Delta^2, \qquad k_3 = e^{-\Delta} - 1 + \Delta

The mean of :math:`k_1` and that of :math:`k_3` is
:math:`\operatorname{KL}(\pi \Vert \pi_{\text{ref}})` exactly; the mean of :math:`k_2` is near it
while the two are close. What a token earns is the penalty, and at the last token the reward too:

.. math::

   r_t = -\beta\, k_1(y_t) + [\,t = T - 1\,]\, R

===============  ==============================  ===========================
code             symbol                          shape
===============  ==============================  ===========================
``logps``        :math:`\log \pi(y_t)`           ``(B, T)``
``ref_logps``    :math:`\log \pi_{ref}(y_t)`     ``(B, T)``
``scores``       :math:`R`                       ``(B,)``, a number per text
``mask``                                         ``(B, T)``, False at padding
``coefficient``  :math:`\beta`                   a number
===============  ==============================  ===========================

References
----------
1. Ziegler et al., *Fine-Tuning Language Models from Human Preferences*, 2019, arXiv:1909.08593
   (the penalty in the reward, and the controller).
2. Schulman, *Approximating KL Divergence*, 2020, joschu.net/blog/kl-approx.html (k1, k2, k3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["AdaptiveKL", "FixedKL", "KLControl", "KLEstimates", "kl_estimates", "token_rewards"]


class KLEstimates(NamedTuple):
    """Three estimates of the KL divergence for each token, of the same shape."""

    k1: Tensor
    k2: Tensor
    k3: Tensor


def kl_estimates(logps: Tensor, ref_logps: Tensor) -> KLEstimates:
    """Estimate KL(policy || reference) from tokens that the policy drew.

    Parameters
    ----------
    logps, ref_logps : Tensor
        Log-probabilities of the same tokens under both, of one shape.

    Returns
    -------
    KLEstimates
        ``k1`` may be negative, ``k2`` and ``k3`` never; all are 0 where the two agree.

    Notes
    -----
    Source: Schulman 2020.

    Examples
    --------
    >>> k1, k2, k3 = kl_estimates(torch.tensor([-1.0, -2.0]), torch.tensor([-1.0, -1.0]))
    >>> k1, k2, k3
    (tensor([ 0., -1.]), tensor([0.0000, 0.5000]), tensor([0.0000, 0.7183]))
    """
    difference = logps - ref_logps
    return KLEstimates(
        k1=difference, k2=0.5 * difference.square(), k3=torch.expm1(-difference) + difference
    )


def token_rewards(
    scores: Tensor, logps: Tensor, ref_logps: Tensor, mask: Tensor, coefficient: float
) -> Tensor:
    """What each token earns: the KL penalty, and at the last token of a text its score.

    Parameters
    ----------
    scores : Tensor
        ``(B,)``, from the reward model.
    logps, ref_logps : Tensor
        ``(B, T)``.
    mask : Tensor
        Boolean ``(B, T)``, False at padding behind a text.
    coefficient : float
        Reward that a nat of distance costs.

    Returns
    -------
    Tensor
        ``(B, T)``; 0 at padding. Its sum over a text is the score minus the coefficient times k1
        of the text.

    Examples
    --------
    >>> logps = torch.tensor([[-1.0, -1.0, -9.0]])
    >>> ref_logps = torch.tensor([[-1.5, -1.0, -9.0]])
    >>> mask = torch.tensor([[True, True, False]])
    >>> token_rewards(torch.tensor([2.0]), logps, ref_logps, mask, coefficient=0.1)
    tensor([[-0.0500,  2.0000,  0.0000]])
    """
    if not bool(mask.any(dim=-1).all()):
        raise ValueError("a text without a token earns nothing: every row of mask needs one True")
    penalties = (-coefficient * (logps - ref_logps)).where(mask, 0)  # (B, T)
    last = mask.shape[-1] - 1 - mask.flip(-1).int().argmax(dim=-1)  # (B,)
    return penalties.scatter_add(-1, last[:, None], scores[:, None].to(penalties.dtype))


class KLControl(Protocol):
    """Says what a nat of distance costs, and may change its mind after each step."""

    coefficient: float

    def update(self, kl: float) -> None:
        """Take note of the mean KL of a text, in nats."""


@dataclass
class FixedKL:
    """The same price throughout.

    Parameters
    ----------
    coefficient : float
        Reward that a nat costs; 0 lets the policy go where it likes.

    Examples
    --------
    >>> control = FixedKL(0.05)
    >>> control.update(kl=30.0)
    >>> control.coefficient
    0.05
    """

    coefficient: float

    def update(self, kl: float) -> None:
        """Nothing changes."""


@dataclass
class AdaptiveKL:
    r"""A price that follows a target: dearer when the policy is too far away, else cheaper.

    .. math::

       \beta \leftarrow \beta \Bigl(1 + g \operatorname{clip}\bigl(
       \tfrac{\mathrm{KL} - \mathrm{target}}{\mathrm{target}}, -0.2, 0.2 \bigr)\Bigr)

    Parameters
    ----------
    coefficient : float
        Price at the beginning, above 0.
    target : float
        KL of a text to aim at, in nats.
    gain : float
        :math:`g`; with the 0.1 of the paper a step changes the price by 2 % at most.

    Notes
    -----
    Source: Ziegler et al. 2019, section 2.2.

    Examples
    --------
    >>> control = AdaptiveKL(0.1, target=6.0)
    >>> control.update(kl=12.0)  # twice as far: the clip holds it at 2 %
    >>> round(control.coefficient, 4)
    0.102
    >>> control.update(kl=5.4)  # a tenth too near
    >>> round(control.coefficient, 4)
    0.101
    """

    coefficient: float
    target: float
    gain: float = 0.1

    def __post_init__(self) -> None:
        if self.coefficient <= 0 or self.target <= 0 or self.gain <= 0:
            raise ValueError(
                f"coefficient={self.coefficient}, target={self.target}, gain={self.gain}: all must "
                "be positive; a price of 0 could never rise"
            )

    def update(self, kl: float) -> None:
        """Raise or lower the price after a step whose texts had this mean KL."""
        error = min(max((kl - self.target) / self.target, -0.2), 0.2)
        self.coefficient *= 1 + self.gain * error

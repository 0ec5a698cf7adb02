r"""How much better a token was than expected.

.. math::

   \delta_t = r_t + \gamma V_{t+1} - V_t, \qquad
   A_t = \sum_{l \ge 0} (\gamma \lambda)^l\, \delta_{t+l} = \delta_t + \gamma \lambda A_{t+1}

=============  =====================  ==========================================
code           symbol                 shape
=============  =====================  ==========================================
``rewards``    :math:`r`              ``(..., T)``
``values``     :math:`V`              ``(..., T)``, or ``(..., T + 1)`` with the
                                      value of the state behind the last token
``gamma``      :math:`\gamma`         a number; 1 where texts are short
``lam``        :math:`\lambda`        a number: 0 trusts the values, 1 the rewards
=============  =====================  ==========================================

References
----------
1. Schulman et al., *High-Dimensional Continuous Control Using Generalized Advantage Estimation*,
   ICLR 2016, arXiv:1506.02438.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["generalized_advantage_estimate", "masked_mean", "whiten"]


def generalized_advantage_estimate(
    rewards: Tensor, values: Tensor, gamma: float, lam: float, *, mask: Tensor | None = None
) -> Tensor:
    """Advantage of each token, from the last to the first.

    Parameters
    ----------
    rewards : Tensor
        ``(..., T)``: what each token earned.
    values : Tensor
        ``(..., T)``: what was expected before each token. ``(..., T + 1)`` where the text was cut
        and goes on: the last is expected after the cut. Otherwise nothing comes after the end.
    gamma : float
        What a reward of the next step is worth now, in ``[0, 1]``.
    lam : float
        In ``[0, 1]``. At 0 an advantage is the error of one step; at 1 it is the discounted sum of
        all rewards to come, minus the value.
    mask : Tensor, optional
        Boolean ``(..., T)``, False at padding behind a text. Its rewards and values do not count.

    Returns
    -------
    Tensor
        ``(..., T)``; 0 at padding. Adding the values gives the returns that a value model learns.

    Raises
    ------
    ValueError
        The shapes do not match, or a number is outside its range.

    Notes
    -----
    Source: Schulman et al. 2016.

    Examples
    --------
    A text of three tokens that earns 1 at its end. The value model expected a half throughout, so
    the last token gets all the praise when one step is looked at, and each its part otherwise:

    >>> rewards, values = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.5, 0.5, 0.5])
    >>> generalized_advantage_estimate(rewards, values, gamma=1.0, lam=0.0)
    tensor([0.0000, 0.0000, 0.5000])
    >>> generalized_advantage_estimate(rewards, values, gamma=1.0, lam=0.5)
    tensor([0.1250, 0.2500, 0.5000])
    >>> generalized_advantage_estimate(rewards, values, gamma=1.0, lam=1.0)
    tensor([0.5000, 0.5000, 0.5000])
    """
    for name, number in (("gamma", gamma), ("lam", lam)):
        if not 0.0 <= number <= 1.0:
            raise ValueError(f"{name}={number} is outside [0, 1]: choose a number between")
    steps = rewards.shape[-1]
    if values.shape[:-1] != rewards.shape[:-1] or values.shape[-1] - steps not in (0, 1):
        raise ValueError(
            f"values have shape {tuple(values.shape)}, rewards {tuple(rewards.shape)}: one value "
            "for each reward is needed, and at most one more for the state after the last"
        )
    if mask is not None:
        if mask.shape != rewards.shape or values.shape != rewards.shape:
            raise ValueError(
                f"mask has shape {tuple(mask.shape)}, rewards {tuple(rewards.shape)}, values "
                f"{tuple(values.shape)}: with a mask, all three are alike"
            )
        rewards, values = rewards.where(mask, 0), values.where(mask, 0)
    after = values[..., 1:]
    if values.shape[-1] == steps:
        after = torch.cat((after, torch.zeros_like(values[..., :1])), dim=-1)
    errors = rewards + gamma * after - values[..., :steps]  # (..., T), delta
    advantages, following = torch.empty_like(errors), torch.zeros_like(errors[..., 0])
    for t in reversed(range(steps)):
        following = errors[..., t] + gamma * lam * following
        advantages[..., t] = following
    return advantages if mask is None else advantages.where(mask, 0)


def masked_mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over the places where the mask is True; over all when there is none.

    Examples
    --------
    >>> masked_mean(torch.tensor([1.0, 3.0, 100.0]), torch.tensor([True, True, False]))
    tensor(2.)
    """
    if mask is None:
        return values.mean()
    return values.where(mask, 0).sum() / mask.sum().clamp(min=1)


def whiten(values: Tensor, mask: Tensor | None = None, *, eps: float = 1e-8) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over the places where the mask is True.

    The learning rate then means the same whatever the unit of the reward.

    Parameters
    ----------
    values : Tensor
        Any shape.
    mask : Tensor, optional
        Boolean, of the same shape; the result is 0 where it is False.
    eps : float
        Added to the variance, against division by zero.

    Examples
    --------
    >>> whiten(torch.tensor([1.0, 3.0, 100.0]), torch.tensor([True, True, False]))
    tensor([-1.,  1.,  0.])
    """
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean).square(), mask)
    white = (values - mean) * torch.rsqrt(variance + eps)
    return white if mask is None else white.where(mask, 0)

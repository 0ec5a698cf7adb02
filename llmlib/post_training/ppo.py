r"""The losses of proximal policy optimisation (PPO).

.. math::

   \rho_t = \frac{\pi(y_t \mid y_{<t})}{\pi_{\text{old}}(y_t \mid y_{<t})}, \qquad
   L^{\text{clip}} = -\frac1n \sum_t \min\bigl(\rho_t A_t,\;
   \operatorname{clip}(\rho_t, 1 - \epsilon, 1 + \epsilon)\, A_t\bigr)

.. math::

   L^{V} = \frac{1}{2n} \sum_t \max\bigl((V_t - R_t)^2,\;
   (V^{\text{old}}_t + \operatorname{clip}(V_t - V^{\text{old}}_t, -\epsilon, \epsilon)
   - R_t)^2\bigr)

===============  ====================================  ===========================
code             symbol                                shape
===============  ====================================  ===========================
``logps``        :math:`\log \pi(y_t)`                 ``(..., T)``, has a gradient
``old_logps``    :math:`\log \pi_{\text{old}}(y_t)`    ``(..., T)``, when drawn
``advantages``   :math:`A`                             ``(..., T)``
``values``       :math:`V`                             ``(..., T)``, has a gradient
``old_values``   :math:`V^{\text{old}}`                ``(..., T)``, when drawn
``returns``      :math:`R`                             ``(..., T)``
``clip``         :math:`\epsilon`                      a number
``mask``                                               ``(..., T)``, False at padding
===============  ====================================  ===========================

References
----------
1. Schulman et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347.
2. Ouyang et al., *Training Language Models to Follow Instructions with Human Feedback*, 2022,
   arXiv:2203.02155 (the four models).

**Differs from the papers in** the clip of the value loss, which is not in reference 1 but in the
code that was published with it, and most implementations have it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from llmlib.post_training.advantages import masked_mean

__all__ = ["clip_share", "ppo_clip_loss", "value_clip_loss"]


def ppo_clip_loss(
    logps: Tensor,
    old_logps: Tensor,
    advantages: Tensor,
    clip: float,
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """Policy loss of PPO: what to make smaller so that good tokens become likelier.

    Parameters
    ----------
    logps : Tensor
        ``(..., T)``: log-probabilities of the drawn tokens now.
    old_logps : Tensor
        The same when they were drawn; no gradient.
    advantages : Tensor
        ``(..., T)``; no gradient.
    clip : float
        How far the ratio of the two may go before a token stops counting; ``inf`` for never.
    mask : Tensor, optional
        Boolean ``(..., T)``, False at padding.

    Returns
    -------
    Tensor
        A number: the mean over all tokens.

    Raises
    ------
    ValueError
        The shapes do not match, or ``clip`` is not positive.

    Notes
    -----
    Source: Schulman et al. 2017, equation 7. Right after the draw all ratios are 1, and the
    gradient is that of the plain policy gradient, whatever the clip.

    Examples
    --------
    A good token and a bad one, both 1.5 times as likely as when they were drawn. The good one has
    had its share at 1.2; the bad one counts in full:

    >>> logps, old_logps = torch.tensor([0.6, 0.3]).log(), torch.tensor([0.4, 0.2]).log()
    >>> ppo_clip_loss(logps, old_logps, torch.tensor([1.0, -1.0]), clip=0.2)
    tensor(0.1500)
    """
    _check_shapes(logps=logps, old_logps=old_logps, advantages=advantages, mask=mask)
    _check_clip(clip)
    ratios = (logps - old_logps.detach()).exp()  # (..., T)
    advantages = advantages.detach()
    clipped = ratios.clamp(1 - clip, 1 + clip)
    gains = torch.minimum(ratios * advantages, clipped * advantages)
    return -masked_mean(gains, mask)


def clip_share(
    logps: Tensor,
    old_logps: Tensor,
    advantages: Tensor,
    clip: float,
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """Share of the tokens that have no gradient because of the clip.

    Parameters
    ----------
    logps, old_logps, advantages, clip, mask
        As for :func:`ppo_clip_loss`.

    Examples
    --------
    >>> logps, old_logps = torch.tensor([0.6, 0.3]).log(), torch.tensor([0.4, 0.2]).log()
    >>> clip_share(logps, old_logps, torch.tensor([1.0, -1.0]), clip=0.2)
    tensor(0.5000)
    """
    ratios = (logps - old_logps).detach().exp()
    enough = (advantages > 0) & (ratios > 1 + clip) | (advantages < 0) & (ratios < 1 - clip)
    return masked_mean(enough.to(ratios.dtype), mask)


def value_clip_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    clip: float = math.inf,
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """Half the squared error of the value model, not rewarded for moving far in one step.

    Parameters
    ----------
    values : Tensor
        ``(..., T)``: what the value model expects now.
    old_values : Tensor
        What it expected when the tokens were drawn; no gradient.
    returns : Tensor
        What came: advantage plus old value; no gradient.
    clip : float
        How far a value may go from the old one; ``inf`` gives the plain squared error.
    mask : Tensor, optional
        Boolean ``(..., T)``, False at padding.

    Returns
    -------
    Tensor
        A number: the mean over all tokens.

    Examples
    --------
    A value that came the whole way from 0 to its return 1 is judged as if it stood at 0.2:

    >>> value_clip_loss(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([1.0]), clip=0.2)
    tensor(0.3200)
    >>> value_clip_loss(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([1.0]))
    tensor(0.)
    """
    _check_shapes(values=values, old_values=old_values, returns=returns, mask=mask)
    _check_clip(clip)
    old_values, returns = old_values.detach(), returns.detach()
    near = old_values + (values - old_values).clamp(-clip, clip)
    errors = torch.maximum((values - returns).square(), (near - returns).square())
    return 0.5 * masked_mean(errors, mask)


def _check_shapes(**tensors: Tensor | None) -> None:
    shapes = {name: tuple(t.shape) for name, t in tensors.items() if t is not None}
    if len(set(shapes.values())) > 1:
        written = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"shapes differ: {written}; give one number for each token")


def _check_clip(clip: float) -> None:
    if not clip > 0:
        raise ValueError(f"clip={clip}: it must be positive; inf clips nothing")

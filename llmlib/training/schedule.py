r"""The learning rate over a run: a linear warm-up, then half a cosine.

.. math::

   \eta_t = \begin{cases}
   \eta_{\max}\,(t + 1) / w & t < w \\
   \eta_{\min} + \tfrac12 (\eta_{\max} - \eta_{\min})
   \bigl(1 + \cos \pi\, \tfrac{t - w}{n - w}\bigr) & w \le t < n
   \end{cases}

References
----------
1. Loshchilov and Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, ICLR 2017,
   arXiv:1608.03983.
2. Goyal et al., *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*, 2017,
   arXiv:1706.02677 (the warm-up).
"""

from __future__ import annotations

import math

__all__ = ["cosine_schedule"]


def cosine_schedule(
    step: int, *, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int
) -> float:
    """Learning rate of one step.

    Parameters
    ----------
    step : int
        Updates done before this one, from 0.
    max_lr : float
        At the end of the warm-up.
    min_lr : float
        From ``total_steps`` on.
    warmup_steps : int
        Steps in which the rate grows in equal parts. The first step has one part, not zero.
    total_steps : int
        Length of the run, warm-up included.

    Returns
    -------
    float
        The learning rate.

    Raises
    ------
    ValueError
        The step is negative, or the warm-up is longer than the run.

    Examples
    --------
    >>> options = {"max_lr": 1.0, "min_lr": 0.0, "warmup_steps": 2, "total_steps": 6}
    >>> [round(cosine_schedule(step, **options), 3) for step in range(8)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    if step < 0:
        raise ValueError(f"step={step}: steps are counted from 0")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(
            f"warmup_steps={warmup_steps}, total_steps={total_steps}: the warm-up must fit into "
            "the run"
        )
    if step < warmup_steps:
        return max_lr * ((step + 1) / warmup_steps)
    if step >= total_steps:
        return min_lr
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    return min_lr + 0.5 * (max_lr - min_lr) * (1 + math.cos(math.pi * done))

r"""REINFORCE: make what was rewarded likelier.

.. math::

   \nabla_\theta\, \mathbb E_{y \sim \pi_\theta}[r(y)]
   = \mathbb E_{y \sim \pi_\theta}\bigl[(r(y) - b)\, \nabla_\theta \log \pi_\theta(y)\bigr]

for every :math:`b` that does not depend on :math:`y`. The baseline changes no mean, only how much
the estimate varies from draw to draw.

============  =========================================================  ============
code          what it is                                                 shape
============  =========================================================  ============
``logps``     :math:`\log \pi_\theta(y)` of what was drawn               ``(...,)``
``rewards``   :math:`r`                                                  ``(...,)``
``baseline``  :math:`b`                                                  ``(...,)``
============  =========================================================  ============

References
----------
1. Williams, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
   Learning*, Machine Learning 8, 1992.
2. Kool, van Hoof and Welling, *Buy 4 REINFORCE Samples, Get a Baseline for Free!*, 2019.
3. Ahmadian et al., *Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human
   Feedback in LLMs*, 2024, arXiv:2402.14740.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["leave_one_out_baseline", "reinforce_loss"]


def reinforce_loss(logps: Tensor, rewards: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    """A loss whose gradient is that of minus the expected reward, estimated from samples.

    Parameters
    ----------
    logps : Tensor
        ``(...,)``, log-probability of each sample under the policy that drew it.
    rewards : Tensor
        ``(...,)``.
    baseline : Tensor or float
        Taken from the rewards; must not depend on the sample it is taken from.

    Returns
    -------
    Tensor
        A number. Its value means nothing, its gradient counts.

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> import torch
    >>> logits = torch.zeros(2, requires_grad=True)
    >>> logps = logits.log_softmax(0)[torch.tensor([0, 1])]
    >>> reinforce_loss(logps, torch.tensor([1.0, 0.0])).backward()
    >>> logits.grad  # descent raises the first
    tensor([-0.2500,  0.2500])
    """
    if logps.shape != rewards.shape:
        raise ValueError(
            f"logps have shape {tuple(logps.shape)}, rewards {tuple(rewards.shape)}: give one "
            "reward for each sample"
        )
    return -((rewards - baseline).detach() * logps).mean()


def leave_one_out_baseline(rewards: Tensor) -> Tensor:
    """For each sample the mean reward of the others: ``(..., N) -> (..., N)``.

    Examples
    --------
    >>> import torch
    >>> leave_one_out_baseline(torch.tensor([1.0, 2.0, 6.0]))
    tensor([4.0000, 3.5000, 1.5000])
    """
    others = rewards.shape[-1] - 1
    if others < 1:
        raise ValueError("one sample has no others: draw at least two for each prompt")
    return (rewards.sum(dim=-1, keepdim=True) - rewards) / others

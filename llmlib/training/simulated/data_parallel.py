r"""Data parallelism: the same weights on every rank, other rows.

.. math::

   \nabla \mathcal L = \sum_r \frac{n_r}{n} \nabla \mathcal L_r, \qquad
   w_{t+1} = w_t - \eta \, \nabla \mathcal L(w_{t - \tau})

=================  =================  =========================================================
code               symbol             what it is
=================  =================  =========================================================
``batch.counted``  :math:`n_r`        targets that count, on a rank
``delay``          :math:`\tau`       updates that others make while a gradient is computed and
                                      sent; 0 where all wait for each other
=================  =================  =========================================================

Ranks that do not wait for each other are never idle, but each computes its gradient at weights
that are no longer there. :func:`highest_stable_rate` says what that costs.

References
----------
1. Goyal et al., *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*, 2017,
   arXiv:1706.02677.
2. Dean et al., *Large Scale Distributed Deep Networks*, NIPS 2012 (ranks that do not wait).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from llmlib.training.batches import Batch
from llmlib.training.simulated.all_reduce import Message, ring_all_reduce

__all__ = ["data_parallel_step", "delayed_descent", "highest_stable_rate"]


def data_parallel_step(
    replicas: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    batches: Sequence[Batch],
) -> tuple[float, list[Message]]:
    """One update of all replicas with the gradient of all batches together.

    Parameters
    ----------
    replicas : sequence of torch.nn.Module
        Equal models, one for each rank, that have ``loss(ids, targets, mask)``.
    optimizers : sequence of torch.optim.Optimizer
        Of each rank.
    batches : sequence of Batch
        Rows of each rank.

    Returns
    -------
    tuple
        Mean loss over all targets, and the messages.

    Raises
    ------
    ValueError
        There is not one optimizer and one batch for each replica.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> sizes = {"vocab_size": 8, "context_length": 4, "dim": 8, "num_layers": 1, "num_heads": 1}
    >>> replicas = [GPT(GPTConfig(**sizes)) for _ in range(2)]
    >>> _ = replicas[1].load_state_dict(replicas[0].state_dict())
    >>> optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in replicas]
    >>> ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    >>> batches = [Batch(ids=rows, targets=rows + 1) for rows in ids.split(1)]
    >>> loss, log = data_parallel_step(replicas, optimizers, batches)
    >>> len(log)
    4
    >>> all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in replicas), strict=True))
    True
    """
    if not len(replicas) == len(optimizers) == len(batches):
        raise ValueError(
            f"{len(replicas)} replicas, {len(optimizers)} optimizers, {len(batches)} batches: "
            "each rank needs one of each"
        )
    whole = sum(batch.counted for batch in batches).clamp(min=1e-9)
    total, gradients = 0.0, []
    for model, optimizer, batch in zip(replicas, optimizers, batches, strict=True):
        optimizer.zero_grad(set_to_none=False)
        loss = model.loss(batch.ids, batch.targets, batch.mask) * (batch.counted / whole)
        loss.backward()
        total += loss.item()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    sums, log = ring_all_reduce(gradients)
    for model, optimizer, gradient in zip(replicas, optimizers, sums, strict=True):
        parameters = list(model.parameters())
        parts = gradient.split([p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad.copy_(part.view_as(parameter))
        optimizer.step()
    return total, log


def delayed_descent(
    gradient: Callable[[Tensor], Tensor], start: Tensor, *, lr: float, delay: int, steps: int
) -> list[Tensor]:
    """Gradient descent whose gradients are late.

    Parameters
    ----------
    gradient : callable
        Of a point.
    start : Tensor
        The first point; gradients from before it are those of it.
    lr : float
        Learning rate.
    delay : int
        Updates between the reading of a point and the arrival of its gradient.
    steps : int
        Updates.

    Returns
    -------
    list of Tensor
        ``steps + 1`` points.

    Examples
    --------
    >>> half_square = lambda x: x  # its gradient
    >>> points = delayed_descent(half_square, torch.tensor(8.0), lr=0.5, delay=1, steps=4)
    >>> [x.item() for x in points]
    [8.0, 4.0, 0.0, -2.0, -2.0]
    """
    if delay < 0:
        raise ValueError(f"delay={delay}: a gradient cannot arrive before its point is known")
    points = [start]
    for step in range(steps):
        points.append(points[-1] - lr * gradient(points[max(0, step - delay)]))
    return points


def highest_stable_rate(curvature: float, delay: int) -> float:
    r"""Learning rate above which :func:`delayed_descent` flies off a parabola.

    .. math:: \eta^* = \frac{2}{\lambda} \sin \frac{\pi}{2 (2 \tau + 1)}

    Parameters
    ----------
    curvature : float
        Second derivative :math:`\lambda` of the parabola.
    delay : int
        Of the gradients.

    Notes
    -----
    The points follow :math:`x_{t+1} = x_t - a x_{t-\tau}` with :math:`a = \eta \lambda`. A solution
    :math:`z^t` solves :math:`z^{\tau+1} = z^\tau - a`. On the edge of stability
    :math:`z = e^{i \varphi}`: then :math:`a = e^{i \tau \varphi} (1 - e^{i \varphi})`, of size
    :math:`2 \sin(\varphi / 2)`, is real and positive first at :math:`\varphi = \pi / (2 \tau + 1)`.

    Examples
    --------
    >>> [round(highest_stable_rate(1.0, delay), 3) for delay in (0, 1, 2, 8)]
    [2.0, 1.0, 0.618, 0.185]
    """
    return 2 / curvature * math.sin(math.pi / (2 * (2 * delay + 1)))

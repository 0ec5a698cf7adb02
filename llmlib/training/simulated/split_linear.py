r"""Tensor parallelism: columns and rows of matrices on different ranks.

.. math::

   x W_1^\top = [\,x A_1^\top,\ x A_2^\top, \dots], \qquad
   h W_2^\top = \sum_r h_r B_r^\top

=============  =====================  ==============================================
code           symbol                 shape
=============  =====================  ==============================================
``x``          :math:`x`              ``(..., in)``, on every rank
``weight``     :math:`W_1`            ``(out, in)``, as in ``torch.nn.Linear``
a part of it   :math:`A_r`            ``(out / W, in)``: columns of :math:`W_1^\top`
a part of it   :math:`B_r`            ``(out, in / W)``: rows of :math:`W_2^\top`
=============  =====================  ==============================================

Between the two stands a function of each number alone, so a rank can go from its columns to its
rows without a message. Then the shares are added up: one all-reduce for the two layers.

References
----------
1. Shoeybi et al., *Megatron-LM: Training Multi-Billion Parameter Language Models Using Model
   Parallelism*, 2019, arXiv:1909.08053.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from llmlib.training.simulated.all_reduce import Message, ring_all_reduce

__all__ = ["column_parallel", "row_parallel", "split_feed_forward"]


def column_parallel(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, world_size: int
) -> list[Tensor]:
    """A linear layer of which each rank has some outputs.

    Parameters
    ----------
    x : Tensor
        ``(..., in)``, the same on every rank.
    weight : Tensor
        ``(out, in)``.
    bias : Tensor, optional
        ``(out,)``.
    world_size : int
        Ranks W, a divisor of ``out``.

    Returns
    -------
    list of Tensor
        ``(..., out / W)`` of each rank; one after the other they are the layer's output.

    Raises
    ------
    ValueError
        The outputs cannot be divided.

    Examples
    --------
    >>> import torch
    >>> x, weight = torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> column_parallel(x, weight, world_size=2)
    [tensor([1.]), tensor([2.])]
    """
    _check("outputs", weight.shape[0], world_size)
    biases = [None] * world_size if bias is None else bias.chunk(world_size)
    parts = zip(weight.chunk(world_size), biases, strict=True)
    return [F.linear(x, part, its_bias) for part, its_bias in parts]


def row_parallel(
    parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None = None
) -> tuple[list[Tensor], list[Message]]:
    """A linear layer of which each rank has some inputs.

    Parameters
    ----------
    parts : sequence of Tensor
        ``(..., in / W)`` of each rank.
    weight : Tensor
        ``(out, in)``.
    bias : Tensor, optional
        ``(out,)``; added once, after the sum.

    Returns
    -------
    tuple
        ``(..., out)`` for each rank, and the messages of the all-reduce. The outputs are equal;
        they carry no gradient, for a message does not.

    Examples
    --------
    >>> import torch
    >>> outputs, log = row_parallel([torch.tensor([1.0]), torch.tensor([2.0])], torch.ones(1, 2))
    >>> outputs
    [tensor([3.]), tensor([3.])]
    """
    _check("inputs", weight.shape[1], len(parts))
    pieces = weight.chunk(len(parts), dim=1)
    shares = [F.linear(part, piece) for part, piece in zip(parts, pieces, strict=True)]
    sums, log = ring_all_reduce([share.detach() for share in shares])
    return [total if bias is None else total + bias for total in sums], log


def split_feed_forward(
    x: Tensor,
    up: nn.Linear,
    down: nn.Linear,
    activation: Callable[[Tensor], Tensor],
    *,
    world_size: int,
) -> tuple[list[Tensor], list[Message]]:
    """A feed-forward layer on several ranks: columns, a function of each number, rows.

    Parameters
    ----------
    x : Tensor
        ``(..., D)``.
    up, down : torch.nn.Linear
        ``D -> F`` and ``F -> D``.
    activation : callable
        Of each number alone; a softmax over the features would need them all.
    world_size : int
        Ranks.

    Returns
    -------
    tuple
        ``(..., D)`` for each rank, and the messages.

    Examples
    --------
    >>> import torch
    >>> up, down, x = nn.Linear(2, 4), nn.Linear(4, 2), torch.randn(3, 2)
    >>> outputs, log = split_feed_forward(x, up, down, torch.relu, world_size=2)
    >>> torch.allclose(outputs[1], down(torch.relu(up(x))), atol=1e-6)
    True
    """
    hidden = column_parallel(x, up.weight, up.bias, world_size=world_size)
    return row_parallel([activation(part) for part in hidden], down.weight, down.bias)


def _check(what: str, size: int, world_size: int) -> None:
    if world_size < 1 or size % world_size:
        raise ValueError(
            f"{size} {what} cannot be divided among {world_size} ranks: choose a divisor"
        )

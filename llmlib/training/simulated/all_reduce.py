r"""All-reduce: every rank has a vector, every rank wants the sum.

A ring does it in two rounds. In the first, *reduce-scatter*, each piece of the vector travels once
around and is added to on its way, until every rank has the finished sum of one piece. In the
second, *all-gather*, the finished pieces travel once around.

.. math::

   t_{\text{ring}} = 2 (W - 1) \Bigl(\alpha + \frac{n}{W \beta}\Bigr), \qquad
   t_{\text{star}} = 2 (W - 1) \Bigl(\alpha + \frac{n}{\beta}\Bigr), \qquad
   t_{\text{tree}} = 2 \lceil \log_2 W \rceil \Bigl(\alpha + \frac{n}{\beta}\Bigr)

==============  =================  ============================================
code            symbol             what it is
==============  =================  ============================================
``vectors``     :math:`n` bytes    one tensor for each rank, of equal shapes
world size      :math:`W`          ranks
``latency``     :math:`\alpha`     seconds before the first byte of a message
``bandwidth``   :math:`\beta`      bytes per second between two ranks
==============  =================  ============================================

The ring sends :math:`2 n (W - 1) / W` bytes from each rank, hardly more for many ranks than for
two; no method sends less. A tree has fewer steps, which counts when vectors are short.

References
----------
1. Patarasuk and Yuan, *Bandwidth optimal all-reduce algorithms for clusters of workstations*,
   Journal of Parallel and Distributed Computing 69, 2009.
2. Thakur, Rabenseifner and Gropp, *Optimization of Collective Communication Operations in MPICH*,
   International Journal of High Performance Computing Applications 19, 2005.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Message",
    "exchange_seconds",
    "numbers_sent",
    "ring_all_gather",
    "ring_all_reduce",
    "ring_reduce_scatter",
    "star_all_reduce",
    "tree_all_reduce",
]


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one rank sent to another.

    Parameters
    ----------
    step : int
        Messages of one step travel at the same time.
    sender, receiver : int
        Ranks.
    content : str
        What it was.
    values : Tensor
        The numbers.
    """

    step: int
    sender: int
    receiver: int
    content: str
    values: Tensor

    def __str__(self) -> str:
        """For a log that is read.

        >>> print(Message(step=0, sender=1, receiver=2, content="piece 0", values=torch.ones(2)))
        step 0: rank 1 -> rank 2, piece 0 [1, 1]
        """
        numbers = ", ".join(f"{value:g}" for value in self.values.flatten().tolist())
        route = f"rank {self.sender} -> rank {self.receiver}"
        return f"step {self.step}: {route}, {self.content} [{numbers}]"


def ring_reduce_scatter(vectors: Sequence[Tensor]) -> tuple[list[Tensor], list[Message]]:
    """The sum of all vectors, a piece of it on each rank.

    Parameters
    ----------
    vectors : sequence of Tensor
        ``(n,)`` of each rank.

    Returns
    -------
    tuple
        Piece r of the sum for each rank r, cut as ``torch.tensor_split`` cuts; and the messages.

    Raises
    ------
    ValueError
        The shapes differ, or there is no rank.

    Examples
    --------
    >>> pieces, log = ring_reduce_scatter([torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])])
    >>> pieces
    [tensor([11.]), tensor([22.])]
    >>> print(*log, sep="\\n")
    step 0: rank 0 -> rank 1, piece 1 [2]
    step 0: rank 1 -> rank 0, piece 0 [10]
    """
    _check(vectors)
    ranks, log = len(vectors), []
    held = [list(vector.clone().tensor_split(ranks)) for vector in vectors]
    for step in range(ranks - 1):
        sent = [_to_next(step, rank, (rank - step - 1) % ranks, held) for rank in range(ranks)]
        for message, piece in sent:
            held[message.receiver][piece] = held[message.receiver][piece] + message.values
        log += [message for message, _ in sent]
    return [held[rank][rank] for rank in range(ranks)], log


def ring_all_gather(pieces: Sequence[Tensor]) -> tuple[list[Tensor], list[Message]]:
    """All pieces, one after the other, on each rank.

    Parameters
    ----------
    pieces : sequence of Tensor
        Of each rank one.

    Returns
    -------
    tuple
        The whole vector for each rank, and the messages.

    Examples
    --------
    >>> whole, log = ring_all_gather([torch.tensor([1.0]), torch.tensor([2.0, 3.0])])
    >>> whole
    [tensor([1., 2., 3.]), tensor([1., 2., 3.])]
    """
    ranks, log = len(pieces), []
    held = [[pieces[rank] if p == rank else None for p in range(ranks)] for rank in range(ranks)]
    for step in range(ranks - 1):
        sent = [_to_next(step, rank, (rank - step) % ranks, held) for rank in range(ranks)]
        for message, piece in sent:
            held[message.receiver][piece] = message.values
        log += [message for message, _ in sent]
    return [torch.cat(mine) for mine in held], log


def ring_all_reduce(vectors: Sequence[Tensor]) -> tuple[list[Tensor], list[Message]]:
    """The sum of all tensors on each rank: :func:`ring_reduce_scatter`, :func:`ring_all_gather`.

    Parameters
    ----------
    vectors : sequence of Tensor
        One for each rank, of equal shapes.

    Returns
    -------
    tuple
        The sum for each rank, and the messages.

    Examples
    --------
    >>> sums, log = ring_all_reduce([torch.tensor([1.0, 2.0, 3.0]) for _ in range(3)])
    >>> sums[0], len(log)
    (tensor([3., 6., 9.]), 12)
    """
    _check(vectors)
    pieces, first = ring_reduce_scatter([vector.flatten() for vector in vectors])
    sums, second = ring_all_gather(pieces)
    return [total.view(vectors[0].shape) for total in sums], join_logs(first, second)


def star_all_reduce(vectors: Sequence[Tensor]) -> tuple[list[Tensor], list[Message]]:
    """The same, with rank 0 in the middle: it takes all vectors in, one at a time, and sends back.

    This is a parameter server with one link.

    Examples
    --------
    >>> sums, log = star_all_reduce([torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([4.0])])
    >>> sums[2], log[-1].step
    (tensor([7.]), 3)
    """
    _check(vectors)
    total, log = vectors[0].clone(), []
    others = range(1, len(vectors))
    for step, rank in enumerate(others):
        log.append(_message(step, rank, 0, "vector", vectors[rank]))
        total = total + vectors[rank]
    for step, rank in enumerate(others, start=len(others)):
        log.append(_message(step, 0, rank, "sum", total))
    return [total.clone() for _ in vectors], log


def tree_all_reduce(vectors: Sequence[Tensor]) -> tuple[list[Tensor], list[Message]]:
    """The same, in pairs, then pairs of pairs, up to rank 0 and down again.

    Examples
    --------
    >>> sums, log = tree_all_reduce([torch.tensor([2.0**rank]) for rank in range(4)])
    >>> sums[3], [(message.step, message.sender, message.receiver) for message in log]
    (tensor([15.]), [(0, 1, 0), (0, 3, 2), (1, 2, 0), (2, 0, 2), (3, 0, 1), (3, 2, 3)])
    """
    _check(vectors)
    held, log, ranks = [vector.clone() for vector in vectors], [], len(vectors)
    levels = (ranks - 1).bit_length()
    for level in range(levels):
        apart = 2**level
        for rank in range(apart, ranks, 2 * apart):
            log.append(_message(level, rank, rank - apart, "partial sum", held[rank]))
            held[rank - apart] = held[rank - apart] + held[rank]
    for step, level in enumerate(reversed(range(levels)), start=levels):
        apart = 2**level
        for rank in range(apart, ranks, 2 * apart):
            log.append(_message(step, rank - apart, rank, "sum", held[rank - apart]))
            held[rank] = held[rank - apart].clone()
    return held, log


def numbers_sent(log: Sequence[Message], rank: int) -> int:
    """How many numbers left a rank.

    >>> _, log = ring_all_reduce([torch.zeros(10)] * 5)
    >>> numbers_sent(log, 0)  # 2 * 10 * 4 / 5
    16
    """
    return sum(message.values.numel() for message in log if message.sender == rank)


def exchange_seconds(
    log: Sequence[Message],
    *,
    latency: float,
    bandwidth: float | Callable[[int, int], float],
) -> float:
    """Time that the messages take: each step as long as its slowest.

    Parameters
    ----------
    log : sequence of Message
        Of an exchange.
    latency : float
        Seconds before the first byte.
    bandwidth : float or callable
        Bytes per second; a callable is asked with sender and receiver, where some links are faster
        than others.

    Examples
    --------
    Two steps, each of one second and of 8 bytes at 4 bytes per second:

    >>> _, log = star_all_reduce([torch.zeros(2), torch.zeros(2)])
    >>> exchange_seconds(log, latency=1.0, bandwidth=4.0)
    6.0
    """
    slowest: dict[int, float] = {}
    for message in log:
        of_link = bandwidth(message.sender, message.receiver) if callable(bandwidth) else bandwidth
        seconds = latency + message.values.nbytes / of_link
        slowest[message.step] = max(slowest.get(message.step, 0.0), seconds)
    return sum(slowest.values())


def join_logs(*logs: Sequence[Message]) -> list[Message]:
    """Logs one after the other, with steps counted on."""
    joined: list[Message] = []
    for log in logs:
        start = 1 + max((message.step for message in joined), default=-1)
        joined += [_message(start + m.step, m.sender, m.receiver, m.content, m.values) for m in log]
    return joined


def _to_next(step: int, rank: int, piece: int, held: list[list]) -> tuple[Message, int]:
    receiver = (rank + 1) % len(held)
    return _message(step, rank, receiver, f"piece {piece}", held[rank][piece]), piece


def _message(step: int, sender: int, receiver: int, content: str, values: Tensor) -> Message:
    return Message(
        step=step,
        sender=sender,
        receiver=receiver,
        content=content,
        values=values.detach().clone(),
    )


def _check(vectors: Sequence[Tensor]) -> None:
    shapes = {tuple(vector.shape) for vector in vectors}
    if len(shapes) != 1:
        raise ValueError(
            f"the ranks have tensors of shapes {sorted(shapes)}: each needs one, all of one shape"
        )

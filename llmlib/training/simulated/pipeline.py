r"""Pipeline parallelism: the layers of a model on different ranks.

A batch is cut into microbatches, so that a later rank has something to do while an earlier one goes
on. At the beginning and at the end ranks still wait, in *bubbles*:

.. math::

   \text{idle share} = \frac{p - 1}{m + p - 1}

================  =============  ==========================================================
code              symbol         what it is
================  =============  ==========================================================
``stages``        :math:`p`      ranks, each with some layers
``microbatches``  :math:`m`      parts of a batch
``"F2"``          :math:`F_2`    forward pass of microbatch 2 through a stage
``"B2"``          :math:`B_2`    its backward pass
================  =============  ==========================================================

GPipe does all forward passes first: a stage must keep what the backward passes need of all m
microbatches. 1F1B begins with the backward pass of a microbatch as soon as it can: stage s keeps
p - s of them. Both have the same bubbles.

References
----------
1. Huang et al., *GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism*,
   NeurIPS 2019, arXiv:1811.06965.
2. Narayanan et al., *PipeDream: Generalized Pipeline Parallelism for DNN Training*, SOSP 2019.
3. Narayanan et al., *Efficient Large-Scale Language Model Training on GPU Clusters Using
   Megatron-LM*, SC 2021, arXiv:2104.04473 (1F1B that ends with the batch).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from llmlib.training.simulated.all_reduce import Message

__all__ = [
    "bubble_share",
    "gpipe_order",
    "one_forward_one_backward_order",
    "run_pipeline",
    "timetable",
    "waiting_activations",
]

Order = list[list[str]]


def gpipe_order(stages: int, microbatches: int) -> Order:
    """What each stage does, one after the other: all forward passes, then all backward passes.

    >>> gpipe_order(2, 2)
    [['F0', 'F1', 'B0', 'B1'], ['F0', 'F1', 'B0', 'B1']]
    """
    _check(stages, microbatches)
    forward = [f"F{i}" for i in range(microbatches)]
    backward = [f"B{i}" for i in range(microbatches)]
    return [forward + backward for _ in range(stages)]


def one_forward_one_backward_order(stages: int, microbatches: int) -> Order:
    """What each stage does: some forward passes, then one backward pass for each forward pass.

    >>> one_forward_one_backward_order(2, 3)
    [['F0', 'F1', 'B0', 'F2', 'B1', 'B2'], ['F0', 'B0', 'F1', 'B1', 'F2', 'B2']]
    """
    _check(stages, microbatches)
    order = []
    for stage in range(stages):
        ahead = min(stages - stage - 1, microbatches)  # forward passes before the first pair
        work = [f"F{i}" for i in range(ahead)]
        for i in range(ahead, microbatches):
            work += [f"F{i}", f"B{i - ahead}"]
        order.append(work + [f"B{i}" for i in range(microbatches - ahead, microbatches)])
    return order


def timetable(order: Order, backward_slots: int = 1) -> list[list[str]]:
    """When each stage does what, if each begins as soon as it can.

    Parameters
    ----------
    order : list of list of str
        From :func:`gpipe_order` or :func:`one_forward_one_backward_order`.
    backward_slots : int
        Time of a backward pass, in forward passes; about 2 in practice.

    Returns
    -------
    list of list of str
        For each stage its work in each slot of time; ``""`` where it waits.

    Raises
    ------
    ValueError
        A stage waits for what never comes.

    Examples
    --------
    >>> for row in timetable(gpipe_order(2, 2)):
    ...     print(" ".join(work or "--" for work in row))
    F0 F1 -- -- B0 B1
    -- F0 F1 B0 B1 --
    """
    done: dict[tuple[int, str], int] = {}  # when a piece of work is finished
    free, nexts = [0] * len(order), [0] * len(order)
    rows: list[dict[int, str]] = [{} for _ in order]
    while any(nexts[s] < len(order[s]) for s in range(len(order))):
        before = sum(nexts)
        for stage, work in enumerate(order):
            if nexts[stage] == len(work):
                continue
            name = work[nexts[stage]]
            source = _source(stage, name, len(order))
            if source is not None and source not in done:
                continue
            start = max(free[stage], done[source] if source else 0)
            slots = backward_slots if name[0] == "B" else 1
            rows[stage] |= dict.fromkeys(range(start, start + slots), name)
            done[stage, name] = free[stage] = start + slots
            nexts[stage] += 1
        if sum(nexts) == before:
            raise ValueError(f"every stage waits for another: {order} is in no possible order")
    length = max(free)
    return [[row.get(slot, "") for slot in range(length)] for row in rows]


def bubble_share(table: Sequence[Sequence[str]]) -> float:
    """Share of the slots in which a stage waits.

    >>> bubble_share(timetable(gpipe_order(2, 2)))  # (2 - 1) / (2 + 2 - 1)
    0.3333333333333333
    """
    slots = [work for row in table for work in row]
    return slots.count("") / len(slots)


def waiting_activations(order: Order) -> list[int]:
    """Most microbatches whose activations each stage keeps at a time.

    >>> waiting_activations(gpipe_order(3, 8))
    [8, 8, 8]
    >>> waiting_activations(one_forward_one_backward_order(3, 8))
    [3, 2, 1]
    """
    most = []
    for work in order:
        kept, highest = 0, 0
        for name in work:
            kept += 1 if name[0] == "F" else -1
            highest = max(highest, kept)
        most.append(highest)
    return most


def run_pipeline(
    stages: Sequence[nn.Module],
    order: Order,
    inputs: Sequence[Tensor],
    targets: Sequence[Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
) -> tuple[float, list[Message]]:
    """Do the work of an order: gradients are left in the stages, as after one backward pass.

    Parameters
    ----------
    stages : sequence of torch.nn.Module
        Each takes what the one before gives.
    order : list of list of str
        What each does.
    inputs, targets : sequence of Tensor
        Of each microbatch, all of one size.
    loss : callable
        Mean loss of an output and its targets.

    Returns
    -------
    tuple
        Mean loss of the batch, and the messages: activations forwards, gradients backwards.

    Raises
    ------
    ValueError
        The order is for other stages or microbatches.

    Examples
    --------
    >>> import torch
    >>> stages = [nn.Linear(2, 3), nn.Linear(3, 1)]
    >>> x, y = torch.ones(4, 2), torch.zeros(4, 1)
    >>> order = one_forward_one_backward_order(2, 2)
    >>> _, log = run_pipeline(stages, order, x.split(2), y.split(2), nn.functional.mse_loss)
    >>> [(message.step, message.content) for message in log]
    [(0, 'F0'), (1, 'F1'), (2, 'B0'), (4, 'B1')]
    """
    count = len(inputs)
    whole = sorted(f"{kind}{i}" for kind in "FB" for i in range(count))
    if len(order) != len(stages) or any(sorted(work) != whole for work in order):
        raise ValueError(
            f"the order is not for {len(stages)} stages and {count} microbatches: make it with "
            "these numbers"
        )
    table, log, total = timetable(order), [], 0.0
    kept: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # what a backward pass needs
    arrived: dict[tuple[int, str], Tensor] = {(0, f"F{i}"): x for i, x in enumerate(inputs)}
    for slot in range(len(table[0])):
        for stage, name in enumerate(row[slot] for row in table):
            if not name:
                continue
            i, last = int(name[1:]), stage + 1 == len(stages)
            if name[0] == "F":
                given = arrived.pop((stage, name)).detach()
                given.requires_grad_(stage > 0)
                output = stages[stage](given)
                if last:
                    output = loss(output, targets[i]) / count
                    total += output.item()
                kept[stage, i] = given, output
                receiver, values = stage + 1, output.detach()
            else:
                given, output = kept.pop((stage, i))
                output.backward(None if last else arrived.pop((stage, name)))
                receiver, values = stage - 1, given.grad
            if 0 <= receiver < len(stages):
                arrived[receiver, name] = values
                log.append(
                    Message(
                        step=slot,
                        sender=stage,
                        receiver=receiver,
                        content=name,
                        values=values.clone(),
                    )
                )
    return total, log


def _source(stage: int, name: str, stages: int) -> tuple[int, str] | None:
    """The work that must be done before; a backward pass at the end follows its forward pass."""
    if name[0] == "F":
        return (stage - 1, name) if stage else None
    return (stage + 1, name) if stage + 1 < stages else (stage, f"F{name[1:]}")


def _check(stages: int, microbatches: int) -> None:
    if min(stages, microbatches) < 1:
        raise ValueError(f"stages={stages}, microbatches={microbatches}: each must be at least 1")

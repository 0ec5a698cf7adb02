"""Exercises of the chapter on distributed training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong
from llmlib.training.simulated import one_forward_one_backward_order

__all__ = ["EXERCISES"]


# --- whole_gradient -----------------------------------------------------------------------------


def _whole_gradient(gradients: Tensor, counts: Tensor) -> Tensor:
    return (gradients * counts[:, None]).sum(0) / counts.sum()


def _mean_of_means(gradients: Tensor, counts: Tensor) -> Tensor:
    return gradients.mean(0)


def _sum_of_means(gradients: Tensor, counts: Tensor) -> Tensor:
    return gradients.sum(0)


def _undivided(gradients: Tensor, counts: Tensor) -> Tensor:
    return (gradients * counts[:, None]).sum(0)


def _divided_by_ranks(gradients: Tensor, counts: Tensor) -> Tensor:
    return (gradients * counts[:, None]).mean(0)


def _some_gradients(g: Generator) -> tuple[Tensor, Tensor]:
    ranks = draw.integer(g, 2, 5)
    counts = torch.tensor([draw.integer(g, 1, 60) for _ in range(ranks)])
    counts[0] += 60  # never all alike
    return draw.normal(g, ranks, 6), counts


# --- ring_step ----------------------------------------------------------------------------------


def _ring(*, to: int = 1, piece: Callable[[int, int], int] | None = None, add: bool = True):
    """A step of the ring in which all ranks send at once; the arguments make the mistakes."""

    def step_of(held: Tensor, step: int) -> Tensor:
        ranks, after = len(held), held.clone()
        for rank in range(ranks):
            chosen = (rank - step - 1 if piece is None else piece(rank, step)) % ranks
            receiver = (rank + to) % ranks
            after[receiver, chosen] = held[rank, chosen] + add * held[receiver, chosen]
        return after

    return step_of


def _a_step(g: Generator) -> tuple[Tensor, int]:
    ranks = draw.integer(g, 4, 6)
    return torch.randint(-9, 10, (ranks, ranks), generator=g).float(), draw.integer(g, 1, ranks - 2)


def _same_piece(rank: int, step: int) -> int:
    return step


# --- kept_bytes ---------------------------------------------------------------------------------


def _kept(num_weights: int, ranks: int, stage: int) -> float:
    weights, gradients, states = 2.0, 2.0, 12.0
    if stage >= 1:
        states /= ranks
    if stage >= 2:
        gradients /= ranks
    if stage >= 3:
        weights /= ranks
    return (weights + gradients + states) * num_weights


def _kept_in_another_order(num_weights: int, ranks: int, stage: int) -> float:
    weights = 2.0 / (ranks if stage >= 1 else 1)
    gradients = 2.0 / (ranks if stage >= 2 else 1)
    return (weights + gradients + 12.0 / (ranks if stage >= 3 else 1)) * num_weights


def _kept_without_copy(num_weights: int, ranks: int, stage: int) -> float:
    copies = 4.0 / (ranks if stage >= 1 else 1)
    return _kept(num_weights, ranks, stage) - copies * num_weights


def _kept_all_divided(num_weights: int, ranks: int, stage: int) -> float:
    return 16.0 * num_weights / (ranks if stage else 1)


def _kept_one_only(num_weights: int, ranks: int, stage: int) -> float:
    sizes = [12.0, 2.0, 2.0]  # in the order in which the stages divide them
    if stage:
        sizes[stage - 1] /= ranks
    return sum(sizes) * num_weights


def _a_model(g: Generator) -> tuple[int, int, int]:
    return draw.integer(g, 1, 90) * 1000, draw.integer(g, 2, 64), draw.integer(g, 0, 3)


# --- row_parallel -------------------------------------------------------------------------------


def _row_parallel(x: Tensor, weight: Tensor, bias: Tensor, ranks: int) -> Tensor:
    pairs = zip(x.chunk(ranks, -1), weight.chunk(ranks, 1), strict=True)
    return sum(F.linear(part, piece) for part, piece in pairs) + bias


def _row_parallel_many_biases(x: Tensor, weight: Tensor, bias: Tensor, ranks: int) -> Tensor:
    return _row_parallel(x, weight, ranks * bias, ranks)


def _row_parallel_no_bias(x: Tensor, weight: Tensor, bias: Tensor, ranks: int) -> Tensor:
    return _row_parallel(x, weight, 0 * bias, ranks)


def _row_parallel_mean(x: Tensor, weight: Tensor, bias: Tensor, ranks: int) -> Tensor:
    return _row_parallel(x, weight, 0 * bias, ranks) / ranks + bias


def _row_parallel_one_rank(x: Tensor, weight: Tensor, bias: Tensor, ranks: int) -> Tensor:
    return F.linear(x.chunk(ranks, -1)[0], weight.chunk(ranks, 1)[0], bias)


def _a_layer(g: Generator) -> tuple[Tensor, Tensor, Tensor, int]:
    ranks = draw.integer(g, 2, 4)
    size, out = ranks * draw.integer(g, 1, 3), draw.integer(g, 2, 5)
    return draw.normal(g, 3, size), draw.normal(g, out, size), draw.normal(g, out), ranks


# --- work_of_stage ------------------------------------------------------------------------------


def _work(stage: int, stages: int, microbatches: int) -> list[str]:
    return one_forward_one_backward_order(stages, microbatches)[stage]


def _work_ahead(ahead: int, microbatches: int) -> list[str]:
    """``ahead`` forward passes, then pairs."""
    ahead = min(max(ahead, 0), microbatches)
    work = [f"F{i}" for i in range(ahead)]
    for i in range(ahead, microbatches):
        work += [f"F{i}", f"B{i - ahead}"]
    return work + [f"B{i}" for i in range(microbatches - ahead, microbatches)]


def _work_gpipe(stage: int, stages: int, microbatches: int) -> list[str]:
    return _work_ahead(microbatches, microbatches)


def _work_too_early(stage: int, stages: int, microbatches: int) -> list[str]:
    return _work_ahead(0, microbatches)


def _work_reversed(stage: int, stages: int, microbatches: int) -> list[str]:
    return _work_ahead(stage, microbatches)


def _work_one_more(stage: int, stages: int, microbatches: int) -> list[str]:
    return _work_ahead(stages - stage, microbatches)


def _a_stage(g: Generator) -> tuple[int, int, int]:
    stages = draw.integer(g, 3, 5)
    return draw.integer(g, 0, stages - 2), stages, draw.integer(g, 2, 9)


EXERCISES: Sequence[Exercise | Choice] = (
    Exercise(
        name="distributed.whole_gradient",
        reference=_whole_gradient,
        inputs=_some_gradients,
        hint="The gradient of a sum of losses is the sum of their gradients. What has to be done "
        "to the mean of a rank to get its sum back?",
        remark="A rank with many targets counts for more, and the ranks are one big batch.",
        wrong={
            "mean of means": Wrong(
                _mean_of_means,
                "Every rank counts alike, so a target on a rank with few of them counts for more.",
            ),
            "sum of means": Wrong(
                _sum_of_means,
                "You added means. That is the gradient of a batch whose every rank has all the "
                "weight.",
            ),
            "undivided": Wrong(
                _undivided, "This is the gradient of the summed loss: divide by all the targets."
            ),
            "divided by ranks": Wrong(
                _divided_by_ranks, "Divide by the number of targets of all ranks, not of ranks."
            ),
        },
    ),
    Choice(
        name="distributed.predict_ring",
        right="b",
        why={
            "a": "The vector is cut into twice as many pieces, so each of the messages is half as "
            "long.",
            "b": "From 2n · 3/4 to 2n · 7/8 numbers, a factor of 7/6. However many ranks there "
            "are, it never reaches 2n.",
            "c": "There are fewer numbers in a message, but more messages.",
            "d": "Nearly, but for the last piece: the factor (W - 1) / W still grows a little.",
        },
        hint="Put W = 4 and W = 8 into the number that a rank sends in a ring.",
    ),
    Exercise(
        name="distributed.ring_step",
        reference=_ring(),
        inputs=_a_step,
        hint="Read everything from the matrix as it was, write into a copy. The receiver is "
        "(r + 1) % W, the piece (r - step - 1) % W.",
        remark="W - 1 such steps, and rank r holds the finished piece r.",
        wrong={
            "replaced": Wrong(
                _ring(add=False),
                "What arrives replaces what the receiver has. That is all-gather; here it is "
                "added.",
            ),
            "backwards": Wrong(
                _ring(to=-1), "You sent to the rank before. The next one is (r + 1) % W."
            ),
            "piece of all-gather": Wrong(
                _ring(piece=lambda rank, step: rank - step),
                "Each rank sends the piece one further on: (r - step) % W belongs to the second "
                "round.",
            ),
            "same piece": Wrong(
                _ring(piece=_same_piece),
                "All ranks send one and the same piece. Each sends a piece of its own, or the "
                "others lie idle.",
            ),
        },
    ),
    Exercise(
        name="distributed.kept_bytes",
        reference=_kept,
        inputs=_a_model,
        hint="Three terms of 2, 2 and 12 bytes. Stage 1 divides the states, stage 2 the gradients "
        "too, stage 3 the weights as well.",
        remark="16 bytes a weight without ZeRO, 16 / W with all of it.",
        wrong={
            "another order": Wrong(
                _kept_in_another_order,
                "You divided the weights first. The states come first: they are the largest, and "
                "nobody else needs them.",
            ),
            "without the copy": Wrong(
                _kept_without_copy,
                "The states hold 12 bytes: two moments and a float32 copy of the weight.",
            ),
            "all divided": Wrong(
                _kept_all_divided, "Stages 1 and 2 still keep all the weights on every rank."
            ),
            "one only": Wrong(
                _kept_one_only, "A stage also divides what the stages before it divide."
            ),
        },
    ),
    Exercise(
        name="distributed.row_parallel",
        reference=_row_parallel,
        inputs=_a_layer,
        hint="Chunk x along its last axis and weight along axis 1; add up the products. How often "
        "does the bias belong into the sum?",
        remark="The sum is the one message of the layer; the bias is added after it.",
        wrong={
            "many biases": Wrong(
                _row_parallel_many_biases,
                "Every rank added the bias, and the sum has it W times. Add it once.",
            ),
            "no bias": Wrong(
                _row_parallel_no_bias, "The products are right. Add the bias after their sum."
            ),
            "mean": Wrong(
                _row_parallel_mean,
                "You took the mean of the shares. A matrix product is a sum over its inputs.",
            ),
            "one rank": Wrong(
                _row_parallel_one_rank, "This is what rank 0 has before the sum over ranks."
            ),
        },
    ),
    Exercise(
        name="distributed.work_of_stage",
        reference=_work,
        inputs=_a_stage,
        hint="Stage s first does as many forward passes as there are stages behind it, at most m. "
        "Then forward and backward in turn, then the backward passes that are left.",
        remark="At most p - s microbatches wait at stage s, however many there are in the batch.",
        wrong={
            "gpipe": Wrong(
                _work_gpipe,
                "All forward passes come first: this is GPipe, which keeps m activations.",
            ),
            "too early": Wrong(
                _work_too_early,
                "Its backward pass has to wait for the stages behind. A stage that waits for it "
                "at once does nothing else meanwhile.",
            ),
            "reversed": Wrong(
                _work_reversed,
                "The first stage is furthest from the loss, so it has to run ahead furthest.",
            ),
            "one more": Wrong(
                _work_one_more,
                "One forward pass too many before the first pair: an activation more waits.",
            ),
        },
    ),
)

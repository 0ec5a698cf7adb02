"""Exercises of the chapter on low-rank adaptation."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- forward ------------------------------------------------------------------------------------


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    down: Tensor,
    up: Tensor,
    alpha: float,
    *,
    scale: Callable[[float, int], float] = lambda alpha, rank: alpha / rank,
    scale_base: bool = False,
    with_bias: bool = True,
) -> Tensor:
    """A linear layer with LoRA; the keywords make the known mistakes."""
    factor = scale(alpha, down.shape[0])
    base = x @ weight.T + (bias if with_bias else 0)
    return (factor if scale_base else 1) * base + factor * (x @ down.T) @ up.T


def _layer(g: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, float]:
    into, out, rank = draw.integer(g, 5, 7), draw.integer(g, 8, 9), draw.integer(g, 2, 4)
    x, weight, bias = draw.normal(g, 2, 3, into), draw.normal(g, out, into), draw.normal(g, out)
    down, up = draw.normal(g, rank, into), draw.normal(g, out, rank)
    return x, weight, bias, down, up, float(3 * rank)


# --- largest_rank -------------------------------------------------------------------------------


def _largest_rank(shapes: list[tuple[int, int]], base: int, share: float) -> int:
    each = sum(out + into for out, into in shapes)
    # r each / (base + r each) <= share
    return math.floor(share * base / ((1 - share) * each))


def _share_of_base(shapes: list[tuple[int, int]], base: int, share: float) -> int:
    return math.floor(share * base / sum(out + into for out, into in shapes))


def _rounded(shapes: list[tuple[int, int]], base: int, share: float) -> int:
    return round(share * base / ((1 - share) * sum(out + into for out, into in shapes)) + 0.5)


def _down_only(shapes: list[tuple[int, int]], base: int, share: float) -> int:
    return math.floor(share * base / ((1 - share) * sum(into for _, into in shapes)))


def _one_layer(shapes: list[tuple[int, int]], base: int, share: float) -> int:
    return _largest_rank(shapes[:1], base, share)


def _shapes_and_budget(g: Generator) -> tuple[list[tuple[int, int]], int, float]:
    """A budget that lies just above a whole rank when the adapters count as parameters too."""
    sides = [(8 * draw.integer(g, 2, 20), 8 * draw.integer(g, 2, 20)) for _ in range(5)]
    each, rank = sum(out + into for out, into in sides), draw.integer(g, 6, 12)
    base = 10 * rank * each
    share = (rank - 0.3) * each / (base + (rank - 0.3) * each)
    return sides, base, share


# --- dora_weight --------------------------------------------------------------------------------


def _dora_weight(
    weight: Tensor,
    magnitude: Tensor,
    down: Tensor,
    up: Tensor,
    scale: float,
    *,
    axis: int = 1,
    of_the_base: bool = False,
    update_only: bool = False,
) -> Tensor:
    direction = weight + scale * up @ down
    measured = weight if of_the_base else direction
    if update_only:
        return weight + magnitude[:, None] * scale * up @ down
    return magnitude[:, None] * direction / measured.norm(dim=axis, keepdim=True)


def _matrix(g: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    side, rank = draw.integer(g, 5, 7), draw.integer(g, 1, 3)  # square: both axes can be measured
    weight, magnitude = draw.normal(g, side, side), draw.uniform(g, side, low=0.5, high=3.0)
    return weight, magnitude, draw.normal(g, rank, side), draw.normal(g, side, rank), 0.5


# --- mixed_batch --------------------------------------------------------------------------------


def _mixed_batch(x: Tensor, weight: Tensor, downs: Tensor, ups: Tensor, which: Tensor) -> Tensor:
    low = torch.einsum("btd,brd->btr", x, downs[which])
    return x @ weight.T + torch.einsum("btr,bor->bto", low, ups[which])


def _first_adapter(x: Tensor, weight: Tensor, downs: Tensor, ups: Tensor, which: Tensor) -> Tensor:
    return _mixed_batch(x, weight, downs, ups, torch.zeros_like(which))


def _all_adapters(x: Tensor, weight: Tensor, downs: Tensor, ups: Tensor, which: Tensor) -> Tensor:
    return x @ (weight + (ups @ downs).sum(0)).T


def _by_place(x: Tensor, weight: Tensor, downs: Tensor, ups: Tensor, which: Tensor) -> Tensor:
    return _mixed_batch(x, weight, downs, ups, torch.arange(len(which)) % len(downs))


def _without_base(x: Tensor, weight: Tensor, downs: Tensor, ups: Tensor, which: Tensor) -> Tensor:
    return _mixed_batch(x, torch.zeros_like(weight), downs, ups, which)


def _batch_of_users(g: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    adapters, rank, into, out = 3, draw.integer(g, 1, 3), draw.integer(g, 4, 6), 5
    which = torch.tensor([2, 1, 2, 0])
    x, weight = draw.normal(g, 4, 2, into), draw.normal(g, out, into)
    return (
        x,
        weight,
        draw.normal(g, adapters, rank, into),
        draw.normal(g, adapters, out, rank),
        which,
    )


# --- combined -----------------------------------------------------------------------------------


def _combined(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], weights: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    (down1, up1), (down2, up2) = first, second
    return torch.cat([down1, down2]), torch.cat([weights[0] * up1, weights[1] * up2], dim=1)


def _factors_added(first, second, weights):
    (down1, up1), (down2, up2) = first, second
    return weights[0] * down1 + weights[1] * down2, weights[0] * up1 + weights[1] * up2


def _weights_twice(first, second, weights):
    down, up = _combined(first, second, weights)
    rank = first[0].shape[0]
    factor = torch.cat(
        [torch.full((rank,), weights[0]), torch.full((len(down) - rank,), weights[1])]
    )
    return factor[:, None] * down, up


def _unweighted(first, second, weights):
    return _combined(first, second, (1.0, 1.0))


def _two_adapters(
    g: Generator,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[float, float]]:
    into, out, rank = draw.integer(g, 4, 6), draw.integer(g, 5, 7), draw.integer(g, 1, 3)
    first, second = ((draw.normal(g, rank, into), draw.normal(g, out, rank)) for _ in range(2))
    weights = draw.uniform(g, 2, low=0.3, high=0.8).tolist()
    return first, second, (weights[0], weights[1])


def _product(answer: Callable[..., tuple[Tensor, Tensor]], *inputs: object) -> Tensor | None:
    """B A of what was returned: many pairs have one product."""
    factors = answer(*inputs)
    if factors is None or factors is Ellipsis:
        return None
    down, up = factors
    return up @ down


EXERCISES = (
    Choice(
        name="lora.predict_first_step",
        right="b",
        why={
            "a": "B moves, but the gradient of A is Bᵀ times something, and B is still zero.",
            "b": "The gradient of B contains A x, which is not zero; that of A contains B, which "
            "is. From the second step on both move.",
            "c": "The gradient of A has to come back through B, and B is zero.",
            "d": "This is so when both begin at zero, and then they stay there for good.",
        },
        hint="Write down the gradient of s B A x with respect to each factor, and put B = 0.",
    ),
    Exercise(
        name="lora.forward",
        reference=_forward,
        inputs=_layer,
        hint="The rank is the number of rows of A. Only the update is scaled.",
        remark="Two thin products instead of one more matrix of full size.",
        wrong={
            "not divided": Wrong(
                partial(_forward, scale=lambda alpha, rank: alpha),
                "You scaled by α. Divide it by the rank.",
            ),
            "unscaled": Wrong(
                partial(_forward, scale=lambda alpha, rank: 1.0), "The scale α / r is missing."
            ),
            "rank-stabilized": Wrong(
                partial(_forward, scale=lambda alpha, rank: alpha / rank**0.5),
                "You divided by the root of the rank: this is rsLoRA. Here it is α / r.",
            ),
            "base scaled": Wrong(
                partial(_forward, scale_base=True),
                "You scaled the frozen layer as well. With B = 0 it has to give what it gave.",
            ),
            "no bias": Wrong(
                partial(_forward, with_bias=False), "The bias of the frozen layer is missing."
            ),
        },
    ),
    Exercise(
        name="lora.largest_rank",
        reference=_largest_rank,
        inputs=_shapes_and_budget,
        hint="With n numbers in the adapters, the share is n / (base + n). Solve for n first.",
        remark="The other way round, this is how a rank is chosen: by what you can afford.",
        wrong={
            "of the base": Wrong(
                _share_of_base,
                "You took the share of the base alone. The adapters are part of the model: "
                "n / (base + n).",
            ),
            "rounded up": Wrong(_rounded, "You rounded up: that is over the budget."),
            "A only": Wrong(_down_only, "You counted A alone. B has r numbers for each output."),
            "one matrix": Wrong(_one_layer, "You counted the first matrix alone: all are adapted."),
        },
    ),
    Exercise(
        name="lora.dora_weight",
        reference=_dora_weight,
        inputs=_matrix,
        hint="First V = W + s B A, then the length of each of its rows, then m.",
        remark="With m equal to the lengths of V, this is plain LoRA.",
        wrong={
            "columns": Wrong(
                partial(_dora_weight, axis=0),
                "You measured columns. An output is a row of the matrix, and m has a number for "
                "each output.",
            ),
            "length of the base": Wrong(
                partial(_dora_weight, of_the_base=True),
                "You divided by the lengths of W. The rows of V are to have length 1.",
            ),
            "update only": Wrong(
                partial(_dora_weight, update_only=True),
                "You scaled the update by m. The whole row gets the length m.",
            ),
        },
    ),
    Exercise(
        name="lora.mixed_batch",
        reference=_mixed_batch,
        inputs=_batch_of_users,
        hint="downs[which] has a matrix for every text of the batch: (B, r, D).",
        remark="One pass over the big matrix serves all users; only the thin ones differ.",
        wrong={
            "first": Wrong(_first_adapter, "Every text went through the first adapter."),
            "all": Wrong(
                _all_adapters, "Every text went through the sum of all adapters: pick one for each."
            ),
            "by place": Wrong(
                _by_place,
                "You gave text i adapter i. The number of its adapter is which[i].",
            ),
            "no base": Wrong(_without_base, "The frozen matrix is missing."),
        },
    ),
    Exercise(
        name="lora.combined",
        reference=_combined,
        inputs=_two_adapters,
        run=_product,
        hint="A product of two block matrices is a sum of products.",
        remark="Exact, and its rank is the sum of the ranks.",
        wrong={
            "factors added": Wrong(
                _factors_added,
                "You added the factors. Their product then has cross terms: B1 A2 and B2 A1.",
            ),
            "weights twice": Wrong(
                _weights_twice,
                "You weighted both factors, so their product is weighted with the square.",
            ),
            "unweighted": Wrong(_unweighted, "The weights are missing."),
        },
    ),
)

"""Exercises of the chapter on linear algebra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- cosine_to_all ------------------------------------------------------------------------------


def _cosine_to_all(query: Tensor, words: Tensor) -> Tensor:
    lengths = words.norm(dim=1) * query.norm()
    return words @ query / lengths.where(lengths > 0, torch.ones_like(lengths))


def _cosine_without_the_query(query: Tensor, words: Tensor) -> Tensor:
    return _cosine_to_all(query, words) * query.norm()


def _query_and_words(g: Generator) -> tuple[Tensor, Tensor]:
    """Every other case has a word of length 0."""
    width = draw.integer(g, 2, 9)
    words = 3 * draw.normal(g, draw.integer(g, 10, 14), width)
    if g.initial_seed() % 2:
        words[draw.integer(g, 0, len(words) - 1)] = 0.0
    return 2 * draw.normal(g, width), words


# --- distances ----------------------------------------------------------------------------------


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] - b).square().sum(dim=-1)


def _without_the_factor_two(a: Tensor, b: Tensor) -> Tensor:
    return (_squared_distances(a, b) + a @ b.T).clamp(min=0).sqrt()


def _two_sets_of_points(g: Generator) -> tuple[Tensor, Tensor]:
    """Float64: the formula subtracts nearly equal numbers where two points are close."""
    width = draw.integer(g, 2, 5)
    a, b = (
        draw.normal(g, draw.integer(g, 4, 6), width),
        draw.normal(g, draw.integer(g, 7, 9), width),
    )
    return a.double(), b.double()


# --- dominant_eigenvalue ------------------------------------------------------------------------


def _dominant_eigenvalue(matrix: Tensor) -> Tensor:
    values = torch.linalg.eigvalsh(matrix)
    return values[values.abs().argmax()]


def _iterate(matrix: Tensor, steps: int = 200) -> Tensor:
    v = torch.ones(len(matrix), dtype=matrix.dtype)
    for _ in range(steps):
        v = v @ matrix
        v = v / v.norm()
    return v


def _powers_without_scaling(matrix: Tensor) -> Tensor:
    v = torch.ones(len(matrix), dtype=matrix.dtype)
    for _ in range(200):
        v = v @ matrix
    return v @ matrix @ v / (v @ v)


def _symmetric(g: Generator) -> tuple[Tensor]:
    """A chosen spectrum whose first value stands out, negative in every other case."""
    size = draw.integer(g, 3, 6)
    turn = torch.linalg.qr(draw.normal(g, size, size).double()).Q
    values = draw.uniform(g, size, low=-20.0, high=20.0).double()
    values[0] = -30.0 if g.initial_seed() % 2 else 30.0
    return (turn @ torch.diag(values) @ turn.T,)


# --- thin_factors -------------------------------------------------------------------------------


def _thin_factors(W: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    U, S, Vt = torch.linalg.svd(W, full_matrices=False)
    return U[:, :rank] * S[:rank], Vt[:rank]


def _columns_of_vt(W: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    U, S, Vt = torch.linalg.svd(W, full_matrices=False)
    return U[:, :rank] * S[:rank], Vt[:, :rank].T


def _without_singular_values(W: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    U, _, Vt = torch.linalg.svd(W, full_matrices=False)
    return U[:, :rank], Vt[:rank]


def _weakest_directions(W: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    U, S, Vt = torch.linalg.svd(W, full_matrices=False)
    return U[:, -rank:] * S[-rank:], Vt[-rank:]


def _singular_values_twice(W: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    B, A = _thin_factors(W, rank)
    return B, torch.linalg.svdvals(W)[:rank, None] * A


def _shapes_and_product(answer: Callable[..., Any], W: Tensor, rank: int) -> Any:
    """Factors are right whatever way the singular values are shared, so compare their product."""
    factors = answer(W, rank)
    if factors is None or factors is ...:  # an untouched stub
        return factors
    B, A = factors
    return list(B.shape), list(A.shape), B @ A


def _matrix_and_rank(g: Generator) -> tuple[Tensor, int]:
    """Float64, and singular values one apart, so that the best approximation is unique."""
    rows, columns = draw.integer(g, 6, 7), draw.integer(g, 8, 9)
    left = torch.linalg.qr(draw.normal(g, rows, rows).double()).Q
    right = torch.linalg.qr(draw.normal(g, columns, columns).double()).Q
    values = 0.5 + torch.arange(rows, 0, -1, dtype=torch.float64)
    return left * values @ right[:rows], draw.integer(g, 2, 3)


# --- best_rate ----------------------------------------------------------------------------------


def _curvatures(X: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(X.T @ X / len(X))


def _best_rate(X: Tensor) -> Tensor:
    values = _curvatures(X)
    return 2 / (values[0] + values[-1])


def _observations(g: Generator) -> tuple[Tensor]:
    columns = draw.integer(g, 3, 5)
    scales = draw.uniform(g, columns, low=0.5, high=4.0)
    return ((draw.normal(g, draw.integer(g, 20, 40), columns) * scales).double(),)


EXERCISES = (
    Choice(
        name="linear_algebra.predict_untouched",
        right="c",
        why={
            "a": "x B has only 8 numbers. A map from 1,000 numbers to 8 has to send many inputs to "
            "the same place.",
            "b": "8 is the other side of the account: at most 8 directions are changed.",
            "c": "The rank of BA is at most 8, and rank plus forgotten directions is 1,000. "
            "Whatever B and A are, 992 directions or more pass as if there were no change.",
            "d": "Training chooses which directions they are. It cannot raise the rank over 8.",
        },
        hint="How large can the rank of a product through 8 numbers be, and what is left of 1,000?",
    ),
    Exercise(
        name="linear_algebra.cosine_to_all",
        reference=_cosine_to_all,
        inputs=_query_and_words,
        hint="Dot products first, (V, D) @ (D,). Then divide by both lengths where they are not 0.",
        remark="One product of matrices compares a query with a whole vocabulary.",
        wrong={
            "dot product": Wrong(
                lambda query, words: words @ query,
                "These are dot products: long words win. Divide by both lengths.",
            ),
            "query not scaled": Wrong(
                _cosine_without_the_query,
                "You divided by the lengths of the words only. The order is right, but a cosine "
                "also divides by the length of the query.",
            ),
            "NaN": Wrong(
                lambda query, words: words @ query / (words.norm(dim=1) * query.norm()),
                "A word of length 0 became 0/0 = NaN.",
            ),
            "distance": Wrong(
                lambda query, words: 1 - _cosine_to_all(query, words),
                "This is the cosine distance, 1 - cos: small for the nearest word.",
            ),
        },
    ),
    Exercise(
        name="linear_algebra.distances",
        reference=lambda a, b: _squared_distances(a, b).sqrt(),
        inputs=_two_sets_of_points,
        hint="‖a‖² as a column (N, 1), ‖b‖² as a row (K,), and a @ b.T for all dot products. "
        "Broadcasting does the rest.",
        remark="One matrix product and two sums: nothing of size N × K × D was stored.",
        wrong={
            "squared": Wrong(
                _squared_distances,
                "These are the squared distances: the root is missing.",
            ),
            "factor 2": Wrong(
                _without_the_factor_two,
                "The dot product has to be subtracted twice: (a - b)·(a - b) has it two times.",
            ),
            "streets": Wrong(
                lambda a, b: (a[:, None] - b).abs().sum(dim=-1),
                "This is the distance along the streets, p = 1. Asked for is p = 2.",
            ),
            "transposed": Wrong(
                lambda a, b: _squared_distances(b, a).sqrt(),
                "Rows and columns are swapped: row i belongs to a[i].",
            ),
        },
    ),
    Exercise(
        name="linear_algebra.dominant_eigenvalue",
        reference=_dominant_eigenvalue,
        inputs=_symmetric,
        hint="Shrink v to length 1 after every step. In the end v M = λ v: what is v M v then?",
        remark="The sign is there as well: a negative eigenvalue turns v over in every step.",
        wrong={
            "no sign": Wrong(
                lambda matrix: (_iterate(matrix) @ matrix).norm(),
                "The length of v M is |λ|: the sign is lost. Compare v M with v itself.",
            ),
            "overflow": Wrong(
                _powers_without_scaling,
                "Without scaling the numbers grow by the factor λ in each of 200 steps, until they "
                "are infinite: shrink v to length 1 every time.",
            ),
            "largest, not strongest": Wrong(
                lambda matrix: torch.linalg.eigvalsh(matrix)[-1],
                "This is the largest eigenvalue. Asked for is the one with the largest absolute "
                "value, which may be negative.",
            ),
            "one step": Wrong(
                lambda matrix: _iterate(matrix, 1) @ matrix @ _iterate(matrix, 1),
                "One step is not enough: v still turns. Repeat until it does not.",
            ),
        },
    ),
    Exercise(
        name="linear_algebra.thin_factors",
        reference=_thin_factors,
        inputs=_matrix_and_rank,
        run=_shapes_and_product,
        hint="The first columns of U, the first rows of Vᵀ, and the singular values once: with "
        "either factor, or their roots with both.",
        remark="No other pair of these sizes comes nearer to W in the Frobenius norm.",
        wrong={
            "columns of Vᵀ": Wrong(
                _columns_of_vt,
                "The third result of svd is Vᵀ already: its first rows are the directions, not "
                "its first columns.",
            ),
            "no singular values": Wrong(
                _without_singular_values,
                "The singular values are missing: all directions count the same.",
            ),
            "singular values twice": Wrong(
                _singular_values_twice,
                "The singular values are in both factors, so each counts squared.",
            ),
            "the weakest": Wrong(
                _weakest_directions,
                "You kept the weakest directions: singular values come in falling order.",
            ),
            "not two factors": Wrong(
                lambda W, rank: (W[:, :rank], torch.linalg.pinv(W[:, :rank]) @ W),
                "You kept the first columns of W and fitted the rest to them. The best columns "
                "are mixtures of all columns.",
            ),
        },
    ),
    Exercise(
        name="linear_algebra.best_rate",
        reference=_best_rate,
        inputs=_observations,
        hint="The gradient is Xᵀ(Xw - y) / n, so the error of w is multiplied by I - η XᵀX / n. "
        "Which two eigenvalues limit η?",
        remark="At this rate the steepest and the flattest direction shrink equally fast.",
        wrong={
            "the edge": Wrong(
                lambda X: 2 / _curvatures(X)[-1],
                "At 2/λ_max the steepest direction only jumps back and forth and never shrinks.",
            ),
            "safe": Wrong(
                lambda X: 1 / _curvatures(X)[-1],
                "1/λ_max is safe and solves the steepest direction in one step, but the flattest "
                "one could go faster.",
            ),
            "not divided by n": Wrong(
                lambda X: _best_rate(X) / len(X),
                "You took XᵀX without the 1/n of the loss.",
            ),
            "singular values": Wrong(
                lambda X: 2 / (torch.linalg.svdvals(X)[0] + torch.linalg.svdvals(X)[-1]),
                "These are singular values of X. The curvatures are the eigenvalues of XᵀX / n.",
            ),
        },
    ),
)

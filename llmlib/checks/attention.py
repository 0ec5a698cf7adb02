"""Exercises of the part on attention."""

from __future__ import annotations

from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


def _scaled_scores(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5


def _queries_and_keys(g: Generator) -> tuple[Tensor, Tensor]:
    batch, width = draw.integer(g, 1, 3), draw.integer(g, 2, 40)
    queries, keys = draw.integer(g, 2, 5), draw.integer(g, 6, 8)
    return draw.normal(g, batch, queries, width), draw.normal(g, batch, keys, width)


EXERCISES = (
    Exercise(
        name="attention.scaled_scores",
        reference=_scaled_scores,
        inputs=_queries_and_keys,
        hint="One dot product per query and key: (T, K) @ (K, S). Then divide by √K.",
        remark="Their variance is now 1 at any width.",
        wrong={
            "unscaled": Wrong(
                lambda query, key: query @ key.transpose(-2, -1),
                "These are the bare dot products: their variance still grows with the width.",
            ),
            "divided by the width": Wrong(
                lambda query, key: query @ key.transpose(-2, -1) / query.shape[-1],
                "You divided by the width. The standard deviation grows with its square root.",
            ),
            "scaled by the number of keys": Wrong(
                lambda query, key: query @ key.transpose(-2, -1) / key.shape[-2] ** 0.5,
                "You divided by the square root of the number of keys, the wrong axis of key.",
            ),
        },
    ),
    Choice(
        name="attention.predict_same_keys",
        right="c",
        why={
            "a": "Only scores that differ can single out one key; equal scores never do.",
            "b": "The softmax of equal scores is equal weights, whatever the scores are. They sum "
            "to 1, so the output cannot vanish unless the values do.",
            "c": "Equal keys give equal scores and weights of 1/S: the output is the mean of the "
            "values.",
            "d": "The query multiplies every score alike here, so it cannot change the weights.",
        },
        hint="Write down the scores of one query, then their softmax.",
    ),
)

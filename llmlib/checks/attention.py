"""Exercises of the chapter on scaled dot-product attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong
from llmlib.nn import causal_mask

__all__ = ["EXERCISES"]

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def _scaled_scores(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5


def _queries_and_keys(g: Generator) -> tuple[Tensor, Tensor]:
    batch, width = draw.integer(g, 1, 3), draw.integer(g, 2, 40)
    queries, keys = draw.integer(g, 2, 5), draw.integer(g, 6, 8)
    return draw.normal(g, batch, queries, width), draw.normal(g, batch, keys, width)


# --- masked_softmax -----------------------------------------------------------------------------


def _masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(dim=-1).masked_fill(~mask, 0.0)


def _overflowing_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    e = scores.exp() * mask
    return (e / e.sum(dim=-1, keepdim=True)).masked_fill(~mask, 0.0)


def _scores_and_mask(g: Generator) -> tuple[Tensor, Tensor]:
    """Every other case has scores around 200, and one row of each mask is empty."""
    queries, keys = draw.integer(g, 3, 5), draw.integer(g, 6, 8)
    mask = draw.mask(g, queries, keys)
    mask[draw.integer(g, 0, queries - 1)] = False
    return draw.normal(g, queries, keys) * 2 + 200 * (g.initial_seed() % 2), mask


# --- window_mask --------------------------------------------------------------------------------


def _steps_back(length: int) -> Tensor:
    position = torch.arange(length)
    return position[:, None] - position  # (T, S): 0 on the diagonal, positive before it


def _window_mask(length: int, window: int) -> Tensor:
    return (_steps_back(length) >= 0) & (_steps_back(length) < window)


def _length_and_window(g: Generator) -> tuple[int, int]:
    return draw.integer(g, 6, 9), draw.integer(g, 2, 4)


# --- sees_the_future ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Attention:
    """An attention function whose printed form says what it does."""

    name: str
    weights: Callable[[Tensor], Tensor]

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return self.weights(_scaled_scores(query, key)) @ value

    def __repr__(self) -> str:
        return f"= attention with {self.name}"


def _masked(allowed: Callable[[int], Tensor], dim: int = -1) -> Callable[[Tensor], Tensor]:
    return lambda scores: scores.masked_fill(~allowed(len(scores)), -torch.inf).softmax(dim)


def _pairs_look_ahead(length: int) -> Tensor:
    pair = torch.arange(length) // 2
    return pair[:, None] >= pair


_ATTENTIONS = (
    _Attention("a causal mask", _masked(causal_mask)),
    _Attention("no mask", lambda scores: scores.softmax(-1)),
    _Attention("a causal window of 3", _masked(lambda length: _window_mask(length, 3))),
    _Attention("tril(1)", _masked(lambda length: _steps_back(length) >= -1)),
    _Attention(
        "the mask after the softmax", lambda scores: scores.softmax(-1) * causal_mask(len(scores))
    ),
    _Attention("the softmax over the queries", _masked(causal_mask, dim=-2)),
    _Attention("a look ahead within pairs", _masked(_pairs_look_ahead)),
    _Attention("each token alone", _masked(lambda length: _steps_back(length) == 0)),
)


def _an_attention(g: Generator) -> tuple[Attend]:
    return (_ATTENTIONS[g.initial_seed() % len(_ATTENTIONS)],)


def _sees_the_future(attend: Attend) -> bool:
    return _leaks(attend, changing=slice(0, 3))


def _changes_values_only(attend: Attend) -> bool:
    return _leaks(attend, changing=slice(2, 3))


def _leaks(attend: Attend, changing: slice, length: int = 7) -> bool:
    now, other = torch.randn(2, 3, length, 4)  # two sets of query, key and value
    for position in range(1, length):
        changed = now.clone()
        changed[changing, position] = other[changing, position]
        before, after = attend(*now)[:position], attend(*changed)[:position]
        if not torch.allclose(before, after, atol=1e-5):
            return True
    return False


def _changes_the_last_token_only(attend: Attend) -> bool:
    now, other = torch.randn(2, 3, 5, 4)
    changed = now.clone()
    changed[:, -1] = other[:, -1]
    return not torch.allclose(attend(*now)[:-1], attend(*changed)[:-1], atol=1e-5)


# --- streaming_attention ------------------------------------------------------------------------


class _Blocks(list[tuple[Tensor, Tensor]]):
    """Keys and values in blocks, printed by their sizes."""

    def __repr__(self) -> str:
        return f"of {', '.join(str(len(keys)) for keys, _ in self)} keys"


def _streaming_attention(query: Tensor, blocks: _Blocks) -> Tensor:
    return _stream(query, blocks)


def _stream(
    query: Tensor,
    blocks: Sequence[tuple[Tensor, Tensor]],
    rescale: bool = True,
    shift: bool = True,
) -> Tensor:
    peak, total, mixed = torch.tensor(-torch.inf), torch.tensor(0.0), torch.tensor(0.0)
    for keys, values in blocks:
        scores = keys @ query / query.shape[-1] ** 0.5  # (n,)
        new_peak = torch.maximum(peak, scores.max()) if shift else torch.tensor(0.0)
        shrink = torch.exp(peak - new_peak) if rescale and shift else torch.tensor(1.0)
        e = torch.exp(scores - new_peak)
        total = total * shrink + e.sum()
        mixed = mixed * shrink + e @ values
        peak = new_peak
    return mixed / total


def _mean_over_blocks(query: Tensor, blocks: _Blocks) -> Tensor:
    return torch.stack([_stream(query, [block]) for block in blocks]).mean(dim=0)


def _query_and_blocks(g: Generator) -> tuple[Tensor, _Blocks]:
    """Every other case has scores in the hundreds."""
    width = draw.integer(g, 4, 8)
    sizes = [draw.integer(g, 1, 4) for _ in range(draw.integer(g, 3, 5))]
    blocks = _Blocks((draw.normal(g, size, width), draw.normal(g, size, 3)) for size in sizes)
    return draw.normal(g, width) * (200 if g.initial_seed() % 2 else 1), blocks


EXERCISES = (
    Choice(
        name="attention.predict_shifted_keys",
        right="a",
        why={
            "a": "Every score of a row grows by the same q·c/√d, and the softmax does not feel a "
            "number that is added to all its inputs. A bias on the key projection does nothing.",
            "b": "Sharper weights need larger differences between the scores, and those stay.",
            "c": "A key does not point more towards c than before compared with the other keys: "
            "all of them moved by c, so each score of the row grows by the same q·c/√d.",
            "d": "The added number q·c/√d does differ from query to query, but the softmax runs "
            "along one query's row, in which it is the same everywhere.",
        },
        hint="Write q·(k + c) as a sum of two terms. Which of them depends on the key?",
    ),
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
    Exercise(
        name="attention.masked_softmax",
        reference=_masked_softmax,
        inputs=_scores_and_mask,
        hint="-inf makes an empty row 0/0. Which finite score is low enough, and what does the "
        "softmax make of a row that has nothing else? Mend that afterwards.",
        remark="No overflow, no NaN, and a row with nothing to attend to is all zeros.",
        wrong={
            "mask after the softmax": Wrong(
                lambda scores, mask: scores.softmax(-1) * mask,
                "The mask came after the softmax, so the rows no longer sum to 1.",
            ),
            "score 0": Wrong(
                lambda scores, mask: (scores * mask).softmax(-1),
                "A score of 0 is not forbidden: e⁰ = 1. Only a very low score gets no weight.",
            ),
            "True means ignore": Wrong(
                lambda scores, mask: _masked_softmax(scores, ~mask),
                "You kept what is forbidden. Here True means: may attend.",
            ),
            "over the queries": Wrong(
                lambda scores, mask: _masked_softmax(scores.T, mask.T).T,
                "Your columns sum to 1. The softmax has to run along the keys, the last axis.",
            ),
            "overflow": Wrong(
                _overflowing_softmax,
                "exp(200) is infinite in float32: subtract the largest score of the row first.",
            ),
            "NaN": Wrong(
                lambda scores, mask: scores.masked_fill(~mask, -torch.inf).softmax(-1),
                "A row in which everything is forbidden became 0/0 = NaN.",
            ),
            "uniform": Wrong(
                lambda scores, mask: scores.masked_fill(~mask, -1e30).softmax(-1),
                "In a row in which everything is forbidden all scores are equally low, so the "
                "softmax spread the weight evenly.",
            ),
        },
    ),
    Exercise(
        name="attention.window_mask",
        reference=_window_mask,
        inputs=_length_and_window,
        hint="Make a (T, T) matrix of t - s with torch.arange. Where may it lie?",
        remark="Memory and time now grow with length × window instead of length².",
        wrong={
            "one too many": Wrong(
                lambda length, window: _window_mask(length, window + 1),
                "Each token sees one too many: the token itself counts as one of the window.",
            ),
            "without itself": Wrong(
                lambda length, window: _window_mask(length, window + 1) & (_steps_back(length) > 0),
                "A token has to see itself too; the first one would see nothing.",
            ),
            "both sides": Wrong(
                lambda length, window: _steps_back(length).abs() < window,
                "Your window reaches into the future as well: t - s must not be negative.",
            ),
            "only the past is cut": Wrong(
                lambda length, window: _steps_back(length) < window,
                "The far past is cut off, but the whole future is visible.",
            ),
            "transposed": Wrong(
                lambda length, window: _window_mask(length, window).T,
                "Rows and columns are swapped: rows are queries, columns are keys.",
            ),
        },
    ),
    Exercise(
        name="attention.sees_the_future",
        reference=_sees_the_future,
        inputs=_an_attention,
        cases=24,
        hint="Change query, key and value at one position, for every position in turn, and "
        "compare the outputs before it.",
        remark="Correct masks pass, and you caught a leak through the mask, through the "
        "denominator, and within pairs.",
        wrong={
            "values only": Wrong(
                _changes_values_only,
                "You changed the values only. The future can also leak through the keys and "
                "queries, which enter the denominator of the softmax.",
            ),
            "last token only": Wrong(
                _changes_the_last_token_only,
                "You changed one position only. A leak may sit anywhere: try every position.",
            ),
            "all outputs": Wrong(
                lambda attend: True,
                "You call every attention leaky. Outputs at the changed position and after it may "
                "move: compare the earlier ones only.",
            ),
            "no outputs": Wrong(
                lambda attend: False,
                "You call every attention honest. Change a later token and compare the outputs "
                "before it, with a tolerance.",
            ),
        },
    ),
    Exercise(
        name="attention.streaming_attention",
        reference=_streaming_attention,
        inputs=_query_and_blocks,
        hint="Keep three things: the largest score so far, the sum of exponentials, the sum of "
        "weighted values. What must happen to both sums when the largest grows?",
        remark="This is the idea inside FlashAttention: the weights are never stored.",
        wrong={
            "mean of blocks": Wrong(
                _mean_over_blocks,
                "You averaged the blocks' answers. A block with better matches must count more.",
            ),
            "overflow": Wrong(
                lambda query, blocks: _stream(query, blocks, shift=False),
                "exp of a score of some hundreds is infinite: subtract the largest so far.",
            ),
            "not rescaled": Wrong(
                lambda query, blocks: _stream(query, blocks, rescale=False),
                "The blocks were shifted by different maxima. When the largest grows from m to n, "
                "multiply both sums by exp(m - n).",
            ),
            "unscaled": Wrong(
                lambda query, blocks: _stream(query * query.shape[-1] ** 0.5, blocks),
                "The weights follow the bare dot products: divide the scores by √K.",
            ),
        },
    ),
)

"""Exercises of the chapter on positions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong
from llmlib.nn import ALiBi, RotaryEmbedding, interleaved_to_half

__all__ = ["EXERCISES"]

Score = Callable[[Tensor, Tensor, int, int], Tensor]


def _alibi_bias(num_heads: int, length: int) -> Tensor:
    slots = torch.arange(length)
    return ALiBi(num_heads)(slots, slots)


def _slopes_from_one(num_heads: int, length: int) -> Tensor:
    """Slopes that begin at 1, the exponents counted from 0."""
    return _alibi_bias(num_heads, length) * 2 ** (8 / num_heads)


def _alibi_sizes(g: Generator) -> tuple[int, int]:
    return 2 ** draw.integer(g, 1, 4), draw.integer(g, 3, 7)


def _rotate_half(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return RotaryEmbedding(x.shape[-1], base=base, max_len=64)(x, positions)


def _rotate_interleaved(x: Tensor, positions: Tensor, base: float) -> Tensor:
    rotary = RotaryEmbedding(x.shape[-1], base=base, pairing="interleaved", max_len=64)
    return rotary(x, positions)


def _rotate_backwards(x: Tensor, positions: Tensor, base: float) -> Tensor:
    mirror = torch.ones(x.shape[-1])
    mirror[x.shape[-1] // 2 :] = -1.0
    return _rotate_half(x * mirror, positions, base) * mirror


def _rotate_twice_too_slow(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """The exponent without its 2."""
    return _rotate_half(x, positions, base**0.5)


def _vectors_and_positions(g: Generator) -> tuple[Tensor, Tensor, float]:
    length, width = draw.integer(g, 3, 6), 2 * draw.integer(g, 2, 5)
    x = draw.normal(g, draw.integer(g, 1, 3), length, width)
    positions = torch.randint(1, 64, (length,), generator=g)
    return x, positions, float(10 ** draw.integer(g, 2, 4))


def _positions_from_mask(mask: Tensor) -> Tensor:
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def _padding_masks(g: Generator) -> tuple[Tensor]:
    length = draw.integer(g, 5, 8)
    pads = torch.randint(0, length - 1, (4,), generator=g)
    pads[0], pads[1] = 0, 2  # at least one row without padding and one with two
    return (torch.arange(length) >= pads[:, None],)


def _is_relative(score: Score) -> bool:
    for _ in range(8):
        query, key = torch.randn(2, 8)
        m, n, shift = torch.randint(0, 20, (3,)).tolist()
        here = score(query, key, m, n)
        there = score(query, key, m + shift + 1, n + shift + 1)
        if not torch.allclose(here, there, atol=1e-3):
            return False
    return True


def _compares_two_places(score: Score) -> bool:
    """Moves the key alone, so that the distance changes too."""
    query, key = torch.randn(2, 8)
    return torch.allclose(score(query, key, 3, 2), score(query, key, 3, 7), atol=1e-3)


def _tries_zero_vectors(score: Score) -> bool:
    """Without words, added positions look relative: their products depend on the distance."""
    zero = torch.zeros(8)
    return torch.allclose(score(zero, zero, 3, 2), score(zero, zero, 10, 9), atol=1e-3)


def _score_added(query: Tensor, key: Tensor, m: int, n: int) -> Tensor:
    frequency = 100.0 ** (-torch.arange(0, 8, 2) / 8)
    places = torch.tensor([m, n])[:, None] * frequency
    table = torch.cat([places.sin(), places.cos()], dim=-1)
    return (query + table[0]) @ (key + table[1])


def _score_turned(query: Tensor, key: Tensor, m: int, n: int) -> Tensor:
    turned = _rotate_half(torch.stack([query, key]), torch.tensor([m, n]), 100.0)
    return turned[0] @ turned[1]


def _score_turned_apart(query: Tensor, key: Tensor, m: int, n: int) -> Tensor:
    """The two pairings mixed: one for the query, the other for the key."""
    query = _rotate_half(query[None], torch.tensor([m]), 100.0)[0]
    return query @ _rotate_interleaved(key[None], torch.tensor([n]), 100.0)[0]


def _score_with_bias(query: Tensor, key: Tensor, m: int, n: int) -> Tensor:
    return query @ key - 0.25 * abs(m - n)


def _score_with_key_position(query: Tensor, key: Tensor, m: int, n: int) -> Tensor:
    return query @ key + 0.25 * n


def _score_without_position(query: Tensor, key: Tensor, m: int, n: int) -> Tensor:
    return query @ key


_SCORES = (
    _score_turned,
    _score_added,
    _score_with_bias,
    _score_turned_apart,
    _score_without_position,
    _score_with_key_position,
)


def _some_score(g: Generator) -> tuple[Score]:
    return (_SCORES[draw.integer(g, 0, len(_SCORES) - 1)],)


def _half_to_interleaved(weight: Tensor, head_dim: int) -> Tensor:
    halves = weight.unflatten(0, (-1, 2, head_dim // 2))  # (H, 2, K/2, D)
    return halves.transpose(1, 2).flatten(0, 2)  # (H, K/2, 2, D) -> (H * K, D)


def _across_heads(weight: Tensor, head_dim: int) -> Tensor:
    return _half_to_interleaved(weight, weight.shape[0])


def _projection(g: Generator) -> tuple[Tensor, int]:
    head_dim = 2 * draw.integer(g, 3, 5)
    return draw.normal(g, draw.integer(g, 2, 3) * head_dim, draw.integer(g, 2, 4)), head_dim


EXERCISES = (
    Choice(
        name="positions.predict_padding",
        right="b",
        why={
            "a": "Added vectors are no longer those of positions 0, 1, 2 …: the words meet other "
            "numbers, and every score may change.",
            "b": "Turning and biasing see distances only, and all words moved by the same ten "
            "places. Added vectors see the places themselves.",
            "c": "A distance does not change when both ends move by ten, so what sees distances "
            "only does not change either.",
            "d": "The added vectors of places 10, 11, 12 … are other vectors than those of places "
            "0, 1, 2 …, whether they are learned or made of waves.",
        },
        hint="For each scheme, ask: does it look at m and n, or at m - n only?",
    ),
    Exercise(
        name="positions.alibi_bias",
        reference=_alibi_bias,
        inputs=_alibi_sizes,
        hint="Two factors: a column of H slopes, and a (T, T) table of distances |t - s|.",
        remark="There is nothing to learn in it, and nothing in it ends with the training length.",
        wrong={
            "reward": Wrong(
                lambda num_heads, length: -_alibi_bias(num_heads, length),
                "The sign: your bias grows with the distance, so far words are preferred.",
            ),
            "slopes from 1": Wrong(
                _slopes_from_one,
                "Your first slope is 1. Heads are counted from 1: the first is 2^(-8/H).",
            ),
            "signed distance": Wrong(
                lambda num_heads, length: (
                    _alibi_bias(num_heads, length).tril().sub(_alibi_bias(num_heads, length).triu())
                ),
                "You took t - s with its sign, so later words get a reward. Take |t - s|.",
            ),
        },
    ),
    Exercise(
        name="positions.rotate_half",
        reference=_rotate_half,
        inputs=_vectors_and_positions,
        hint="Cut x into x[..., :K // 2] and x[..., K // 2:]; feature i is a, feature i + K/2 "
        "is b. Turn them as the matrix says, and lay the two results side by side.",
        remark="This is what Llama does to every query and key.",
        wrong={
            "interleaved": Wrong(
                _rotate_interleaved,
                "You paired the neighbours 2i and 2i + 1. Here feature i turns with i + K/2.",
            ),
            "backwards": Wrong(
                _rotate_backwards,
                "You turned the other way: the minus belongs to the first half of the result.",
            ),
            "frequencies without the 2": Wrong(
                _rotate_twice_too_slow,
                "Your frequencies are base^(-i/K), with i = 0, 1, 2 … The exponent is -2i/K.",
            ),
            "not turned": Wrong(
                lambda x, positions, base: x, "You returned x itself: nothing was turned."
            ),
        },
        atol=1e-4,
    ),
    Exercise(
        name="positions.positions_from_mask",
        reference=_positions_from_mask,
        inputs=_padding_masks,
        hint="The number of a word is the number of real words before it: think of cumsum.",
        remark="`generate` of transformers does the same for prompts that are padded on the left.",
        wrong={
            "places": Wrong(
                lambda mask: torch.arange(mask.shape[1]).expand(mask.shape),
                "These are places in the tensor. The first real word of every row is number 0.",
            ),
            "counted from 1": Wrong(
                lambda mask: mask.long().cumsum(-1),
                "Your first real word is number 1: positions are counted from 0.",
            ),
            "negative": Wrong(
                lambda mask: mask.long().cumsum(-1) - 1,
                "Padding got -1, which no table has a row for: use 0 there.",
            ),
        },
    ),
    Exercise(
        name="positions.is_relative",
        reference=_is_relative,
        inputs=_some_score,
        hint="Draw random words, move both positions by the same number, and compare. Try more "
        "than one pair and more than one shift.",
        remark="It passes turning and biases, and catches sums and mixed pairings.",
        wrong={
            "only the key moves": Wrong(
                _compares_two_places,
                "You changed the distance as well. Move both positions by the same number.",
            ),
            "zero vectors": Wrong(
                _tries_zero_vectors,
                "With zero vectors in place of words, added positions look relative. It is the "
                "mixed terms, word by position, that see the absolute place.",
            ),
            "always": Wrong(lambda score: True, "Your detector says True to everything."),
        },
    ),
    Exercise(
        name="positions.half_to_interleaved",
        reference=_half_to_interleaved,
        inputs=_projection,
        hint="The library goes the other way with (H, K/2, 2) and a transpose. Which shape do "
        "the rows have before you undo it?",
        remark="With this you can load a checkpoint of either kind.",
        wrong={
            "the same way again": Wrong(
                interleaved_to_half,
                "This is interleaved_to_half itself. It is not its own inverse once K > 4.",
            ),
            "across heads": Wrong(
                _across_heads,
                "You reordered all rows as if they were one head. Every head has its own pairs.",
            ),
            "untouched": Wrong(
                lambda weight, head_dim: weight, "You returned the rows in their old order."
            ),
        },
    ),
)

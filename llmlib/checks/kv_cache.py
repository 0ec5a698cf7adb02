"""Exercises of the chapter on the key-value cache."""

from __future__ import annotations

from functools import partial

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- cache_bytes --------------------------------------------------------------------------------


def _cache_bytes(
    layers: int, heads: int, kv_heads: int, head_width: int, texts: int, tokens: int, size: int
) -> int:
    return 2 * layers * kv_heads * head_width * texts * tokens * size


def _keys_only(layers, heads, kv_heads, head_width, texts, tokens, size):
    return layers * kv_heads * head_width * texts * tokens * size


def _query_heads(layers, heads, kv_heads, head_width, texts, tokens, size):
    return 2 * layers * heads * head_width * texts * tokens * size


def _one_text(layers, heads, kv_heads, head_width, texts, tokens, size):
    return 2 * layers * kv_heads * head_width * tokens * size


def _numbers_not_bytes(layers, heads, kv_heads, head_width, texts, tokens, size):
    return 2 * layers * kv_heads * head_width * texts * tokens


def _sizes(g: Generator) -> tuple[int, ...]:
    kv_heads, group = draw.integer(g, 1, 4), draw.integer(g, 2, 4)
    layers, width = draw.integer(g, 2, 40), 16 * draw.integer(g, 1, 8)
    texts, tokens = draw.integer(g, 2, 9), draw.integer(g, 10, 5000)
    return layers, kv_heads * group, kv_heads, width, texts, tokens, 2 * draw.integer(g, 1, 2)


# --- slots --------------------------------------------------------------------------------------


def _slots(blocks: Tensor, length: int, block_size: int) -> Tensor:
    t = torch.arange(length)
    return blocks[t // block_size] * block_size + t % block_size


def _blocks_only(blocks: Tensor, length: int, block_size: int) -> Tensor:
    return blocks[torch.arange(length) // block_size]


def _block_not_multiplied(blocks: Tensor, length: int, block_size: int) -> Tensor:
    t = torch.arange(length)
    return blocks[t // block_size] + t % block_size


def _in_one_piece(blocks: Tensor, length: int, block_size: int) -> Tensor:
    return blocks[0] * block_size + torch.arange(length)


def _all_slots(blocks: Tensor, length: int, block_size: int) -> Tensor:
    return _slots(blocks, len(blocks) * block_size, block_size)


def _table(g: Generator) -> tuple[Tensor, int, int]:
    size, count = draw.integer(g, 3, 6), draw.integer(g, 3, 5)
    blocks = 1 + torch.randperm(12, generator=g)[:count]
    return blocks, count * size - draw.integer(g, 1, size - 1), size


# --- decode_step --------------------------------------------------------------------------------


def _decode_step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    keys: Tensor,
    values: Tensor,
    length: int,
    *,
    sees_itself: bool = True,
    whole_room: bool = False,
    scaled: bool = True,
    place: int = 0,
) -> Tensor:
    """Attention of the newest token with a static cache; the keywords make the known mistakes."""
    keys, values = keys.clone(), values.clone()
    keys[length + place], values[length + place] = key, value
    end = len(keys) if whole_room else length + int(sees_itself)
    scores = keys[:end] @ query / (len(query) ** 0.5 if scaled else 1.0)
    return scores.softmax(0) @ values[:end]


def _newest_and_room(g: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]:
    width, room, length = draw.integer(g, 3, 5), draw.integer(g, 8, 10), draw.integer(g, 2, 6)
    used = (torch.arange(room) < length)[:, None]
    keys, values = (2 * draw.normal(g, room, width) * used for _ in range(2))
    query, key, value = (2 * draw.normal(g, width) for _ in range(3))
    return query, key, value, keys, values, length


# --- distinct_blocks ----------------------------------------------------------------------------


def _distinct_blocks(texts: list[list[int]], block_size: int) -> int:
    full, partial_blocks = set(), 0
    for text in texts:
        ends = range(block_size, len(text) + 1, block_size)
        full |= {tuple(text[:end]) for end in ends}
        partial_blocks += len(text) % block_size > 0
    return len(full) + partial_blocks


def _blocks_unshared(texts: list[list[int]], block_size: int) -> int:
    return sum(-(-len(text) // block_size) for text in texts)


def _blocks_by_content(texts: list[list[int]], block_size: int) -> int:
    full, partial_blocks = set(), 0
    for text in texts:
        cuts = range(0, len(text) - block_size + 1, block_size)
        full |= {tuple(text[cut : cut + block_size]) for cut in cuts}
        partial_blocks += len(text) % block_size > 0
    return len(full) + partial_blocks


def _no_partial_blocks(texts: list[list[int]], block_size: int) -> int:
    ends = [
        tuple(text[:end]) for text in texts for end in range(block_size, len(text) + 1, block_size)
    ]
    return len(set(ends))


def _distinct_tokens_packed(texts: list[list[int]], block_size: int) -> int:
    beginnings = {tuple(text[: end + 1]) for text in texts for end in range(len(text))}
    return -(-len(beginnings) // block_size)


def _texts_with_one_beginning(g: Generator) -> tuple[list[list[int]], int]:
    """Two texts begin alike, and the third repeats a block's content at another place."""
    size = draw.integer(g, 2, 4)
    words = draw.tokens(g, 3 * size, vocab_size=50).tolist()
    tails = [(50 + draw.tokens(g, size + 1, vocab_size=9)).tolist() for _ in range(3)]
    first = [*words, *tails[0][:1]]
    second = [*words, 60, *tails[1]]
    third = [*(70 + draw.tokens(g, size, vocab_size=9)).tolist(), *words[:size], *tails[2][:1]]
    return [first, second, third], size


# --- continuous_steps ---------------------------------------------------------------------------


def _continuous_steps(lengths: list[int], seats: int) -> int:
    waiting, running, steps = list(lengths), [], 0
    while waiting or running:
        free = seats - len(running)
        running, waiting = running + waiting[:free], waiting[free:]
        running = [left - 1 for left in running if left > 1]
        steps += 1
    return steps


def _static_steps(lengths: list[int], seats: int) -> int:
    return sum(max(lengths[start : start + seats]) for start in range(0, len(lengths), seats))


def _perfect_steps(lengths: list[int], seats: int) -> int:
    return -(-sum(lengths) // seats)


def _one_by_one(lengths: list[int], seats: int) -> int:
    return sum(lengths)


def _seat_idle_for_a_step(lengths: list[int], seats: int) -> int:
    return _continuous_steps([length + 1 for length in lengths], seats) - 1


def _lengths_and_seats(g: Generator) -> tuple[list[int], int]:
    seats = draw.integer(g, 2, 4)
    lengths = (1 + draw.tokens(g, 3 * seats + 1, vocab_size=20)).tolist()
    return [30, 2, *lengths, 25], seats


EXERCISES = (
    Choice(
        name="kv_cache.predict_growth",
        right="c",
        why={
            "a": "The weights are read once per step, however long the text is.",
            "b": "With a cache, one token goes through the feed-forward layers in each step. "
            "Earlier tokens have been through.",
            "c": "Every step reads the keys and values of all tokens so far. This alone grows with "
            "the context, in bytes read and in operations of attention.",
            "d": "One query per step and head: those of earlier tokens have done their work.",
        },
        hint="Which of these belong to the newest token alone?",
    ),
    Exercise(
        name="kv_cache.cache_bytes",
        reference=_cache_bytes,
        inputs=_sizes,
        hint="Count the numbers that one token leaves in one layer, then multiply.",
        remark="For every token of every text, whether the model is asked about it or not.",
        wrong={
            "keys only": Wrong(_keys_only, "Half of it: keys and values are kept, both."),
            "query heads": Wrong(
                _query_heads,
                "You counted query heads. Only the heads of keys and values leave anything.",
            ),
            "one text": Wrong(_one_text, "This is the cache of one text: each has its own."),
            "numbers": Wrong(
                _numbers_not_bytes, "These are numbers. Each takes several bytes: multiply."
            ),
        },
    ),
    Exercise(
        name="kv_cache.slots",
        reference=_slots,
        inputs=_table,
        hint="Token t stands in its text's block number t // block_size, at place t % block_size.",
        remark="One line of integers, and a text may lie anywhere.",
        wrong={
            "blocks only": Wrong(
                _blocks_only, "These are the blocks; each has block_size slots of its own."
            ),
            "not multiplied": Wrong(
                _block_not_multiplied,
                "Block b begins at slot b * block_size, not at slot b.",
            ),
            "one piece": Wrong(
                _in_one_piece,
                "You went on behind the first block. The next block may be anywhere: look it up.",
            ),
            "all slots": Wrong(
                _all_slots, "You listed the empty slots of the last block too: stop at length."
            ),
        },
    ),
    Exercise(
        name="kv_cache.decode_step",
        reference=_decode_step,
        inputs=_newest_and_room,
        hint="Write first, then attend to the first length + 1 slots.",
        remark="One row of attention: this is all that a new token costs.",
        wrong={
            "not itself": Wrong(
                partial(_decode_step, sees_itself=False),
                "The newest token does not see itself: there are length + 1 tokens now.",
            ),
            "whole room": Wrong(
                partial(_decode_step, whole_room=True),
                "You attended to the empty slots as well. Their score is 0, and e to the 0 is 1.",
            ),
            "not scaled": Wrong(
                partial(_decode_step, scaled=False), "Divide the scores by the root of K."
            ),
            "one too far": Wrong(
                partial(_decode_step, place=1),
                "You wrote at slot length + 1. Slots count from 0, so the first free one is "
                "length.",
            ),
        },
    ),
    Exercise(
        name="kv_cache.distinct_blocks",
        reference=_distinct_blocks,
        inputs=_texts_with_one_beginning,
        hint="What makes a block's keys and values what they are? All tokens up to its end.",
        remark="A set of beginnings is all that prefix sharing needs.",
        wrong={
            "unshared": Wrong(
                _blocks_unshared, "You shared nothing, but two of the texts begin alike."
            ),
            "by content": Wrong(
                _blocks_by_content,
                "You compared the tokens of the blocks alone. The same tokens behind another "
                "beginning have other keys and values.",
            ),
            "no partial": Wrong(
                _no_partial_blocks,
                "The blocks that are not full are missing: each text has its own.",
            ),
            "packed": Wrong(
                _distinct_tokens_packed,
                "You packed the distinct tokens of all texts into blocks, but a block belongs to "
                "one text and its beginning.",
            ),
        },
    ),
    Exercise(
        name="kv_cache.continuous_steps",
        reference=_continuous_steps,
        inputs=_lengths_and_seats,
        hint="Keep a list of what each running text still has to write.",
        remark="Never more steps than in fixed groups, and never fewer than the tokens over the "
        "seats.",
        wrong={
            "static": Wrong(
                _static_steps,
                "You let each group wait for its longest text. A free seat is taken in the next "
                "step.",
            ),
            "perfect": Wrong(
                _perfect_steps,
                "This is the tokens over the seats. At the end there is nobody left for some "
                "seats, so it takes longer.",
            ),
            "one by one": Wrong(_one_by_one, "You served one text after the other."),
            "idle": Wrong(
                _seat_idle_for_a_step,
                "A seat stays empty for a step after each text: who waits should begin in the "
                "step after the last token.",
            ),
        },
    ),
)

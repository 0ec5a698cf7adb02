"""Random segments written twice: the warm-up after which a small model can look things up.

Nothing but looking back predicts the second copy, so learning it makes induction heads form. In a
model of about a million parameters the loss of the second copy stays put for a thousand steps and
then falls within a hundred or two; before that the model answers no question about a text, after
it answering is learned in minutes.

References
----------
1. Olsson et al., *In-context Learning and Induction Heads*, 2022, arXiv:2209.11895.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

__all__ = ["CopySegment", "copy_segments"]


@dataclass(frozen=True)
class CopySegment:
    """Tokens of a segment, twice; only those from ``learned_from`` on are to be predicted."""

    ids: list[int]
    learned_from: int


def copy_segments(
    count: int | None,
    *,
    vocab_size: int,
    shortest: int = 8,
    longest: int = 63,
    leave_out: Collection[int] = (),
    seed: int = 0,
    split: str = "train",
) -> Iterator[CopySegment]:
    """Draw random segments of one split, each written twice.

    Parameters
    ----------
    count : int or None
        How many; None for an endless stream.
    vocab_size : int
        Tokens are drawn uniformly below it.
    shortest, longest : int
        Length of one copy, both inclusive.
    leave_out : collection of int
        Tokens not to draw, such as special ones.
    split : str
        A hash of the segment decides: one in 16 each for validation and testing.

    Raises
    ------
    ValueError
        For lengths that are not in order, an unknown split, or a vocabulary with nothing to draw.

    Examples
    --------
    >>> [segment] = copy_segments(1, vocab_size=100, shortest=3, longest=3, seed=1)
    >>> segment.ids[:3] == segment.ids[3:], segment.learned_from
    (True, 3)
    """
    if not 1 <= shortest <= longest:
        raise ValueError(f"lengths {shortest} to {longest}: need 1 <= shortest <= longest")
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split {split!r} is not train, validation or test")
    tokens = sorted(set(range(vocab_size)) - set(leave_out))
    if len(tokens) < 2:
        raise ValueError(f"{len(tokens)} tokens to draw from: need at least two")
    return _segments(count, tokens, shortest, longest, seed, split)


def _segments(
    count: int | None, tokens: list[int], shortest: int, longest: int, seed: int, split: str
) -> Iterator[CopySegment]:
    rng = random.Random(f"copying {seed}")
    made = 0
    while count is None or made < count:
        segment = rng.choices(tokens, k=rng.randint(shortest, longest))
        key = " ".join(map(str, segment)).encode()
        bucket = hashlib.blake2b(key, digest_size=1).digest()[0] & 15
        if {0: "validation", 1: "test"}.get(bucket, "train") == split:
            made += 1
            yield CopySegment([*segment, *segment], len(segment))

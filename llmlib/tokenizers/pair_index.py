"""Merge pairs of neighbouring symbols, and know after each merge how often every pair occurs.

Training a BPE or WordPiece vocabulary repeats one step: pick a pair, join it everywhere. Counting
all pairs anew after each step costs the length of the text times the number of merges. A merge
changes only the pairs next to it, so `PairIndex` keeps the counts and the places of all pairs and
updates those few.

==============  ==========================================  ================
code name       meaning                                     length
==============  ==========================================  ================
``symbols``     all words one after another, split by -1    P places
``weights``     how often the word of each place occurs     P
``left/right``  place of the neighbouring symbol            P
``counts``      pair -> weighted number of occurrences      number of pairs
``places``      pair -> places where its left symbol was    number of pairs
==============  ==========================================  ================

A place list may be stale (the symbol there has since been merged away): each place is checked
when it is used, which is cheaper than deleting.
"""

from array import array
from collections import defaultdict
from itertools import pairwise

import numpy as np

GONE = -2
"""Stands at a place whose symbol was merged into its left neighbour."""


class PairIndex:
    """Counts and places of all adjacent pairs in a weighted list of words.

    A pair ``(a, b)`` is handled as the number ``a * base + b``.

    Parameters
    ----------
    symbols
        Integer array, shape (P,): the words' symbols, with -1 before, between and after words.
    weights
        Integer array, shape (P,): the number of times that the word at each place occurs.
    base
        Larger than any symbol there will be.

    Examples
    --------
    The word "abab", seen three times, as symbols 0 1 0 1:

    >>> import numpy as np
    >>> index = PairIndex(np.array([-1, 0, 1, 0, 1, -1]), np.full(6, 3), base=10)
    >>> index.counts[0 * 10 + 1], index.counts[1 * 10 + 0]
    (6, 3)
    >>> joins, grown, shrunk = index.merge(0, 1, 2)
    >>> joins, index.counts[2 * 10 + 2], index.counts[1 * 10 + 0], 0 * 10 + 1 in index.counts
    (6, 3, 0, False)
    """

    VECTOR_FROM = 100
    """Places from which one numpy pass is faster than a Python loop."""

    def __init__(self, symbols: np.ndarray, weights: np.ndarray, base: int):
        self.base = base
        self.counts: dict[int, int] = defaultdict(int)
        self._places: dict[int, list[int]] = defaultdict(list)
        # Buffers that Python reads one number at a time and numpy reads as whole arrays.
        size = len(symbols)
        self._symbols = array("i", symbols.astype(np.int32).tobytes())
        self._weights = array("q", weights.astype(np.int64).tobytes())
        self._left = array("i", range(-1, size - 1))
        self._right = array("i", range(1, size + 1))
        self._arrays = (
            np.frombuffer(self._symbols, dtype=np.int32),
            np.frombuffer(self._weights, dtype=np.int64),
            np.frombuffer(self._left, dtype=np.int32),
            np.frombuffer(self._right, dtype=np.int32),
        )
        # Each symbol a has the pairs (a, b): group its places by b.
        inside = np.flatnonzero((symbols[:-1] >= 0) & (symbols[1:] >= 0))
        inside = inside[np.argsort(symbols[inside], kind="stable")]
        first = symbols[inside]
        starts = np.flatnonzero(np.diff(first, prepend=-1))
        for start, end in pairwise([*starts.tolist(), len(first)]):
            part = inside[start:end]
            self._add(int(first[start]) * base, 1, symbols[part + 1], part)

    def merge(self, a: int, b: int, new: int) -> tuple[int, set[int], set[int]]:
        """Join every ``a b`` into ``new``, from left to right.

        Returns
        -------
        joins : int
            Weighted number of joins.
        grown, shrunk : set of int
            The other pairs that gained an occurrence, and those that lost one.
        """
        key = a * self.base + b
        places = self._places.pop(key, ())
        if len(places) >= self.VECTOR_FROM and a != b:
            joins, grown, shrunk = self._merge_together(a, b, new, np.asarray(places))
        else:
            joins, grown, shrunk = self._merge_in_turn(a, b, new, sorted(places))
        self.counts.pop(key, None)
        grown.discard(key)
        shrunk.discard(key)
        return joins, grown, shrunk

    def _merge_in_turn(
        self, a: int, b: int, new: int, ordered: list[int]
    ) -> tuple[int, set[int], set[int]]:
        symbols, weights, left, right = self._symbols, self._weights, self._left, self._right
        base, counts, places = self.base, self.counts, self._places
        b_, new_ = b * base, new * base
        joins, grown, shrunk = 0, set(), set()
        for i in ordered:
            if symbols[i] != a:
                continue
            j = right[i]
            if symbols[j] != b:
                continue
            weight = weights[i]
            joins += weight
            before, after = left[i], right[j]
            symbols[i] = new
            symbols[j] = GONE
            right[i] = after
            left[after] = i
            x, y = symbols[before], symbols[after]
            if x >= 0:
                key = x * base + a
                counts[key] -= weight
                shrunk.add(key)
                key += new - a
                counts[key] += weight
                places[key].append(before)
                grown.add(key)
            if y >= 0:
                key = b_ + y
                counts[key] -= weight
                shrunk.add(key)
                key = new_ + y
                counts[key] += weight
                places[key].append(i)
                grown.add(key)
        return joins, grown, shrunk

    def _merge_together(
        self, a: int, b: int, new: int, i: np.ndarray
    ) -> tuple[int, set[int], set[int]]:
        """All places at once. With ``a != b`` no two of them overlap."""
        symbols, weights, left, right = self._arrays
        i = i[(symbols[i] == a) & (symbols[right[i]] == b)]
        if not (i[1:] > i[:-1]).all():
            i = np.unique(i)
        j = right[i]
        before, after = left[i], right[j]
        joins = int(weights[i].sum())
        x, y = symbols[before], symbols[after]
        symbols[i], symbols[j] = new, GONE
        right[i], left[after] = after, i
        # In "a b a b" the second pair's left neighbour has just been merged away: what happens
        # between the two is counted once, on the right side of the first.
        on_left = (x >= 0) & (symbols[before] != GONE)
        x, before = x[on_left], before[on_left]
        on_right = y >= 0
        y, y_now, start = y[on_right], symbols[after[on_right]], i[on_right]
        base = self.base
        shrunk = self._subtract(a, base, x, before) | self._subtract(b * base, 1, y, start)
        grown = self._add(new, base, x, before) | self._add(new * base, 1, y_now, start)
        return joins, grown, shrunk

    def _subtract(self, offset: int, step: int, symbols: np.ndarray, at: np.ndarray) -> set[int]:
        """Take the weights of the places ``at`` from the pairs ``offset + step * symbol``."""
        totals = np.bincount(symbols, weights=self._arrays[1][at])
        present = np.flatnonzero(totals)
        keys = (offset + step * present).tolist()
        counts = self.counts
        for key, total in zip(keys, totals[present].tolist(), strict=True):
            counts[key] -= int(total)
        return set(keys)

    def _add(self, offset: int, step: int, symbols: np.ndarray, at: np.ndarray) -> set[int]:
        """Add the weights to these pairs, and the places to their lists."""
        if not len(symbols):
            return set()
        if self.base <= 1 << 16:
            symbols = symbols.astype(np.uint16)  # 16 bits are sorted by radix: linear time
        order = np.argsort(symbols, kind="stable")
        symbols, at = symbols[order].astype(np.int64), at[order]
        starts = np.flatnonzero(np.diff(symbols, prepend=-1))
        totals = np.add.reduceat(self._arrays[1][at], starts).tolist()
        keys = (offset + step * symbols[starts]).tolist()
        at = at.tolist()
        starts = starts.tolist()
        counts, places = self.counts, self._places
        for key, total, start, end in zip(
            keys, totals, starts, [*starts[1:], len(at)], strict=True
        ):
            counts[key] += total
            places[key] += at[start:end]
        return set(keys)

"""Apply the merges of a BPE vocabulary to a word.

    while some neighbouring pair has a rank: join the leftmost pair of lowest rank

`plain_merge_word` is this line as code. `MergeTable` gives the same tokens faster, by three ways
of finding the next pair:

* **one word**: keep a list of the ranks of all neighbouring pairs, take the smallest;
* **a long word**: the same with a heap and linked neighbours, so that no input costs quadratic
  time;
* **many words**: a matrix of ranks with one row per word; a step joins one pair in every row.

===========  ====================================  ===========================
code name    meaning                               size
===========  ====================================  ===========================
``merges``   pairs of tokens, best first           at most V - 256
``ranks``    pair of ids -> position in `merges`   as `merges`
``parts``    ids of one word while it is merged    number of bytes, then fewer
===========  ====================================  ===========================
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

Merge = tuple[bytes, bytes]

NO_RANK = (1 << 31) - 1


def plain_merge_word(word: bytes, merges: Sequence[Merge]) -> list[bytes]:
    """Apply merges to one word, by the definition.

    Examples
    --------
    >>> plain_merge_word(b"newest", [(b"e", b"s"), (b"es", b"t"), (b"n", b"e")])
    [b'ne', b'w', b'est']
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    parts = [bytes([byte]) for byte in word]
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        best = min(pairs, key=lambda pair: ranks.get(pair, NO_RANK))
        if best not in ranks:
            break
        i = pairs.index(best)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


class MergeTable:
    """Merges looked up by the ids of the pair.

    Parameters
    ----------
    vocab
        Id -> bytes of the token.
    merges
        Pairs of tokens, best first.
    unknown
        Token that stands for a byte that the vocabulary lacks.

    Raises
    ------
    ValueError
        If two ids stand for the same bytes, or a merge uses or makes a token that is not in the
        vocabulary.

    Examples
    --------
    >>> vocab = {i: bytes([i]) for i in range(256)} | {256: b"es", 257: b"est"}
    >>> table = MergeTable(vocab, [(b"e", b"s"), (b"es", b"t")])
    >>> table.merge(b"west"), table.merge_many([b"west", b"set"])
    ([119, 257], [[119, 257], [115, 101, 116]])
    """

    LONG = 100
    """Number of bytes from which a heap is faster than looking for the smallest in a list."""
    MANY = 30
    """Number of words from which a matrix is faster than a loop."""
    WIDE = 300
    """Number of bytes up to which a word goes into a matrix."""
    ROWS = 2048
    """Largest number of words in one matrix."""

    def __init__(
        self, vocab: Mapping[int, bytes], merges: Sequence[Merge], unknown: bytes | None = None
    ):
        self.ids: dict[bytes, int] = {}
        for i, token in vocab.items():
            if not 0 <= i < 1 << 31:
                raise ValueError(f"id {i} of {token!r} must be from 0 to 2**31 - 1; renumber it")
            if token in self.ids:
                raise ValueError(
                    f"ids {self.ids[token]} and {i} both stand for {token!r}; "
                    "keep one of them in the vocabulary"
                )
            self.ids[token] = i
        self._base = max(vocab, default=0) + 1
        self._ranks: dict[int, int] = {}
        self._joined: list[int] = []
        for rank, (left, right) in enumerate(merges):
            for token in (left, right, left + right):
                if token not in self.ids:
                    raise ValueError(
                        f"merge {rank}, {left!r} + {right!r}, needs the token {token!r}, which is "
                        "not in the vocabulary; add it or drop the merge"
                    )
            self._joined.append(self.ids[left + right])
            self._ranks.setdefault(self.ids[left] * self._base + self.ids[right], rank)
        if unknown is not None and unknown not in self.ids:
            raise ValueError(f"unk_token {unknown!r} is not in the vocabulary; add it")
        instead = None if unknown is None else self.ids[unknown]
        self._byte_ids = [self.ids.get(bytes([byte]), instead) for byte in range(256)]
        # The same for numpy: sorted pairs with their ranks, and the rank of each pair of bytes.
        pairs = np.fromiter(self._ranks, dtype=np.int64, count=len(self._ranks))
        ranks = np.fromiter(self._ranks.values(), dtype=np.int32, count=len(self._ranks))
        order = np.argsort(pairs)
        self._sorted_pairs = np.append(pairs[order], np.iinfo(np.int64).max)
        self._sorted_ranks = np.append(ranks[order], np.int32(NO_RANK))
        self._joined_ids = np.array([*self._joined, -1], dtype=np.int32)
        self._id_of_byte = np.array([-1 if i is None else i for i in self._byte_ids], np.int32)
        grid = np.broadcast_arrays(self._id_of_byte[:, None], self._id_of_byte)
        self._rank_of_bytes = self._ranks_of(*grid)

    def merge(self, word: bytes) -> list[int]:
        """Ids of one word or of a piece of it."""
        parts = [self._byte_ids[byte] for byte in word]
        if None in parts:
            missing = word[parts.index(None)]
            raise ValueError(
                f"byte 0x{missing:02x} is not in the vocabulary, so {word!r} cannot be encoded; "
                "use a vocabulary that holds all 256 bytes"
            )
        return self._merge_short(parts) if len(parts) < self.LONG else self._merge_long(parts)

    def _merge_short(self, parts: list[int]) -> list[int]:
        rank_of, base, joined = self._ranks.get, self._base, self._joined
        ranks = [rank_of(a * base + b, NO_RANK) for a, b in pairwise(parts)]
        while ranks:
            best = min(ranks)
            if best == NO_RANK:
                break
            i = ranks.index(best)
            new = parts[i] = joined[best]
            del parts[i + 1], ranks[i]
            if i:
                ranks[i - 1] = rank_of(parts[i - 1] * base + new, NO_RANK)
            if i < len(ranks):
                ranks[i] = rank_of(new * base + parts[i + 1], NO_RANK)
        return parts

    def _merge_long(self, parts: list[int]) -> list[int]:
        rank_of, base, joined = self._ranks.get, self._base, self._joined
        size = len(parts)
        left, right = list(range(-1, size - 1)), list(range(1, size + 1))
        ranks = [rank_of(a * base + b, NO_RANK) for a, b in pairwise(parts)]
        ranks.append(NO_RANK)
        # One number holds rank and place: the smallest is the leftmost pair of lowest rank.
        heap = [rank * size + i for i, rank in enumerate(ranks) if rank != NO_RANK]
        heapq.heapify(heap)
        while heap:
            rank, i = divmod(heapq.heappop(heap), size)
            if ranks[i] != rank:  # the pair at this place has changed since
                continue
            j = right[i]
            k = right[j]
            parts[i], parts[j], ranks[j] = joined[rank], -1, NO_RANK
            right[i] = k
            ranks[i] = NO_RANK
            if k < size:
                left[k] = i
                ranks[i] = rank_of(parts[i] * base + parts[k], NO_RANK)
                if ranks[i] != NO_RANK:
                    heapq.heappush(heap, ranks[i] * size + i)
            h = left[i]
            if h >= 0:
                ranks[h] = rank_of(parts[h] * base + parts[i], NO_RANK)
                if ranks[h] != NO_RANK:
                    heapq.heappush(heap, ranks[h] * size + h)
        return [part for part in parts if part >= 0]

    def merge_many(self, words: Sequence[bytes]) -> list[list[int]]:
        """Ids of each of several words."""
        merged: list[list[int]] = [[]] * len(words)
        rest = []
        for i, word in enumerate(words):
            if len(words) < self.MANY or len(word) > self.WIDE or None in self._byte_ids:
                merged[i] = self.merge(word)
            elif word:
                rest.append(i)
        rest.sort(key=lambda i: len(words[i]))  # so that the rows of a matrix are equally long
        for start in range(0, len(rest), self.ROWS):
            numbers = rest[start : start + self.ROWS]
            matrix = _WordMatrix(self, [words[i] for i in numbers])
            for row, ids in matrix.merge():
                merged[numbers[row]] = ids
        return merged

    def _ranks_of(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Rank of each pair of neighbours; a negative id stands for no neighbour."""
        pairs = left.astype(np.int64) * self._base + right
        pairs[(left < 0) | (right < 0)] = -1
        found = np.searchsorted(self._sorted_pairs, pairs)
        return np.where(self._sorted_pairs[found] == pairs, self._sorted_ranks[found], NO_RANK)


class _WordMatrix:
    """Words in the rows of a matrix; a step joins the first pair of lowest rank in every row.

    There is one column before and one after the longest word, so that every place has neighbours.
    """

    def __init__(self, table: MergeTable, words: Sequence[bytes]):
        self._table = table
        lengths = np.array([len(word) for word in words])
        columns = np.arange(lengths.max() + 2, dtype=np.int16)
        inside = (columns >= 1) & (columns <= lengths[:, None])
        data = np.frombuffer(b"".join(words), dtype=np.uint8)
        self._parts = np.full(inside.shape, -1, dtype=np.int32)
        self._parts[inside] = table._id_of_byte[data]
        between = np.append(table._rank_of_bytes[data[:-1], data[1:]], NO_RANK)
        between[np.cumsum(lengths) - 1] = NO_RANK
        self._ranks = np.full(inside.shape, NO_RANK, dtype=np.int32)
        self._ranks[inside] = between
        self._left = np.tile(columns - 1, (len(words), 1))
        self._right = np.tile(columns + 1, (len(words), 1))
        self._numbers = np.arange(len(words))

    def merge(self) -> Iterator[tuple[int, list[int]]]:
        """Number and ids of each word, in the order in which they get ready."""
        while True:
            at = self._ranks.argmin(axis=1)  # of equal ranks the leftmost
            rank = self._ranks[np.arange(len(at)), at]
            ready = rank == NO_RANK
            # Rows are dropped when half of them are ready: dropping copies the rest.
            if 2 * np.count_nonzero(ready) >= len(ready):
                yield from self._take(ready)
                if ready.all():
                    return
                at, rank, ready = at[~ready], rank[~ready], ready[~ready]
            self._join(np.flatnonzero(~ready), at[~ready], rank[~ready])

    def _take(self, ready: np.ndarray) -> Iterator[tuple[int, list[int]]]:
        parts = self._parts[ready]
        kept = parts >= 0
        ids, start = parts[kept].tolist(), 0
        ends = kept.sum(axis=1).cumsum().tolist()
        for number, end in zip(self._numbers[ready].tolist(), ends, strict=True):
            yield number, ids[start:end]
            start = end
        self._parts, self._ranks = self._parts[~ready], self._ranks[~ready]
        self._left, self._right = self._left[~ready], self._right[~ready]
        self._numbers = self._numbers[~ready]

    def _join(self, row: np.ndarray, column: np.ndarray, rank: np.ndarray) -> None:
        parts, ranks = self._parts.ravel(), self._ranks.ravel()
        left, right = self._left.ravel(), self._right.ravel()
        begin = row * self._parts.shape[1]  # places in the flat arrays: faster than two indices
        i = begin + column
        j = begin + right[i]
        after = right[j]
        h, k = begin + left[i], begin + after
        new = self._table._joined_ids[rank]
        parts[i], parts[j] = new, -1
        right[i], left[k] = after, column
        ranks[j] = NO_RANK
        ranks[i] = self._table._ranks_of(new, parts[k])
        ranks[h] = self._table._ranks_of(parts[h], new)

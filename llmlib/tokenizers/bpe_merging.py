"""Apply the merges of a BPE vocabulary to a word.

    while some neighbouring pair has a rank: join the leftmost pair of lowest rank

`plain_merge_word` is this line as code. `MergeTable` gives the same tokens faster, in three steps:

1. **Cut.** Every join makes a token of the vocabulary, so nothing is ever joined across a place
   that no token reaches across. For two neighbouring characters this is looked up once and
   remembered. Chinese, written without spaces, falls into short pieces that repeat.
2. **Short pieces**: keep a list of the ranks of all neighbouring pairs; join at the smallest and
   look up the two new neighbours.
3. **Long pieces**: the same with a heap and linked neighbours, so that no input costs quadratic
   time.

===========  ====================================  ===========================
code name    meaning                               size
===========  ====================================  ===========================
``merges``   pairs of tokens, best first           at most V - 256
``ranks``    pair of ids -> position in `merges`   as `merges`
``parts``    ids of one word while it is merged    number of bytes, then fewer
===========  ====================================  ===========================
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

Merge = tuple[bytes, bytes]

NO_RANK = 1 << 60


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
    >>> table.merge(b"west"), table.cut("westest")
    ([119, 257], ['w', 'est', 'est'])
    """

    LONG = 100
    """Number of bytes from which a heap is faster than looking for the smallest in a list."""

    def __init__(
        self, vocab: Mapping[int, bytes], merges: Sequence[Merge], unknown: bytes | None = None
    ):
        self.ids: dict[bytes, int] = {}
        for i, token in vocab.items():
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
        self._edges = CharacterEdges({left + right for left, right in merges})

    def cut(self, word: str) -> list[str]:
        """Cut where no token reaches across: the pieces can be merged one by one."""
        edges = list(map(self._edges.__getitem__, word))
        pieces, start = [], 0
        for end in range(1, len(word)):
            beginnings = edges[end][1]
            for followers in edges[end - 1][0]:
                if not followers.isdisjoint(beginnings):
                    break
            else:
                pieces.append(word[start:end])
                start = end
        pieces.append(word[start:])
        return pieces

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


class CharacterEdges(dict):
    """Character -> what follows its endings in some token, and its own beginnings.

    A token may hold only the last bytes of a character, or only its first bytes. Some token
    reaches from one character into the next exactly if a beginning of the next is among what
    follows an ending of the first.

    Examples
    --------
    >>> edges = CharacterEdges({"你好".encode(), "好".encode()[1:] + b"!"})
    >>> edges["你"][0] == ({"好".encode()},), edges["好"][0], edges["!"]
    (True, ({b'!'},), ((), (b'!',)))
    """

    LIMIT = 1 << 15

    def __init__(self, tokens: set[bytes]):
        super().__init__()
        self._followers: dict[bytes, set[bytes]] = defaultdict(set)
        for token in tokens:
            for first, second in _character_pairs(token):
                self._followers[first].add(second)

    def __missing__(self, character: str) -> tuple[tuple[set[bytes], ...], tuple[bytes, ...]]:
        data = character.encode()
        endings = [data[i:] for i in range(len(data))]
        edges = (
            tuple(self._followers[ending] for ending in endings if ending in self._followers),
            tuple(data[:i] for i in range(1, len(data) + 1)),
        )
        if len(self) >= self.LIMIT:
            self.clear()
        self[character] = edges
        return edges


def _character_pairs(token: bytes) -> list[tuple[bytes, bytes]]:
    """Neighbouring characters in a token; the first and the last may be incomplete."""
    starts = [i for i, byte in enumerate(token) if i == 0 or byte & 0xC0 != 0x80]
    characters = [token[i:j] for i, j in zip(starts, [*starts[1:], len(token)], strict=True)]
    return list(pairwise(characters))

"""Learn the merges of byte-pair encoding, once plainly and once fast.

Start from the bytes of every word. Again and again take the pair of neighbouring tokens

    (a, b) = argmax over pairs of  (count of the pair, the pair itself)

and make it one token everywhere, until the vocabulary is full or no pair is left. Ties in the
count go to the lexicographically greater pair of byte strings.

`plain_merges` is this paragraph as code. `fast_merges` gives the same list: a `PairIndex` keeps
the counts up to date and a heap finds the largest, so that a step costs about as much as the
number of places it changes.

References: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword
Units" (2016); Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), for
bytes as the alphabet.

Differs from the ``tokenizers`` library in: the rule for ties (there the pair of smaller ids wins)
and therefore, after the first tie, in the merges.
"""

import heapq
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from llmlib.tokenizers.bpe_merging import Merge
from llmlib.tokenizers.pair_index import PairIndex

# Byte strings in reversed order, for a heap that pops the smallest: complement each byte, and
# close with a sign beyond all of them so that a longer string comes before its own beginning.
_COMPLEMENT = bytes(range(255, -1, -1))


def _reversed_order(token: bytes) -> str:
    return token.translate(_COMPLEMENT).decode("latin-1") + "\u0100"


def plain_merges(word_counts: Mapping[str, int], vocab_size: int) -> list[Merge]:
    """Learn merges by counting all pairs anew at each step: slow, and easy to check.

    Parameters
    ----------
    word_counts
        Word -> how often it occurs.
    vocab_size
        Number of tokens to stop at, the 256 bytes included.

    Examples
    --------
    "es" and "st" both occur nine times; the tie goes to the greater pair.

    >>> plain_merges({"low": 5, "lower": 2, "widest": 3, "newest": 6}, 259)
    [(b's', b't'), (b'e', b'st'), (b'o', b'w')]
    """
    words = {tuple(bytes([byte]) for byte in word.encode()): n for word, n in word_counts.items()}
    vocab, merges = {bytes([byte]) for byte in range(256)}, []
    while len(vocab) < vocab_size:
        counts = Counter()
        for word, n in words.items():
            for pair in pairwise(word):
                counts[pair] += n
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        vocab.add(best[0] + best[1])
        words = {_join(word, best): n for word, n in words.items()}
    return merges


def _join(word: tuple[bytes, ...], pair: Merge) -> tuple[bytes, ...]:
    joined, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            joined.append(word[i] + word[i + 1])
            i += 2
        else:
            joined.append(word[i])
            i += 1
    return tuple(joined)


def fast_merges(word_counts: Mapping[str, int], vocab_size: int) -> list[Merge]:
    """Learn the merges of `plain_merges`, in time that grows with what each merge changes.

    Examples
    --------
    >>> fast_merges({"low": 5, "lower": 2, "widest": 3, "newest": 6}, 259)
    [(b's', b't'), (b'e', b'st'), (b'o', b'w')]
    """
    base = max(vocab_size, 257)
    index = PairIndex(*_lay_out(word_counts), base)
    tokens = [bytes([byte]) for byte in range(256)]
    ids = {token: i for i, token in enumerate(tokens)}
    order = [_reversed_order(token) for token in tokens]
    counts = index.counts
    heap: list[tuple[int, str, str, int]] = []
    floor = max(counts.values(), default=0) + 1
    merges: list[Merge] = []
    while len(tokens) < vocab_size:
        while not heap and floor > 1:
            # Only pairs with at least ``floor`` occurrences wait in the heap: most are too rare
            # to be merged ever, and need not be sorted.
            floor = 1 + floor // 4
            frequent = [(key // base, key % base, n) for key, n in counts.items() if n >= floor]
            heap = [(-n, order[a], order[b], a * base + b) for a, b, n in frequent]
            heapq.heapify(heap)
        if not heap:
            break
        negative, left, right, key = heapq.heappop(heap)
        count = counts.get(key, 0)
        if count != -negative:  # the count has fallen since: put it back in its place
            if count >= floor:
                heapq.heappush(heap, (-count, left, right, key))
            continue
        a, b = divmod(key, base)
        token = tokens[a] + tokens[b]
        merges.append((tokens[a], tokens[b]))
        if token not in ids:  # two pairs can spell the same token
            ids[token] = len(tokens)
            tokens.append(token)
            order.append(order[a][:-1] + order[b])
        for key in index.merge(a, b, ids[token])[1]:
            if counts[key] >= floor:
                a, b = divmod(key, base)
                heapq.heappush(heap, (-counts[key], order[a], order[b], key))
    return merges


def _lay_out(word_counts: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The words' bytes one after another, -1 before, between and after, and their weights."""
    encoded = [word.encode() for word in word_counts]
    # Byte 255 never occurs in UTF-8, so it can mark the ends of words.
    joined = b"\xff" + b"".join([word + b"\xff" for word in encoded])
    symbols = np.frombuffer(joined, dtype=np.uint8).astype(np.int64)
    symbols[symbols == 255] = -1
    lengths = np.fromiter((len(word) + 1 for word in encoded), dtype=np.int64)
    totals = np.fromiter(word_counts.values(), dtype=np.int64)
    return symbols, np.append(0, np.repeat(totals, lengths))

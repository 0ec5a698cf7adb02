"""Learn a WordPiece vocabulary: merge the pair that explains the text best.

Like BPE, WordPiece starts from characters and joins pairs. It differs in the pair it picks:

    score(a, b) = count(a b) / (count(a) * count(b))

is large when ``a`` and ``b`` are seen together more often than their own frequencies suggest:
it is the gain in likelihood, per occurrence, of a unigram model that treats ``ab`` as one token,
up to the factor N (the number of tokens, the same for all pairs). A character inside a word is
written with ``##`` in front, so "low" starts as ``l ##o ##w``.

==============  ==============================================  ==================
code name       meaning                                         shape
==============  ==============================================  ==================
``tokens``      strings of all tokens so far                    V
``single``      weighted count of each token                    (V,)
``pairs``       weighted count of each pair that can be joined  (number of pairs,)
==============  ==============================================  ==================

`plain_tokens` is the definition; `fast_tokens` gives the same list with a `PairIndex` and one
numpy pass over the pairs per step.

References: Schuster and Nakajima, "Japanese and Korean Voice Search" (2012); Devlin et al.,
"BERT" (2019). Google never released the training code; the score is the one documented by
Hugging Face.

Differs from the ``tokenizers`` library in: its trainer picks pairs by count alone, as BPE does;
pass ``score=pair_count`` for that.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from llmlib.tokenizers.pair_index import PairIndex

PREFIX = "##"
"""Marks a token that continues a word."""

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def likelihood_gain(pair: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``count(a b) / (count(a) count(b))``, from three arrays of counts.

    Examples
    --------
    >>> likelihood_gain(np.array([6.0]), np.array([6.0]), np.array([8.0]))
    array([0.125])
    """
    return pair / (left * right)


def pair_count(pair: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The count of the pair: the choice of BPE."""
    return pair


def first_tokens(word_counts: Mapping[str, int], limit_alphabet: int | None = None) -> list[str]:
    """The characters, at the start of a word and inside it, in order of code points.

    Examples
    --------
    >>> first_tokens({"low": 5, "owl": 1})
    ['##l', '##o', '##w', 'l', 'o']
    """
    counts = Counter()
    for word, n in word_counts.items():
        for token in _split(word):
            counts[token] += n
    return sorted(token for token, _ in counts.most_common(limit_alphabet))


def _split(word: str) -> list[str]:
    return [word[0], *(PREFIX + character for character in word[1:])]


def plain_tokens(
    word_counts: Mapping[str, int],
    size: int,
    *,
    score: Score = likelihood_gain,
    min_frequency: int = 2,
    limit_alphabet: int | None = None,
) -> list[str]:
    """Learn tokens by counting everything anew at each step.

    Parameters
    ----------
    word_counts
        Word -> how often it occurs.
    size
        Number of tokens to stop at, the characters included.
    score
        Which pair is best, from the counts of the pair and of its two tokens.
    min_frequency
        Pairs that occur less often are not joined.
    limit_alphabet
        Keep this many characters, the most frequent; words with others are left out.

    Examples
    --------
    "l ##o" is the most frequent pair; by likelihood "##e ##r" comes first, because inside words
    there is no e without an r after it and no r without an e before it.

    >>> words = {"low": 5, "owl": 4, "equal": 3, "lower": 2, "wolf": 2}
    >>> plain_tokens(words, 14)[-1], plain_tokens(words, 14, score=pair_count)[-1]
    ('##er', 'lo')
    """
    tokens = first_tokens(word_counts, limit_alphabet)
    alphabet = set(tokens)
    words = {tuple(_split(word)): n for word, n in word_counts.items()}
    words = {word: n for word, n in words.items() if alphabet.issuperset(word)}
    while len(tokens) < size:
        single, pairs = Counter(), Counter()
        for word, n in words.items():
            for token in word:
                single[token] += n
            for pair in pairwise(word):
                pairs[pair] += n
        pairs = {pair: n for pair, n in pairs.items() if n >= min_frequency}
        if not pairs:
            break
        a, b = max(pairs, key=lambda ab: (score(pairs[ab], single[ab[0]], single[ab[1]]), ab))
        new = a + b.removeprefix(PREFIX)
        if new not in tokens:
            tokens.append(new)
        words = {_join(word, a, b, new): n for word, n in words.items()}
    return tokens


def _join(word: tuple[str, ...], a: str, b: str, new: str) -> tuple[str, ...]:
    joined, i = [], 0
    while i < len(word):
        if word[i : i + 2] == (a, b):
            joined.append(new)
            i += 2
        else:
            joined.append(word[i])
            i += 1
    return tuple(joined)


def fast_tokens(
    word_counts: Mapping[str, int],
    size: int,
    *,
    score: Score = likelihood_gain,
    min_frequency: int = 2,
    limit_alphabet: int | None = None,
) -> list[str]:
    """Learn the tokens of `plain_tokens`, with the counts kept up to date.

    Examples
    --------
    >>> words = {"low": 5, "owl": 4, "equal": 3, "lower": 2, "wolf": 2}
    >>> fast_tokens(words, 20) == plain_tokens(words, 20)
    True
    """
    tokens = first_tokens(word_counts, limit_alphabet)
    ids = {token: i for i, token in enumerate(tokens)}
    symbols, weights = _lay_out(word_counts, ids)
    base = max(size, len(tokens)) + 1
    index = PairIndex(symbols, weights, base)
    inside = symbols >= 0
    single = np.zeros(base)
    np.add.at(single, symbols[inside], weights[inside])
    table = PairTable(base, min_frequency)
    table.update(index.counts, index.counts)
    while len(tokens) < size:
        best = table.best(single, score, tokens)
        if best is None:
            break
        a, b = best
        new = tokens[a] + tokens[b].removeprefix(PREFIX)
        if new not in ids:
            ids[new] = len(tokens)
            tokens.append(new)
        joins, grown, shrunk = index.merge(a, b, ids[new])
        single[ids[new]] += joins
        single[a] -= joins
        single[b] -= joins
        table.update(index.counts, {a * base + b, *grown, *shrunk})
    return tokens


def _lay_out(word_counts: Mapping[str, int], ids: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    symbols, weights = [-1], [0]
    for word, n in word_counts.items():
        parts = [ids.get(token) for token in _split(word)]
        if None not in parts:
            symbols += [*parts, -1]
            weights += [n] * (len(parts) + 1)
    return np.array(symbols), np.array(weights)


class PairTable:
    """Counts of pairs in arrays, so that one numpy pass finds the best pair."""

    def __init__(self, base: int, min_frequency: int):
        self._base = base
        self._least = max(min_frequency, 1)
        self._row: dict[int, int] = {}
        self._keys = np.zeros(0, dtype=np.int64)
        self._counts = np.zeros(0)

    def update(self, counts: Mapping[int, int], keys: Mapping[int, int] | set[int]) -> None:
        """Take over the counts of these pairs; a pair that is too rare is kept as zero."""
        fresh = []
        for key in keys:
            count = counts.get(key, 0)
            row = self._row.get(key)
            if row is not None:
                self._counts[row] = count if count >= self._least else 0
            elif count >= self._least:
                fresh.append((key, count))
        if fresh:
            size = len(self._keys)
            self._row.update((key, size + i) for i, (key, _) in enumerate(fresh))
            self._keys = np.append(self._keys, np.array([key for key, _ in fresh]))
            self._counts = np.append(self._counts, np.array([n for _, n in fresh], dtype=float))

    def best(self, single: np.ndarray, score: Score, tokens: list[str]) -> tuple[int, int] | None:
        """Ids of the best pair; of equal ones the greater pair of strings. None if none is left."""
        self._drop_rows_of_zero()
        alive = np.flatnonzero(self._counts)
        if not len(alive):
            return None
        left, right = np.divmod(self._keys[alive], self._base)
        scores = score(self._counts[alive], single[left], single[right])
        tied = np.flatnonzero(scores == scores.max())
        pairs = [(int(left[i]), int(right[i])) for i in tied]
        return max(pairs, key=lambda ab: (tokens[ab[0]], tokens[ab[1]]))

    def _drop_rows_of_zero(self) -> None:
        alive = self._counts > 0
        if 2 * np.count_nonzero(alive) < len(alive):
            self._keys, self._counts = self._keys[alive], self._counts[alive]
            self._row = {key: row for row, key in enumerate(self._keys.tolist())}

"""Learn a Unigram vocabulary: start with too many pieces, drop those that are missed least.

The model gives a word the probability of all ways to cut it into pieces,

    P(word) = sum over ways to cut of  product of p(piece),

and the vocabulary should make the text probable. Training alternates

1. **Expectation**: how often is each piece used, averaged over all ways to cut each word;
2. **Maximization**: p(piece) = its expected count / the sum of all expected counts;
3. **Pruning**: for each piece, the loss of likelihood if its occurrences had to be written with
   the best way to cut *it*; keep the pieces of largest loss, and every single character.

==============  ================================================  ==========
code name       meaning                                           shape
==============  ================================================  ==========
``pieces``      strings                                           V
``scores``      log p of each piece                               (V,)
``counts``      expected number of uses of each piece             (V,)
``loss``        counts * (score - best score of the alternative)  (V,)
==============  ================================================  ==========

Reference: Kudo, "Subword Regularization: Improving Neural Network Translation Models with
Multiple Subword Candidates" (2018), section 3.2.

Differs from SentencePiece in: the maximization is the plain one, so that likelihood never falls
(SentencePiece subtracts a digamma term, which favours frequent pieces); the seed is all frequent
substrings (there, those that a suffix array finds to be maximal); words longer than 64 characters
are cut for training.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from llmlib.tokenizers.lattice import Lattice

LONGEST_WORD = 64
"""Longer words are cut for training: it keeps the number of ways to cut within floats."""
LEAST_COUNT = 0.5
"""Expected count that a single character has at least, so that its score is finite."""


def train_unigram(
    word_counts: Mapping[str, int],
    size: int,
    *,
    longest_piece: int = 16,
    seed_factor: int = 8,
    keep_share: float = 0.75,
    em_steps: int = 2,
) -> dict[str, float]:
    """Learn pieces and their log-probabilities.

    Parameters
    ----------
    word_counts
        Word -> how often it occurs.
    size
        Number of pieces, the single characters included.
    longest_piece
        Number of characters of the longest piece.
    seed_factor
        The seed has this many times ``size`` pieces, if the text has so many.
    keep_share
        Share of the pieces that survives one round of pruning.
    em_steps
        Rounds of expectation and maximization before each pruning.

    Returns
    -------
    dict
        Piece -> log-probability, the most probable first.

    Examples
    --------
    >>> words = {"▁low": 9, "▁lower": 3, "▁newest": 6, "▁widest": 5, "▁new": 2}
    >>> list(train_unigram(words, 15))[:4]
    ['▁low', '▁newest', '▁widest', 'e']
    """
    if not word_counts:
        return {}
    words, weights = _cut_long_words(word_counts)
    pieces = seed_pieces(words, weights, seed_factor * size, longest_piece)
    numbers = {piece: i for i, piece in enumerate(pieces)}
    characters = sum(len(piece) == 1 for piece in pieces)
    lattice = Lattice(words, numbers)
    spelled = Lattice(pieces, numbers, whole=False)
    alive = np.arange(len(pieces))
    scores = np.full(len(pieces), -np.log(len(pieces)))
    while True:
        for _ in range(em_steps):
            counts = lattice.expected_counts(scores, weights)
            scores = maximize(counts)
        if len(alive) <= max(size, characters):
            break
        loss = counts * (scores - spelled.best_scores(scores)[alive])
        number = max(size, int(keep_share * len(alive)), characters)
        # A character has no alternative: best_scores is -inf, the loss infinite.
        kept = np.sort(np.argsort(-loss, kind="stable")[:number])
        alive, scores = alive[kept], scores[kept]
        lattice.keep(kept)
        spelled.keep(kept)
    # Ten decimals come back from a file as the same number, whoever reads it.
    learned = [(pieces[i], round(float(x), 10)) for i, x in zip(alive, scores, strict=True)]
    return dict(sorted(learned, key=lambda item: (-item[1], item[0])))


def _cut_long_words(word_counts: Mapping[str, int]) -> tuple[list[str], np.ndarray]:
    counts: dict[str, int] = {}
    for word, n in word_counts.items():
        for i in range(0, len(word), LONGEST_WORD):
            part = word[i : i + LONGEST_WORD]
            counts[part] = counts.get(part, 0) + n
    return list(counts), np.array(list(counts.values()), dtype=float)


def maximize(counts: np.ndarray) -> np.ndarray:
    """Log-probabilities that make the expected counts most likely.

    Examples
    --------
    >>> np.exp(maximize(np.array([3.0, 1.0])))
    array([0.75, 0.25])
    """
    counts = np.maximum(counts, LEAST_COUNT)
    return np.log(counts / counts.sum())


def seed_pieces(words: Sequence[str], weights: np.ndarray, number: int, longest: int) -> list[str]:
    """All characters, and the substrings that cover most text (count times length).

    Substrings that occur once are left out. A substring of length k is known by the numbers of
    its first and its last k - 1 characters, so each length is one pass over the places where the
    length before was frequent.

    Examples
    --------
    >>> seed_pieces(["abab", "abc"], np.array([2.0, 1.0]), 6, 4)
    ['a', 'b', 'c', 'ab', 'abab', 'aba']
    """
    joined = np.frombuffer("".join(words).encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    codes = np.append(np.insert(joined, np.cumsum(lengths) - lengths, -1), -1)  # -1 between words
    weight = np.append(np.repeat(weights, lengths + 1), 0.0)
    characters, numbers = np.unique(codes, return_inverse=True)
    numbers = numbers - 1  # -1, the smallest code, stays -1
    found = np.zeros((0, 3))  # count times length, length, place of one occurrence
    for length in range(2, longest + 1):
        places = np.flatnonzero((numbers[:-1] >= 0) & (numbers[1:] >= 0))
        if not len(places):
            break
        keys = numbers[places].astype(np.int64) * len(codes) + numbers[places + 1]
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        counts = np.bincount(group, weights=weight[places])
        frequent = counts >= 2
        row = np.stack([length * counts, np.full(len(counts), length), places[first]], axis=1)
        found = np.concatenate([found, row[frequent]])
        numbers = np.full(len(numbers), -1)
        numbers[places] = np.where(frequent, np.cumsum(frequent) - 1, -1)[group]
    single = [chr(code) for code in characters[1:]]
    order = np.lexsort((found[:, 2], found[:, 1], -found[:, 0]))[: max(0, number - len(single))]
    spans = [codes[int(place) : int(place + length)] for _, length, place in found[order]]
    return single + ["".join(map(chr, span)) for span in spans]

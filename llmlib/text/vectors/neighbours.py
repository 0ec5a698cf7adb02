r"""Asking vectors questions: who is near, what is to c as b is to a, and how often that is right.

.. math::

    \cos(u, v) = \frac{u \cdot v}{\lVert u \rVert \lVert v \rVert}, \qquad
    d^* = \arg\max_{d} \; \cos\bigl(d,\; \hat b - \hat a + \hat c\bigr)

with hats for vectors scaled to length one. Reference: Mikolov, Yih and Zweig, "Linguistic
regularities in continuous space word representations", NAACL 2013.

Differs from common practice in one default that is spelled out: the answer to an analogy may not
be one of its three question words. ``exclude_questions=False`` shows how much that rule helps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..vocabulary import Vocabulary

__all__ = ["WordVectors", "rank_correlation"]


class WordVectors:
    """A vocabulary with one vector per word.

    Parameters
    ----------
    vocabulary : Vocabulary
    matrix : array ``(V, D)``
        One row per word, in the order of the vocabulary.

    Examples
    --------
    >>> vocabulary = Vocabulary(["king", "man", "queen", "woman"])
    >>> vectors = WordVectors(vocabulary, np.array([[1, 0.1], [0, 0.1], [1, 1.1], [0, 1.1]]))
    >>> vectors.analogy("man", "woman", "king", k=1)[0][0]
    'queen'
    >>> round(vectors.similarity("man", "woman"), 4)
    1.0
    """

    def __init__(self, vocabulary: Vocabulary, matrix: np.ndarray) -> None:
        matrix = np.asarray(matrix, dtype=np.float64)
        if matrix.ndim != 2 or len(matrix) != len(vocabulary):
            raise ValueError(
                f"matrix of shape {matrix.shape} for {len(vocabulary)} words; "
                f"it must be ({len(vocabulary)}, D)"
            )
        self.vocabulary = vocabulary
        self.matrix = matrix
        self.unit = _unit(matrix)

    def vector(self, word: str) -> np.ndarray:
        """Vector of a word, ``(D,)``."""
        return self.matrix[self.vocabulary[word]]

    def similarity(self, a: str, b: str) -> float:
        """Cosine of the angle between two words."""
        return float(_unit(self.vector(a)) @ _unit(self.vector(b)))

    def nearest(
        self, vector: np.ndarray, k: int = 10, *, exclude: Iterable[str] = ()
    ) -> list[tuple[str, float]]:
        """Return the ``k`` words with the largest cosine to ``vector``, best first."""
        scores = self.unit @ _unit(np.asarray(vector, dtype=np.float64))
        scores[[self.vocabulary[w] for w in exclude if w in self.vocabulary]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:k]
        return [(self.vocabulary.tokens[i], float(scores[i])) for i in best if scores[i] > -np.inf]

    def neighbours(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """Return the ``k`` words nearest to ``word``, without the word itself."""
        return self.nearest(self.vector(word), k, exclude=[word])

    def analogy(
        self, a: str, b: str, c: str, k: int = 5, *, exclude_questions: bool = True
    ) -> list[tuple[str, float]]:
        """Answer "a is to b as c is to ...": the words nearest to ``b - a + c``."""
        target = _unit(self.vector(b)) - _unit(self.vector(a)) + _unit(self.vector(c))
        return self.nearest(target, k, exclude=(a, b, c) if exclude_questions else ())

    def analogy_accuracy(
        self, questions: Sequence[tuple[str, str, str, str]], *, exclude_questions: bool = True
    ) -> float:
        """Share of questions (a, b, c, d) whose first answer is d, from 0 to 1."""
        if not questions:
            raise ValueError("accuracy over no questions is not defined; give at least one")
        table = np.array([self.vocabulary.encode(question) for question in questions])
        a, b, c, d = table.T
        scores = _unit(self.unit[b] - self.unit[a] + self.unit[c]) @ self.unit.T  # (Q, V)
        if exclude_questions:
            np.put_along_axis(scores, table[:, :3], -np.inf, axis=1)
        return float((scores.argmax(axis=1) == d).mean())

    def similarity_correlation(self, pairs: Sequence[tuple[str, str, float]]) -> float:
        """Rank correlation between cosines and the gold grades of (word, word, grade)."""
        cosines = [self.similarity(a, b) for a, b, _ in pairs]
        return rank_correlation(cosines, [grade for _, _, grade in pairs])

    def save(self, path: str | Path) -> None:
        """Write the text format of word2vec, which gensim reads: a size line, then the words."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{len(self.matrix)} {self.matrix.shape[1]}\n")
            for word, row in zip(self.vocabulary, self.matrix, strict=True):
                if any(character.isspace() for character in word):
                    raise ValueError(f"{word!r} holds white space, which the format cannot store")
                file.write(f"{word} {' '.join(map(repr, row.tolist()))}\n")

    @classmethod
    def load(cls, path: str | Path) -> WordVectors:
        """Read the text format of word2vec. Counts are not stored in it: all become 1."""
        with open(path, encoding="utf-8") as file:
            size, dim = map(int, file.readline().split())
            rows = {}
            for number, line in enumerate(file, start=2):
                word, *numbers = line.rstrip("\n").split(" ")
                numbers = [n for n in numbers if n]
                if len(numbers) != dim:
                    raise ValueError(
                        f"line {number} of {path} has {len(numbers)} numbers, not {dim}"
                    )
                rows[word] = [float(n) for n in numbers]
        if len(rows) != size:
            raise ValueError(f"{path} promises {size} words but holds {len(rows)}")
        vocabulary = Vocabulary(list(rows))
        return cls(vocabulary, np.array([rows[word] for word in vocabulary]))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's correlation: how alike two orders are, from -1 to 1; ties share their rank.

    Examples
    --------
    >>> round(rank_correlation([0.1, 0.5, 0.9], [1, 2, 3]), 4)
    1.0
    >>> round(rank_correlation([1, 2, 3, 4], [2, 1, 4, 3]), 4)
    0.6
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"{len(first)} and {len(second)} values; give two lists of one length, 2+")
    ranks = []
    for values in (first, second):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranks.append((last - (counts - 1) / 2)[inverse])
    a, b = (r - r.mean() for r in ranks)
    spread = np.sqrt((a @ a) * (b @ b))
    if spread == 0:
        raise ValueError("one of the lists holds a single value throughout; they have no order")
    return float(a @ b / spread)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Scale to length one along the last axis; a zero vector stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length == 0, 1.0, length)

"""All ways to cut words into pieces, and sums over them.

A word with m characters has nodes 0 ... m; a piece that stands at characters i to j is an edge
from node i to node j with the piece's log-probability. A way to cut the word is a path, and

    alpha(j) = log sum over edges (i, j) of  exp(alpha(i) + score)        (forward)
    beta(i)  = log sum over edges (i, j) of  exp(score + beta(j))         (backward)

give the probability of the word, exp(alpha(m)), and of an edge being on the path,
exp(alpha(i) + score + beta(j) - alpha(m)). With max in place of log-sum, alpha is the best path.

All words are computed together: step t handles the edges that end at the t-th node of any word.

===========  ================================================  ========
code name    meaning                                           shape
===========  ================================================  ========
``start``    node where an edge starts, nodes of all words     (edges,)
``end``      node where it ends                                (edges,)
``piece``    number of its piece                               (edges,)
``scores``   log-probability of each piece                     (V,)
===========  ================================================  ========
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

Reduce = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Lattice:
    """The ways to cut words into pieces.

    Parameters
    ----------
    words
        The words to cut, none empty.
    pieces
        Piece -> its number. Every single character must be one.
    whole
        Whether a word may be a single piece, itself.

    Examples
    --------
    "aaa" from pieces a (1/2) and aa (1/2): a a a, a aa or aa a, so 1/8 + 1/4 + 1/4.

    >>> lattice = Lattice(["aaa"], {"a": 0, "aa": 1})
    >>> half = np.log([0.5, 0.5])
    >>> np.exp(lattice.log_probabilities(half)), np.exp(lattice.best_scores(half))
    (array([0.625]), array([0.25]))
    >>> lattice.expected_counts(half, np.array([1.0])).round(3)
    array([1.4, 0.8])
    """

    def __init__(self, words: Sequence[str], pieces: Mapping[str, int], *, whole: bool = True):
        longest = max(map(len, pieces), default=0)
        starts, ends, numbers = [], [], []
        node = 0
        for word in words:
            size = len(word)
            for i in range(size):
                for j in range(i + 1, min(size, i + longest) + 1):
                    number = pieces.get(word[i:j])
                    if number is not None and (whole or j - i < size):
                        starts.append(node + i)
                        ends.append(node + j)
                        numbers.append(number)
            node += size + 1
        lengths = np.array([len(word) for word in words], dtype=np.int64)
        self._first = np.cumsum(lengths + 1) - (lengths + 1)
        self._last = self._first + lengths
        from_first = np.arange(node) - np.repeat(self._first, lengths + 1)
        start, end, piece = (np.array(x, dtype=np.int64) for x in (starts, ends, numbers))
        self._forward = _Sweep(start, end, piece, from_first)
        self._backward = _Sweep(end, start, piece, np.repeat(lengths, lengths + 1) - from_first)
        self._word_of = np.repeat(np.arange(len(words)), lengths + 1)

    def keep(self, pieces: np.ndarray) -> None:
        """Drop the edges of all other pieces, and number those kept from 0 in this order."""
        self._forward.keep(pieces)
        self._backward.keep(pieces)

    def log_probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Log of the summed probability of all ways to cut each word, shape (words,)."""
        return self._forward.run(scores, self._first, _log_sum)[self._last]

    def best_scores(self, scores: np.ndarray) -> np.ndarray:
        """Log-probability of the best way to cut each word, shape (words,)."""
        return self._forward.run(scores, self._first, _maximum)[self._last]

    def expected_counts(self, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """How often each piece is used, on average over all ways to cut; shape as ``scores``.

        Parameters
        ----------
        weights
            Shape (words,): how often each word occurs.
        """
        alpha = self._forward.run(scores, self._first, _log_sum)
        beta = self._backward.run(scores, self._last, _log_sum)
        start, end, piece = self._forward.source, self._forward.target, self._forward.piece
        word = self._word_of[start]
        share = np.exp(alpha[start] + scores[piece] + beta[end] - alpha[self._last[word]])
        return np.bincount(piece, weights=share * weights[word], minlength=len(scores))


class _Sweep:
    """Edges sorted by the distance of their target from where the sweep begins."""

    def __init__(
        self, source: np.ndarray, target: np.ndarray, piece: np.ndarray, distance: np.ndarray
    ):
        order = np.lexsort((target, distance[target]))
        self.source, self.target, self.piece = source[order], target[order], piece[order]
        self._distance = distance

    def keep(self, pieces: np.ndarray) -> None:
        number = np.full(max(self.piece.max(), pieces.max()) + 1, -1)
        number[pieces] = np.arange(len(pieces))
        kept = number[self.piece] >= 0
        self.source, self.target = self.source[kept], self.target[kept]
        self.piece = number[self.piece[kept]]

    def _steps(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Edges of equal distance: where they are, their targets, first edge and edges of each."""
        first = np.flatnonzero(np.diff(self.target, prepend=-1))
        sizes = np.diff(first, append=len(self.target))
        turns = np.flatnonzero(np.diff(self._distance[self.target[first]], prepend=-1))
        for a, b in zip(turns, [*turns[1:], len(first)], strict=True):
            begin, end = first[a], first[b - 1] + sizes[b - 1]
            yield slice(begin, end), self.target[first[a:b]], first[a:b] - begin, sizes[a:b]

    def run(self, scores: np.ndarray, origins: np.ndarray, reduce: Reduce) -> np.ndarray:
        """The value of every node, from 0 at the origins; -inf where no path leads."""
        values = np.full(len(self._distance), -np.inf)
        values[origins] = 0.0
        edge_scores = scores[self.piece]
        for edges, nodes, first, sizes in self._steps():
            arriving = values[self.source[edges]] + edge_scores[edges]
            values[nodes] = reduce(arriving, first, sizes)
        return values


def _maximum(values: np.ndarray, first: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return np.maximum.reduceat(values, first)


def _log_sum(values: np.ndarray, first: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    largest = np.maximum.reduceat(values, first)
    return largest + np.log(np.add.reduceat(np.exp(values - np.repeat(largest, sizes)), first))

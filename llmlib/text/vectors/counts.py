r"""Vectors by counting: which words stand near which, how surprising that is, and its main axes.

.. math::

    \mathrm{PMI}(w, c) = \log \frac{P(w, c)}{P(w)\,P(c)}, \qquad
    \mathrm{PPMI} = \max(\mathrm{PMI}, 0) \approx U_D \Sigma_D V_D^\top, \qquad
    \text{vectors} = U_D \Sigma_D^{p}

====================  =====================================  =====================
code                  symbol                                 shape
====================  =====================================  =====================
``rows, columns``     word :math:`w`, context :math:`c`      ``(P,)`` numbers
``weights``           how often they met                     ``(P,)``
``pmi``               PMI or PPMI                            ``(V, V)``
``dim``               :math:`D`                              one number
====================  =====================================  =====================

References: Church and Hanks, "Word association norms, mutual information, and lexicography",
Computational Linguistics 16, 1990; Levy and Goldberg, "Neural word embedding as implicit matrix
factorization", NeurIPS 2014; Levy, Goldberg and Dagan, "Improving distributional similarity with
lessons learned from word embeddings", TACL 3, 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..vocabulary import Vocabulary
from .neighbours import WordVectors
from .stream import TokenStream

__all__ = ["Cooccurrence", "count_cooccurrence", "pmi_matrix", "svd_vectors"]


@dataclass(frozen=True)
class Cooccurrence:
    """How often words met: only the pairs that did, sorted by word, then context."""

    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    size: int

    def dense(self) -> np.ndarray:
        """Fill a ``(V, V)`` matrix, zeros where two words never met."""
        matrix = np.zeros((self.size, self.size))
        matrix[self.rows, self.columns] = self.weights
        return matrix


def count_cooccurrence(
    stream: TokenStream, size: int, *, window: int = 5, by_distance: bool = True
) -> Cooccurrence:
    """Count the words within ``window`` places of each other, to both sides.

    Parameters
    ----------
    stream : TokenStream
    size : int
        Size V of the vocabulary.
    window : int
        How far to look; never over the end of a sentence.
    by_distance : bool
        Words ``d`` apart count 1/d, as in GloVe; otherwise 1.

    Examples
    --------
    In "a b a" the two a's stand two apart, seen from both sides:

    >>> vocabulary = Vocabulary("a b a".split())
    >>> stream = TokenStream.from_sentences([["a", "b", "a"]], vocabulary)
    >>> count_cooccurrence(stream, 2, window=2).dense()
    array([[1., 2.],
           [2., 0.]])
    """
    if window < 1:
        raise ValueError(f"window {window} sees no neighbours; use at least 1")
    keys, weights = [], []
    for distance in range(1, window + 1):
        left, right = stream.neighbours(distance)
        a, b = stream.ids[left], stream.ids[right]
        keys += [a * size + b, b * size + a]
        weights += [np.full(2 * len(a), 1.0 / distance if by_distance else 1.0)]
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.bincount(inverse, weights=np.concatenate(weights), minlength=len(unique))
    return Cooccurrence(unique // size, unique % size, sums, size)


def pmi_matrix(counts: np.ndarray, *, positive: bool = True, smoothing: float = 0.75) -> np.ndarray:
    """Pointwise mutual information of a count matrix, in nats: ``(V, V) -> (V, V)``.

    Parameters
    ----------
    counts : array ``(V, V)``
        Words in rows, contexts in columns.
    positive : bool
        Set negative values to 0 (PPMI). Otherwise pairs that never met get minus infinity.
    smoothing : float
        Context counts are raised to this power before they become probabilities, so that rare
        contexts are not over-rated; 1 turns this off. The same 3/4 as in negative sampling.

    Examples
    --------
    Two words that always stand together, seen half of the time each, share ln 2 nats:

    >>> pmi_matrix(np.array([[4.0, 0.0], [0.0, 4.0]]))
    array([[0.69314718, 0.        ],
           [0.        , 0.69314718]])
    """
    word = counts.sum(axis=1, keepdims=True) / counts.sum()
    context = counts.sum(axis=0, keepdims=True) ** smoothing
    context = context / context.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(counts / counts.sum()) - np.log(word) - np.log(context)
    pmi = np.where(counts > 0, pmi, -np.inf)
    return np.maximum(pmi, 0.0) if positive else pmi


def svd_vectors(
    matrix: np.ndarray, vocabulary: Vocabulary, *, dim: int = 50, power: float = 0.5
) -> WordVectors:
    """Word vectors from the ``dim`` largest singular values: ``U_D Σ_D^power``.

    ``power`` 1 keeps the distances of the rows of the best rank-D copy of ``matrix``; 0.5 splits
    the singular values between words and contexts, which works better in practice (Levy et al.).

    Examples
    --------
    >>> vocabulary = Vocabulary("a b c".split())
    >>> vectors = svd_vectors(np.diag([3.0, 2.0, 1.0]), vocabulary, dim=2, power=1.0)
    >>> np.abs(vectors.matrix).round(4) + 0.0
    array([[3., 0.],
           [0., 2.],
           [0., 0.]])
    """
    if not 1 <= dim <= len(matrix):
        raise ValueError(f"dim {dim} must lie between 1 and {len(matrix)}, the matrix size")
    left, scale, _ = np.linalg.svd(matrix)
    return WordVectors(vocabulary, left[:, :dim] * scale[:dim] ** power)

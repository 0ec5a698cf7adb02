r"""Product quantisation: a vector in a few bytes.

Cut a vector into m parts. For each part, k-means finds 256 typical ones; a part is then written as
the number of the nearest of them, one byte. D float32 numbers, 4 D bytes, become m bytes.

.. math::

   v \approx \bigl(c^1_{b_1}, c^2_{b_2}, \dots, c^m_{b_m}\bigr), \qquad
   q \cdot v \approx \sum_{j=1}^{m} q^j \cdot c^j_{b_j}

==============  =================  =============================================
code            symbol             shape
==============  =================  =============================================
``books``       :math:`c^j`        ``(m, codes, D / m)``
``codes``       :math:`b_j`        ``(N, m)``, one byte each
==============  =================  =============================================

A query computes its products with all entries of all books once, a table ``(m, codes)``. Then a
score is m look-ups and additions, no multiplication at all.

References
----------
1. Jégou, Douze and Schmid, *Product Quantization for Nearest Neighbor Search*, 2011.
"""

from __future__ import annotations

import numpy as np

from llmlib.retrieval.ivf import k_means
from llmlib.retrieval.ranking import top_k

__all__ = ["ProductQuantized"]


class ProductQuantized:
    """Nearest neighbours of compressed vectors, for :class:`~llmlib.retrieval.DenseIndex`.

    Parameters
    ----------
    vectors : numpy.ndarray
        ``(N, D)``; they are not kept.
    parts : int
        m, a divisor of D; bytes per vector.
    codes : int
        Entries of a book, at most 256 and at most N.
    seed : int
        Of k-means.

    Examples
    --------
    >>> vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    >>> index = ProductQuantized(vectors, parts=4, codes=64)
    >>> index.codes.shape, index.codes.dtype, vectors.nbytes // index.codes.nbytes
    ((300, 4), dtype('uint8'), 8)
    """

    def __init__(
        self, vectors: np.ndarray, *, parts: int = 8, codes: int = 256, seed: int = 0
    ) -> None:
        count, dim = vectors.shape
        if dim % parts:
            raise ValueError(f"parts={parts} must divide the width {dim} of the vectors")
        if not 1 <= codes <= min(256, count):
            raise ValueError(f"codes={codes} must be from 1 to {min(256, count)}: a byte, a vector")
        self.parts = parts
        pieces = vectors.reshape(count, parts, dim // parts)  # (N, D) -> (N, m, D / m)
        trained = [k_means(pieces[:, j], codes, seed=seed) for j in range(parts)]
        self.books = np.stack([centres for centres, _ in trained])
        self.codes = np.stack([number for _, number in trained], axis=1).astype(np.uint8)

    def decode(self) -> np.ndarray:
        """The vectors as they are remembered, ``(N, D)``."""
        chosen = self.books[np.arange(self.parts), self.codes]  # (N, m, D / m)
        return chosen.reshape(len(self.codes), -1)

    def search(
        self, query: np.ndarray, k: int, keep: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and approximate dot products of the k nearest."""
        table = np.einsum("jcd,jd->jc", self.books, query.reshape(self.parts, -1))  # (m, codes)
        scores = table[np.arange(self.parts), self.codes].sum(1)  # (N,)
        found = top_k(scores, k, keep)
        return found, scores[found]

r"""An inverted file: look only into the cells near the query.

k-means puts the N vectors into C cells. A query is compared with the C centres first, then with
the vectors of the ``probes`` nearest cells: about :math:`C + N \cdot \text{probes} / C` products
in place of N. A neighbour on the far side of a border is missed; more probes miss fewer.

==============  ==========================  ==========
code            what it is                  shape
==============  ==========================  ==========
``centres``     one for each cell           ``(C, D)``
``cells``       which vectors it holds      C lists
``probes``      cells that are looked into  a number
==============  ==========================  ==========

References
----------
1. Jégou, Douze and Schmid, *Product Quantization for Nearest Neighbor Search*, 2011: the inverted
   file, with compressed vectors in the cells (IVFADC). Here they are not compressed.
"""

from __future__ import annotations

import numpy as np

from llmlib.retrieval.ranking import top_k

__all__ = ["IVF", "k_means"]


def k_means(
    vectors: np.ndarray, number: int, *, rounds: int = 20, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Centres, and for each vector the number of its centre.

    Parameters
    ----------
    vectors : numpy.ndarray
        ``(N, D)``.
    number : int
        Of centres, from 1 to N.
    rounds : int
        At most; it ends earlier when nothing moves.
    seed : int
        Of the vectors that the centres start from.

    Returns
    -------
    tuple of numpy.ndarray
        ``(C, D)`` and ``(N,)``.

    Examples
    --------
    >>> points = np.array([[0.0], [0.2], [5.0], [5.2]])
    >>> centres, cell = k_means(points, 2)
    >>> sorted(centres[:, 0].round(1).tolist()), cell[0] == cell[1] != cell[2]
    ([0.1, 5.1], np.True_)
    """
    if not 1 <= number <= len(vectors):
        raise ValueError(f"number={number} of centres must be from 1 to {len(vectors)} vectors")
    generator = np.random.default_rng(seed)
    centres = vectors[generator.choice(len(vectors), number, replace=False)].astype(np.float64)
    cell = np.full(len(vectors), -1)
    for _ in range(rounds):
        # |v - c|^2 = |v|^2 - 2 v c + |c|^2, and |v|^2 does not decide between centres
        distances = (centres**2).sum(1) - 2 * vectors @ centres.T  # (N, C)
        nearest = distances.argmin(1)
        if (nearest == cell).all():
            break
        cell = nearest
        for i in range(number):
            members = vectors[cell == i]
            if len(members):  # an empty cell keeps its centre
                centres[i] = members.mean(0)
    return centres, cell


class IVF:
    """Nearest neighbours by an inverted file, for :class:`~llmlib.retrieval.DenseIndex`.

    Parameters
    ----------
    vectors : numpy.ndarray
        ``(N, D)``, each of length 1.
    cells : int, optional
        How many; about the root of N when left out.
    probes : int
        Cells that a query looks into.
    seed : int
        Of k-means.

    Examples
    --------
    >>> angles = np.linspace(0, 6, 60)
    >>> index = IVF(np.stack([np.cos(angles), np.sin(angles)], 1), cells=6, probes=2)
    >>> numbers, _ = index.search(np.array([1.0, 0.0]), 3)
    >>> numbers.tolist(), index.compared < 40
    ([0, 1, 2], True)
    """

    def __init__(
        self, vectors: np.ndarray, *, cells: int | None = None, probes: int = 4, seed: int = 0
    ) -> None:
        count = max(1, round(len(vectors) ** 0.5)) if cells is None else cells
        self.vectors, self.probes = vectors, probes
        self.centres, self.cell = k_means(vectors, count, seed=seed)
        self.members = [np.flatnonzero(self.cell == i) for i in range(count)]
        self.compared = 0  # products of the last search: what it cost

    def search(
        self, query: np.ndarray, k: int, keep: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and dot products of the k nearest that the probed cells hold."""
        distances = (self.centres**2).sum(1) - 2 * self.centres @ query
        probed = top_k(-distances, self.probes)
        numbers = np.concatenate([self.members[i] for i in probed])
        if keep is not None:
            numbers = numbers[keep[numbers]]
        self.compared = len(self.centres) + len(numbers)
        scores = self.vectors[numbers] @ query
        best = top_k(scores, k)
        return numbers[best], scores[best]

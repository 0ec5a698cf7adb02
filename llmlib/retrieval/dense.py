r"""A dense index: texts as vectors, found by the angle between them.

.. math::

   \operatorname{score}(q, d) = \cos(e_q, e_d) = \frac{e_q \cdot e_d}{|e_q|\,|e_d|}

==============  ================  ====================================================
code            symbol            shape
==============  ================  ====================================================
``vectors``     :math:`e_d`       ``(N, D)``, each of length 1
``encode``      :math:`e`         a function: list of n texts ``-> (n, D)``
``neighbours``  --                what finds the nearest of the vectors: exact, or
                                  one of the shortcuts of :mod:`llmlib.retrieval.ivf`,
                                  :mod:`llmlib.retrieval.hnsw` and FAISS
==============  ================  ====================================================

With vectors of length 1 the cosine is the dot product, and the nearest by angle are the nearest by
distance too, since :math:`|a - b|^2 = 2 - 2\, a \cdot b`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from llmlib.retrieval.passages import Chunk, Document, Hit, as_chunks, matches
from llmlib.retrieval.ranking import top_k

__all__ = ["DenseIndex", "Encode", "Exact", "Neighbours", "unit_rows"]

Encode = Callable[[list[str]], Any]


def unit_rows(vectors: Any) -> np.ndarray:
    """Rows as float32 of length 1; a row of zeros stays zero.

    Examples
    --------
    >>> unit_rows([[3.0, 4.0], [0.0, 0.0]]).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0]]
    True
    """
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


class Neighbours(Protocol):
    """What finds the nearest of many vectors. Built from them: ``(N, D) -> Neighbours``."""

    def search(
        self, query: np.ndarray, k: int, keep: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and dot products of the k nearest to ``query`` ``(D,)``, the nearest first."""
        ...


class Exact:
    """Compare with every vector: N D multiplications, and never wrong.

    Examples
    --------
    >>> numbers, scores = Exact(np.eye(3, dtype=np.float32)).search(np.array([0.0, 1, 0.5]), 2)
    >>> numbers, scores
    (array([1, 2]), array([1. , 0.5]))
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def search(
        self, query: np.ndarray, k: int, keep: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and dot products of the k nearest, the nearest first."""
        scores = self.vectors @ query
        found = top_k(scores, k, keep)
        return found, scores[found]


class DenseIndex:
    """Chunks and their vectors.

    Parameters
    ----------
    chunks : iterable of Chunk, Document or str
        What to search.
    encode : callable
        Texts to vectors, for chunks and queries alike; a
        :class:`~llmlib.retrieval.TextEncoder`, say.
    vectors : array, optional
        ``(N, D)``, where the chunks were encoded before.
    neighbours : callable
        Vectors to what searches them; a shortcut in place of :class:`Exact`.

    Examples
    --------
    Texts as counts of the letters a and o:

    >>> def letters(texts):
    ...     return [[text.count("a"), text.count("o")] for text in texts]
    >>> index = DenseIndex(["banana", "voodoo", "avocado"], letters)
    >>> [(hit.text, round(hit.score, 2)) for hit in index.search("cabana", 2)]
    [('banana', 1.0), ('avocado', 0.71)]
    """

    def __init__(
        self,
        chunks: Iterable[Chunk | Document | str],
        encode: Encode,
        *,
        vectors: Any = None,
        neighbours: Callable[[np.ndarray], Neighbours] = Exact,
    ) -> None:
        self.chunks = as_chunks(chunks)
        if not self.chunks:
            raise ValueError("there is nothing to search: give at least one text")
        self.encode = encode
        if vectors is None:
            vectors = encode([chunk.text for chunk in self.chunks])
        self.vectors = unit_rows(vectors)
        if len(self.vectors) != len(self.chunks):
            raise ValueError(
                f"{len(self.vectors)} vectors for {len(self.chunks)} chunks: give one for each"
            )
        self.neighbours = neighbours(self.vectors)

    def __len__(self) -> int:
        return len(self.chunks)

    def query_vector(self, query: str | np.ndarray) -> np.ndarray:
        """The vector of a query, of length 1; one that is a vector already is only scaled."""
        vector = self.encode([query]) if isinstance(query, str) else query
        return unit_rows(vector)[0]

    def search(
        self, query: str | np.ndarray, k: int = 10, where: Mapping[str, str] | None = None
    ) -> list[Hit]:
        """The chunks whose vectors point most nearly where that of the query does.

        Parameters
        ----------
        query : str or numpy.ndarray
            A text, or its vector ``(D,)``.
        k : int
            How many hits.
        where : mapping, optional
            Values that the metadata of a chunk must have.

        Returns
        -------
        list of Hit
            The nearest first.
        """
        keep = None
        if where:
            keep = np.array([matches(chunk, where) for chunk in self.chunks])
        numbers, scores = self.neighbours.search(self.query_vector(query), k, keep)
        pairs = zip(numbers.tolist(), scores.tolist(), strict=True)
        return [Hit(self.chunks[number], score) for number, score in pairs]

    def save(self, path: str | Path) -> None:
        """Write chunks and vectors into a folder, made where it is missing."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        np.save(path / "vectors.npy", self.vectors)
        rows = [asdict(chunk) for chunk in self.chunks]
        text = json.dumps(rows, ensure_ascii=False, indent=0)
        (path / "chunks.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(
        cls,
        path: str | Path,
        encode: Encode,
        *,
        neighbours: Callable[[np.ndarray], Neighbours] = Exact,
    ) -> Self:
        """Read what :meth:`save` wrote; ``encode`` must be the one that made the vectors."""
        path = Path(path)
        rows = json.loads((path / "chunks.json").read_text(encoding="utf-8"))
        vectors = np.load(path / "vectors.npy", allow_pickle=False)
        chunks = [Chunk(**row) for row in rows]
        return cls(chunks, encode, vectors=vectors, neighbours=neighbours)

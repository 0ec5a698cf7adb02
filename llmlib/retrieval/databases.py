"""Nearest neighbours by FAISS, and a vector database on disk, behind the methods of ours.

Both need the extra ``retrieval``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from llmlib.retrieval.dense import Encode, unit_rows
from llmlib.retrieval.passages import Chunk, Document, Hit, as_chunks

__all__ = ["FaissNeighbours", "QdrantIndex", "optional"]


def optional(module: str, package: str, purpose: str) -> ModuleType:
    """Import a module of the extra ``retrieval``, or say how to get it.

    Examples
    --------
    >>> optional("no_such_module", "no-such", "flying")
    Traceback (most recent call last):
    ImportError: flying needs the package no-such: pip install 'llmlib[retrieval]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package {package}: pip install 'llmlib[retrieval]'"
        ) from error


class FaissNeighbours:
    """Nearest neighbours by FAISS, for :class:`~llmlib.retrieval.DenseIndex`.

    Parameters
    ----------
    vectors : numpy.ndarray
        ``(N, D)``, each of length 1.
    recipe : str
        What FAISS calls a factory string: ``"Flat"`` is exact, ``"IVF64,Flat"`` an inverted file
        with 64 cells, ``"HNSW16"`` a graph with 16 neighbours.
    **settings
        Attributes of the index: ``nprobe`` for an inverted file.

    Examples
    --------
    >>> import pytest; _ = pytest.importorskip("faiss")
    >>> numbers, scores = FaissNeighbours(np.eye(3, dtype=np.float32)).search(
    ...     np.array([0.0, 1.0, 0.5]), 2)
    >>> numbers, scores
    (array([1, 2]), array([1. , 0.5], dtype=float32))
    """

    def __init__(self, vectors: np.ndarray, recipe: str = "Flat", **settings: int) -> None:
        self.faiss = optional("faiss", "faiss-cpu", "FaissNeighbours")
        dot_product = self.faiss.METRIC_INNER_PRODUCT
        self.index = self.faiss.index_factory(vectors.shape[1], recipe, dot_product)
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        self.index.train(rows)
        self.index.add(rows)
        for name, value in settings.items():
            self.faiss.ParameterSpace().set_index_parameter(self.index, name, value)

    def search(
        self, query: np.ndarray, k: int, keep: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and dot products of the k nearest, the nearest first."""
        options: dict[str, Any] = {}
        if keep is not None:
            options["params"] = self._only(np.flatnonzero(keep))
        row = np.asarray(query, dtype=np.float32)[None]
        scores, numbers = self.index.search(row, k, **options)
        found = numbers[0] >= 0  # FAISS fills up with -1
        return numbers[0][found], scores[0][found]

    def _only(self, numbers: np.ndarray) -> Any:
        """Search parameters that let only these take part; other settings stay."""
        faiss, selector = self.faiss, self.faiss.IDSelectorBatch(numbers)
        match faiss.downcast_index(self.index):
            case faiss.IndexIVF() as index:
                return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)
            case faiss.IndexHNSW() as index:
                return faiss.SearchParametersHNSW(sel=selector, efSearch=index.hnsw.efSearch)
        return faiss.SearchParameters(sel=selector)


class QdrantIndex:
    """Chunks and vectors in a Qdrant database: a folder, no server.

    Parameters
    ----------
    chunks : iterable of Chunk, Document or str
        What to search; written to the database with their vectors.
    encode : callable
        Texts to vectors, for chunks and queries alike.
    path : str or Path
        The folder. A database that is there already is replaced; :meth:`load` opens it.
    vectors : array, optional
        ``(N, D)``, where the chunks were encoded before.

    Notes
    -----
    One process at a time may have the folder open: :meth:`close` it, or use ``with``.
    """

    COLLECTION = "chunks"

    def __init__(
        self,
        chunks: Iterable[Chunk | Document | str],
        encode: Encode,
        path: str | Path,
        *,
        vectors: Any = None,
    ) -> None:
        chunks = as_chunks(chunks)
        if not chunks:
            raise ValueError("there is nothing to search: give at least one text")
        self._open(encode, path)
        if vectors is None:
            vectors = encode([chunk.text for chunk in chunks])
        rows = unit_rows(vectors)
        models = self.models
        if self.client.collection_exists(self.COLLECTION):
            self.client.delete_collection(self.COLLECTION)
        size = models.VectorParams(size=rows.shape[1], distance=models.Distance.COSINE)
        self.client.create_collection(self.COLLECTION, vectors_config=size)
        points = [
            models.PointStruct(id=number, vector=row.tolist(), payload=_payload(chunk))
            for number, (chunk, row) in enumerate(zip(chunks, rows, strict=True))
        ]
        self.client.upsert(self.COLLECTION, points)

    @classmethod
    def load(cls, path: str | Path, encode: Encode) -> Self:
        """Open a database that an earlier process wrote.

        Raises
        ------
        FileNotFoundError
            There is none in that folder.
        """
        if not (Path(path) / "meta.json").is_file():
            raise FileNotFoundError(f"{path} holds no Qdrant database: write one first")
        index = cls.__new__(cls)
        index._open(encode, path)
        return index

    def _open(self, encode: Encode, path: str | Path) -> None:
        qdrant = optional("qdrant_client", "qdrant-client", "QdrantIndex")
        self.encode, self.models = encode, qdrant.models
        self.client = qdrant.QdrantClient(path=str(path))

    def __len__(self) -> int:
        return self.client.count(self.COLLECTION).count

    def search(
        self, query: str | np.ndarray, k: int = 10, where: Mapping[str, str] | None = None
    ) -> list[Hit]:
        """The nearest chunks, as :meth:`llmlib.retrieval.DenseIndex.search` gives them."""
        if k < 1:
            raise ValueError(f"k={k}: ask for at least 1 hit")
        vector = self.encode([query]) if isinstance(query, str) else query
        models = self.models
        conditions = [
            models.FieldCondition(key=f"metadata.{key}", match=models.MatchValue(value=value))
            for key, value in (where or {}).items()
        ]
        found = self.client.query_points(
            self.COLLECTION,
            query=unit_rows(vector)[0].tolist(),
            query_filter=models.Filter(must=conditions) if conditions else None,
            limit=k,
        )
        return [Hit(Chunk(**point.payload), point.score) for point in found.points]

    def close(self) -> None:
        """Let go of the folder."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _payload(chunk: Chunk) -> dict[str, Any]:
    return {
        "text": chunk.text,
        "source": chunk.source,
        "start": chunk.start,
        "end": chunk.end,
        "metadata": dict(chunk.metadata),
    }

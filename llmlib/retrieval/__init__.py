"""Floor 4: finding the passage that has the answer.

====================================  ==========================================================
file                                  what is in it
====================================  ==========================================================
:mod:`llmlib.retrieval.passages`      documents, chunks with their spans, hits
:mod:`llmlib.retrieval.loading`       text, Markdown, HTML, PDF and Word into documents
:mod:`llmlib.retrieval.splitting`     documents into chunks
:mod:`llmlib.retrieval.bm25`          by shared words
:mod:`llmlib.retrieval.dense`         by vectors, compared with all
:mod:`llmlib.retrieval.databases`     the same with FAISS and with Qdrant
:mod:`llmlib.retrieval.fusion`        several rankings into one
:mod:`llmlib.retrieval.ranking`       the best k of many scores
====================================  ==========================================================

Everything that finds has ``.search(query, k, where) -> list[Hit]``.
"""

from llmlib.retrieval.bm25 import BM25, bm25_score, search_words
from llmlib.retrieval.databases import FaissNeighbours, QdrantIndex
from llmlib.retrieval.dense import DenseIndex, Exact
from llmlib.retrieval.fusion import Hybrid, Retriever, reciprocal_rank_fusion
from llmlib.retrieval.loading import load_document, load_folder
from llmlib.retrieval.passages import Chunk, Document, Hit
from llmlib.retrieval.splitting import split_fixed, split_headings, split_sentences, split_text

__all__ = [
    "BM25",
    "Chunk",
    "DenseIndex",
    "Document",
    "Exact",
    "FaissNeighbours",
    "Hit",
    "Hybrid",
    "QdrantIndex",
    "Retriever",
    "bm25_score",
    "load_document",
    "load_folder",
    "reciprocal_rank_fusion",
    "search_words",
    "split_fixed",
    "split_headings",
    "split_sentences",
    "split_text",
]

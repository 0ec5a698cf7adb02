"""Floor 4: finding the passage that has the answer.

===============================================  ==================================================
file                                             what is in it
===============================================  ==================================================
:mod:`llmlib.retrieval.passages`                 documents, chunks with their spans, hits
:mod:`llmlib.retrieval.loading`                  text, Markdown, HTML, PDF and Word into documents
:mod:`llmlib.retrieval.splitting`                documents into chunks
:mod:`llmlib.retrieval.bm25`                     by shared words
:mod:`llmlib.retrieval.encoder`                  texts to vectors: a bi-encoder and its loss
:mod:`llmlib.retrieval.dense`                    by vectors, compared with all
:mod:`llmlib.retrieval.ivf`                      a shortcut: cells
:mod:`llmlib.retrieval.hnsw`                     a shortcut: a graph in layers
:mod:`llmlib.retrieval.product_quantization`     vectors in a few bytes
:mod:`llmlib.retrieval.databases`                the same with FAISS and with Qdrant
:mod:`llmlib.retrieval.fusion`                   several rankings into one
:mod:`llmlib.retrieval.rerank`                   a cross-encoder puts the first hits in order
:mod:`llmlib.retrieval.ranking`                  the best k of many scores
:mod:`llmlib.retrieval.rag`                      answers from passages, with citations
:mod:`llmlib.retrieval.island_search`            learning to search the island
:mod:`llmlib.retrieval.island_numbers`           how well the island is searched
:mod:`llmlib.retrieval.rag_numbers`              how well questions about it are answered
===============================================  ==================================================

Everything that finds has ``.search(query, k, where) -> list[Hit]``.
"""

from llmlib.retrieval.bm25 import BM25, bm25_score, content_words, search_words
from llmlib.retrieval.databases import FaissNeighbours, QdrantIndex
from llmlib.retrieval.dense import DenseIndex, Exact
from llmlib.retrieval.encoder import TextEncoder, info_nce, mean_pool
from llmlib.retrieval.fusion import Hybrid, Retriever, reciprocal_rank_fusion
from llmlib.retrieval.hnsw import HNSW
from llmlib.retrieval.ivf import IVF, k_means
from llmlib.retrieval.loading import load_document, load_folder
from llmlib.retrieval.passages import Chunk, Document, Hit
from llmlib.retrieval.product_quantization import ProductQuantized
from llmlib.retrieval.rag import RAG, CitedAnswer, one_by_one, passages_prompt
from llmlib.retrieval.rerank import CrossEncoder, Reranker
from llmlib.retrieval.splitting import split_fixed, split_headings, split_sentences, split_text

__all__ = [
    "BM25",
    "HNSW",
    "IVF",
    "RAG",
    "Chunk",
    "CitedAnswer",
    "CrossEncoder",
    "DenseIndex",
    "Document",
    "Exact",
    "FaissNeighbours",
    "Hit",
    "Hybrid",
    "ProductQuantized",
    "QdrantIndex",
    "Reranker",
    "Retriever",
    "TextEncoder",
    "bm25_score",
    "content_words",
    "info_nce",
    "k_means",
    "load_document",
    "load_folder",
    "mean_pool",
    "one_by_one",
    "passages_prompt",
    "reciprocal_rank_fusion",
    "search_words",
    "split_fixed",
    "split_headings",
    "split_sentences",
    "split_text",
]

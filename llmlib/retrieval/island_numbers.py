"""How well the island is searched: trained encoders, held-out questions, numbers with intervals.

``python -m llmlib.retrieval evaluate`` prints them; ``train`` makes the two encoders again, which
stand in ``llmlib/retrieval/trained`` (float16).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from llmlib.data import Island, make_island
from llmlib.evaluation import Interval, bootstrap_interval, recall_at_k, reciprocal_rank
from llmlib.retrieval.bm25 import BM25, content_words
from llmlib.retrieval.dense import DenseIndex
from llmlib.retrieval.encoder import TextEncoder
from llmlib.retrieval.fusion import Hybrid, Retriever
from llmlib.retrieval.island_search import (
    SearchExample,
    encoder_loss,
    fit,
    island_batches,
    island_chunks,
    island_encoder,
    island_examples,
    island_reranker,
    island_tokenizer,
    reranker_lists,
    reranker_loss,
)
from llmlib.retrieval.passages import Chunk
from llmlib.retrieval.rerank import CrossEncoder, Reranker

__all__ = [
    "held_out_examples",
    "island_retrievers",
    "load_island_encoder",
    "load_island_reranker",
    "rankings",
    "search_numbers",
    "train_encoders",
]

TRAINED = Path(__file__).parent / "trained"
HELD_OUT = 1001  # seed of the island that is searched; its names are of the split "test"
ISLANDS = 40  # to learn from


def load_island_encoder() -> TextEncoder:
    """The bi-encoder that comes with the library.

    Examples
    --------
    >>> load_island_encoder()(["Who founded Tarobe?"]).shape
    (1, 64)
    """
    return TextEncoder.load(TRAINED / "encoder")


def load_island_reranker() -> CrossEncoder:
    """The cross-encoder that comes with the library.

    Examples
    --------
    >>> passages = ["The village of Tarobe lies on a river.", "The village of Sunika has a river."]
    >>> scores = load_island_reranker().score("On which river does Sunika lie?", passages)
    >>> bool(scores[1] > scores[0])
    True
    """
    return CrossEncoder.load(TRAINED / "reranker")


def island_retrievers(
    chunks: Sequence[Chunk], encoder: TextEncoder, reranker: CrossEncoder | None = None
) -> dict[str, Retriever]:
    """By words, by meaning, by both, and with a second look if there is a reranker."""
    words = BM25(chunks, split=content_words)
    meaning = DenseIndex(chunks, encoder)
    hybrid = Hybrid([words, meaning], depth=20)
    found: dict[str, Retriever] = {"BM25": words, "dense": meaning, "hybrid": hybrid}
    if reranker is not None:
        found["reranked"] = Reranker(hybrid, reranker, depth=20)
    return found


def held_out_examples(
    *, named: int = 200, described: int = 100, seed: int = 0
) -> tuple[Island, dict[str, list[SearchExample]]]:
    """An island that nothing was trained on, and questions about it.

    Examples
    --------
    >>> island, questions = held_out_examples()
    >>> island.split, {kind: len(asked) for kind, asked in questions.items()}
    ('test', {'by name': 200, 'by description': 100})
    """
    island = make_island(seed=HELD_OUT, split="test")
    examples = island_examples(island, seed=seed)
    rng = random.Random(seed)
    kinds = {"by name": (True, named), "by description": (False, described)}
    return island, {
        name: rng.sample([e for e in examples if e.named == flag], number)
        for name, (flag, number) in kinds.items()
    }


def rankings(
    retriever: Retriever, examples: Sequence[SearchExample], k: int = 10
) -> list[list[tuple[str, str]]]:
    """For each question, island and title of the k chunks that were found, the best first."""
    return [
        [(hit.chunk.source, hit.chunk.metadata["heading"]) for hit in found]
        for found in (retriever.search(example.question, k) for example in examples)
    ]


def search_numbers(
    retrievers: Mapping[str, Retriever], examples: Sequence[SearchExample]
) -> dict[str, dict[str, Interval]]:
    """Retriever -> measure -> mean over the questions, with its bootstrap interval."""
    numbers = {}
    for name, retriever in retrievers.items():
        ranked = rankings(retriever, examples)
        pairs = list(zip(ranked, (example.answers for example in examples), strict=True))
        values = {
            "recall@5": [recall_at_k(found, right, 5) for found, right in pairs],
            "MRR": [reciprocal_rank(found, right) for found, right in pairs],
        }
        numbers[name] = {measure: bootstrap_interval(row) for measure, row in values.items()}
    return numbers


def train_encoders(
    path: str | Path | None = None, *, encoder_steps: int = 600, reranker_steps: int = 1500
) -> dict[str, list[float]]:
    """Train both encoders on islands of the split ``train`` and write them; the losses.

    They go to ``path``, by default to where :func:`load_island_encoder` looks. It takes about five
    minutes on one core.
    """
    path = TRAINED if path is None else Path(path)
    islands = [make_island(seed=seed) for seed in range(ISLANDS)]
    encoder = island_encoder(island_tokenizer(islands))
    batches = island_batches(islands)
    losses = {
        "encoder": fit(encoder.model, lambda: encoder_loss(encoder, next(batches)), encoder_steps)
    }
    reranker = island_reranker(encoder)
    found = [island_retrievers(island_chunks(island), encoder)["hybrid"] for island in islands]
    lists = reranker_lists(islands, found)
    losses["reranker"] = fit(
        reranker,
        lambda: reranker_loss(reranker, next(lists)),
        reranker_steps,
        max_lr=2e-3,
        warmup_steps=60,
    )
    encoder.model.half()
    encoder.save(path / "encoder")
    reranker.half().save(path / "reranker")
    for name, row in losses.items():
        means = np.array(row[: len(row) // 50 * 50]).reshape(-1, 50).mean(1)  # of 50 steps each
        lines = "".join(f"{value:.3f}\n" for value in means)
        (path / name / "losses.txt").write_text(lines, encoding="utf-8")
    return losses

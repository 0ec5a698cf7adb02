"""Speed of BM25 beside ``bm25s``.

``python -m benchmarks.retrieval`` writes ``benchmarks/results/retrieval.json``.

Both sides get the same words of the same texts and the same queries, one at a time, on one thread,
and give the ten best. The rankings are compared first: where they differ there is nothing to time.
The larger collections have the statistics that matter here: words repeat by Zipf's law, so that
some words of a query stand in half of all texts.
"""

import random
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import bm25s
import numpy as np

from benchmarks.recording import record
from benchmarks.timing import in_turns, machine
from benchmarks.tokenizers import english_like
from llmlib.retrieval import BM25, Document, search_words, split_text

RESULTS = Path(__file__).parent / "results" / "retrieval.json"
# What the project promises: our time per query divided by that of bm25s, at most.
TARGET = 1.2
QUERIES = 100


def collections() -> dict[str, list[str]]:
    """Texts to search, from a thousand to thirty thousand."""
    reference = [
        chunk.text
        for name in sorted(topics)
        for chunk in split_text(Document(topics[name], name), 500)
    ]
    words = english_like(6_000_000).split(" ")
    made = [" ".join(words[start : start + 20]) for start in range(0, len(words) - 20, 20)]
    return {
        "documentation of Python": reference,
        "English-like, 10,000 texts": made[:10_000],
        "English-like, 30,000 texts": made[:30_000],
    }


def some_queries(texts: list[str], seed: int = 0) -> list[str]:
    """Five words in a row out of a text, as a question would repeat them."""
    rng = random.Random(seed)
    queries = []
    while len(queries) < QUERIES:
        words = search_words(rng.choice(texts))
        if len(words) >= 5:
            start = rng.randrange(len(words) - 4)
            queries.append(" ".join(words[start : start + 5]))
    return queries


def searches(texts: list[str], queries: list[str], k: int = 10) -> dict[str, Callable[[], list]]:
    """Both sides answering all queries, from string to the numbers of the best texts."""
    ours = BM25(texts)
    theirs = bm25s.BM25()
    theirs.index([search_words(text) for text in texts], show_progress=False)
    check_same(ours, theirs, queries)
    options = {"k": k, "show_progress": False, "n_threads": 0}
    return {
        "llmlib": lambda: [ours.search(query, k) for query in queries],
        "bm25s": lambda: [theirs.retrieve([search_words(q)], **options) for q in queries],
    }


def check_same(ours: BM25, theirs: Any, queries: list[str]) -> None:
    """Stop where the two sides score differently."""
    for query in queries:
        if not np.allclose(ours.scores(query), theirs.get_scores(search_words(query)), rtol=1e-4):
            raise RuntimeError(f"the two sides score {query!r} differently: nothing to compare")


def measure(rounds: int) -> dict[str, Any]:
    """All comparisons, as the page shows them."""
    results: dict[str, Any] = {
        "what": "milliseconds per query, and ours divided by those of bm25s",
        "rounds": rounds,
        "queries": QUERIES,
        "machine": machine() | {"bm25s": bm25s.__version__},
        "target": TARGET,
        "collections": [],
    }
    for name, texts in collections().items():
        seconds = in_turns(searches(texts, some_queries(texts)), rounds)
        results["collections"].append(
            {
                "collection": name,
                "texts": len(texts),
                "ratio": round(seconds["llmlib"] / seconds["bm25s"], 2),
                "milliseconds": {
                    side: round(1000 * value / QUERIES, 4) for side, value in seconds.items()
                },
            }
        )
    return results


def show(results: dict[str, Any]) -> str:
    """The results as a table."""
    lines = [f"{'':28}{'texts':>8}{'llmlib':>10}{'bm25s':>10}{'ratio':>8}"]
    for row in results["collections"]:
        times = row["milliseconds"]
        lines.append(
            f"{row['collection']:28}{row['texts']:8}{times['llmlib']:7.3f} ms"
            f"{times['bm25s']:7.3f} ms{row['ratio']:8.2f}"
        )
    return "\n".join([*lines, f"target: a ratio of at most {results['target']}"])


if __name__ == "__main__":
    record(__doc__.split("\n")[0], measure, show, RESULTS, rounds=7)

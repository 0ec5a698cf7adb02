"""How many held-out questions a model answers from retrieved passages: all numbers of one model.

``python -m llmlib.agents rag FOLDER`` prints them. Rows are named by the search, the passages that
the reader is shown (k), and how it replies: ``free``, or ``quoted``, confined to words of a passage
and its number (:class:`~llmlib.agents.QuotedAnswers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from llmlib.agents.local import LocalModel
from llmlib.agents.quoted import QuotedAnswers
from llmlib.data.island import Island, IslandQuestion
from llmlib.evaluation import Interval
from llmlib.models import CausalLanguageModel
from llmlib.post_training import replies
from llmlib.retrieval.fusion import Retriever
from llmlib.retrieval.island_numbers import (
    island_retrievers,
    load_island_encoder,
    load_island_reranker,
)
from llmlib.retrieval.island_search import island_chunks
from llmlib.retrieval.rag import RAG, Reader, one_by_one
from llmlib.retrieval.rag_numbers import WithoutArticle, held_out_questions, rag_numbers
from llmlib.tokenizers import Tokenizer

__all__ = ["companion_readers", "evaluate_rag", "rag_lines"]

SHOWN = ("exact", "right citation", "refused", "wrong")


def companion_readers(
    model: CausalLanguageModel, tokenizer: Tokenizer, *, max_new_tokens: int = 24
) -> dict[str, Reader]:
    """The two readers that are measured: ``free`` and ``quoted``."""
    quoted = QuotedAnswers(tokenizer)
    confined = LocalModel(model, tokenizer, max_new_tokens=max_new_tokens, constraint=quoted)
    return {
        "free": partial(replies, model, tokenizer, max_new_tokens=max_new_tokens),
        "quoted": one_by_one(confined),
    }


def evaluate_rag(
    model: CausalLanguageModel,
    tokenizer: Tokenizer,
    *,
    questions: int = 200,
    passages: Sequence[int] = (1, 2, 3),
) -> Iterator[tuple[str, dict[str, Interval]]]:
    """Measure one row after the other: its name, and measure -> mean with its interval.

    Parameters
    ----------
    model, tokenizer
        A stage of the companion from fine-tuning on.
    questions : int
        How many are asked, of those by name.
    passages : sequence of int
        How many passages the reader is shown.
    """
    island, asked = held_out_questions(count=questions)
    searches = _searches(island, asked)
    readers = companion_readers(model, tokenizer)

    def row(search: str, k: int, how: str) -> tuple[str, dict[str, Interval]]:
        rag = RAG(searches[search], readers[how], k=k)
        answers = rag.answers([one.question for one in asked])
        name = f"{search}, k = {k}, {how}" if k else "no passages"
        return name, rag_numbers(answers, asked)

    yield row("hybrid", 0, "free")
    for search in ("hybrid", "reranked"):
        for k in passages:
            yield row(search, k, "free")
    for search in ("reranked", "article missing"):
        for how in ("quoted",) if search == "reranked" else ("free", "quoted"):
            for k in passages:
                yield row(search, k, how)


def rag_lines(rows: Mapping[str, Mapping[str, Interval]]) -> list[str]:
    """The numbers as text, in per cent, with 95 % intervals.

    Examples
    --------
    >>> measured = dict.fromkeys(SHOWN, Interval(0.875, 0.83, 0.92))
    >>> print("\\n".join(rag_lines({"hybrid, k = 2, free": measured})))
                                   exact                 right citation        refused  wrong
    hybrid, k = 2, free              87.5 (83.0 to 92.0)   87.5 (83.0 to 92.0)    87.5   87.5
    """
    lines = [f"{'':30} {'exact':21} {'right citation':21} {'refused':8} wrong"]
    for name, numbers in rows.items():
        exact, citation, refused, wrong = (numbers[measure] for measure in SHOWN)
        cells = "  ".join(
            f"{100 * value:5.1f} {f'({100 * low:.1f} to {100 * high:.1f})':14}"
            for value, low, high in (exact, citation)
        )
        lines.append(f"{name:31} {cells} {100 * refused.value:6.1f} {100 * wrong.value:6.1f}")
    return lines


def _searches(island: Island, asked: Sequence[IslandQuestion]) -> dict[str, Retriever]:
    chunks = island_chunks(island)
    found = island_retrievers(chunks, load_island_encoder(), load_island_reranker())
    return found | {"article missing": WithoutArticle(found["reranked"], asked)}

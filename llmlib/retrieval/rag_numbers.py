"""What retrieval changes in the answers: held-out questions, measures, numbers with intervals.

The questions are the 200 by name of :func:`llmlib.retrieval.island_numbers.held_out_examples`, for
which the recall of the searches is measured too. ``python -m llmlib.agents rag FOLDER`` prints the
numbers of a model.

=====================  =========================================================================
measure                1 where
=====================  =========================================================================
``exact``              the text of the answer is the right one, letter by letter
``right citation``     it is exact, and every passage it cites states the fact asked for
``refused``            the reader said that it does not know
``wrong``              neither exact nor refused
``problems``           the check of the pipeline found something
``faithful``           share of its words that stand in the passages it cites
``answer f1``          overlap of its words with those of the right one
``context recall``     a passage that was shown states the fact
``context precision``  passages that state it stand first; see :mod:`llmlib.evaluation.contexts`
=====================  =========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from llmlib.data import Island
from llmlib.data.island import RELATIONS, Fact, IslandQuestion
from llmlib.evaluation import (
    Interval,
    answer_f1,
    bootstrap_interval,
    context_precision,
    context_recall,
    faithfulness,
)
from llmlib.retrieval.fusion import Retriever
from llmlib.retrieval.island_numbers import held_out_examples
from llmlib.retrieval.passages import Hit
from llmlib.retrieval.rag import REFUSAL, CitedAnswer, Reader

__all__ = [
    "WithoutArticle",
    "answer_measures",
    "held_out_questions",
    "perfect_reader",
    "rag_numbers",
    "states",
]

_NUMBERED = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)


def held_out_questions(*, count: int = 200, seed: int = 0) -> tuple[Island, list[IslandQuestion]]:
    """An island that nothing was trained on, and questions by name with their answers.

    Examples
    --------
    >>> island, asked = held_out_questions()
    >>> len(asked), all(q.answer in island.article(q.article).text for q in asked)
    (200, True)
    """
    island, examples = held_out_examples(named=count, seed=seed)
    by_text = {asked.question: asked for asked in island.questions()}
    return island, [by_text[example.question] for example in examples["by name"]]


def states(text: str, fact: Fact) -> bool:
    """Whether a text has a sentence that states a fact, in one of the encyclopaedia's wordings.

    Examples
    --------
    >>> fact = Fact(subject="Tarobe", kind="village", relation="product", value="salt")
    >>> states("The village of Tarobe lies on the river Lunika. It is known for its salt.", fact)
    True
    >>> states("The village of Sunika lies on the river Lunika. It is known for its salt.", fact)
    False
    """
    said = RELATIONS[fact.kind][fact.relation][1]
    return fact.subject in text and any(
        sentence.format(s=fact.subject, v=fact.value) in text for sentence in said
    )


class WithoutArticle:
    """A retriever that does not find the article that a question is about.

    For a question that the shelf cannot answer, with the passages that come nearest to it: what was
    to be found is the article whose heading each question belongs to.

    Parameters
    ----------
    retriever : Retriever
        Finds chunks with a heading.
    questions : sequence of IslandQuestion
        Each with the article that answers it.
    """

    def __init__(self, retriever: Retriever, questions: Sequence[IslandQuestion]) -> None:
        self.retriever = retriever
        self.article = {asked.question: asked.article for asked in questions}

    def search(self, query: str, k: int = 10, where: Mapping[str, str] | None = None) -> list[Hit]:
        """The best k of the others."""
        hidden = self.article[query]
        found = self.retriever.search(query, k + 1, where)
        return [hit for hit in found if hit.chunk.metadata["heading"] != hidden][:k]


def perfect_reader(questions: Sequence[IslandQuestion]) -> Reader:
    """A reader that is a program: right wherever a passage states the fact, and never else.

    With it a pipeline answers exactly as many questions as its search finds, which is the ceiling
    of every reader; and whatever is wrong in numbering, prompt or citations shows.

    Examples
    --------
    >>> from llmlib.retrieval.rag import passages_prompt
    >>> island, asked = held_out_questions()
    >>> text = island.article(asked[0].article).text
    >>> def conversation(passage):
    ...     content = passages_prompt(asked[0].question, [passage])
    ...     return [{"role": "user", "content": content}]
    >>> perfect_reader(asked)([conversation(text)]) == [f"{asked[0].answer} [1]"]
    True
    >>> perfect_reader(asked)([conversation("Nothing.")])
    ['I do not know.']
    """
    by_text = {asked.question: asked for asked in questions}

    def read(content: str) -> str:
        asked = by_text[content.split("\n")[-1].removeprefix("Question: ")]
        for number, passage in _NUMBERED.findall(content):
            if states(passage, asked.fact):
                return f"{asked.answer} [{number}]"
        return REFUSAL

    return lambda conversations: [read(messages[-1]["content"]) for messages in conversations]


def answer_measures(answer: CitedAnswer, asked: IslandQuestion) -> dict[str, float]:
    """All measures of one answer; see the table above."""
    stating = [states(passage, asked.fact) for passage in answer.passages]
    points = [stating[n - 1] if 1 <= n <= len(stating) else False for n in answer.citations]
    exact = answer.text == asked.answer
    return {
        "exact": float(exact),
        "right citation": float(exact and bool(points) and all(points)),
        "refused": float(answer.refused),
        "wrong": float(not exact and not answer.refused),
        "problems": float(bool(answer.problems)),
        "faithful": faithfulness(answer.reply, answer.passages, refusal=answer.refusal),
        "answer f1": answer_f1(answer.text, asked.answer),
        "context recall": context_recall([any(stating)]),
        "context precision": context_precision(stating),
    }


def rag_numbers(
    answers: Sequence[CitedAnswer], questions: Sequence[IslandQuestion]
) -> dict[str, Interval]:
    """Measure -> mean over the questions, with its bootstrap interval.

    Parameters
    ----------
    answers : sequence of CitedAnswer
        Of a :class:`~llmlib.retrieval.RAG`.
    questions : sequence of IslandQuestion
        The same, with the right answers.

    Raises
    ------
    ValueError
        They do not belong together.
    """
    if [answer.question for answer in answers] != [asked.question for asked in questions]:
        raise ValueError(
            f"{len(answers)} answers for {len(questions)} questions, or another order: give them "
            "as the pipeline returned them"
        )
    rows = [answer_measures(*pair) for pair in zip(answers, questions, strict=True)]
    return {name: bootstrap_interval([row[name] for row in rows]) for name in rows[0]}

"""Questions that a tool answers: the calls, their results and the answer, as data.

==============  =============================================  ================================
kind            question                                       calls
==============  =============================================  ================================
``calculate``   What is 17 + 25?                               calculator
``look up``     Who founded Tarobe?                            search
``both``        How many years before 1900 was Tarobe born?    search, then calculator
==============  =============================================  ================================

A search gives the article about an entity of an invented island, so its result cannot be known
without the call. The names of the island and the sums belong to the split that is asked for.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from .arithmetic import arithmetic_problems, evaluate
from .island import Island, make_island

__all__ = ["ToolCall", "ToolTask", "tool_tasks"]


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call and what the tool gave back."""

    tool: str  # calculator or search
    arguments: dict[str, str]
    result: str

    @property
    def request(self) -> str:
        """The call as JSON, the way a model writes it.

        Examples
        --------
        >>> ToolCall(tool="search", arguments={"query": "Tarobe"}, result="...").request
        '{"name": "search", "arguments": {"query": "Tarobe"}}'
        """
        call = {"name": self.tool, "arguments": self.arguments}
        return json.dumps(call, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class ToolTask:
    """A question, the calls that lead to its answer, and the answer."""

    kind: str
    question: str
    calls: tuple[ToolCall, ...]
    answer: str


#: Relation -> questions whose answer is a sum with its value: {s} subject, {n} another number.
SUMS = {
    "year": (
        ("How many years before {n} was the first house of {s} built?", "{n} - {v}"),
        (1900, 2000),
    ),
    "birth": (("How many years before {n} was {s} born?", "{n} - {v}"), (1900, 2000)),
    "height": (("How high would {s} be with {n} metres more?", "{v} + {n}"), (10, 100)),
    "length": (("How long are {n} rivers like {s}, in kilometres?", "{n} * {v}"), (2, 9)),
}


def tool_tasks(
    count: int, *, seed: int = 0, split: str = "train", island: Island | None = None
) -> Iterator[ToolTask]:
    """Draw tasks, each kind as often.

    Parameters
    ----------
    split : str
        Of the sums and of the names on the island.
    island : Island, optional
        Where searches look; the island of the seed and split unless given.

    Raises
    ------
    ValueError
        For an unknown split, or an island of another one.

    Examples
    --------
    >>> tasks = list(tool_tasks(3, seed=1))
    >>> [(task.kind, [call.tool for call in task.calls]) for task in tasks]
    [('calculate', ['calculator']), ('look up', ['search']), ('both', ['search', 'calculator'])]
    """
    island = island or make_island(seed=seed, split=split)
    if island.split != split:
        raise ValueError(f"the island is for {island.split!r}, the tasks are for {split!r}")
    rng = random.Random(f"tools {seed}")
    asked = [question for question in island.questions() if question.article in question.question]
    numbers = [fact for fact in island.facts if fact.relation in SUMS]
    sums = arithmetic_problems(count, seed=seed, split=split)
    for i in range(count):
        if i % 3 == 0:
            problem = next(sums)
            calls = (_calculate(problem.expression, problem.answer),)
            yield ToolTask(
                kind="calculate", question=problem.question, calls=calls, answer=problem.answer
            )
        elif i % 3 == 1:
            question = rng.choice(asked)
            calls = (_search(question.article, island),)
            yield ToolTask(
                kind="look up", question=question.question, calls=calls, answer=question.answer
            )
        else:
            fact = rng.choice(numbers)
            (text, sum_), (least, most) = SUMS[fact.relation]
            number = rng.randint(least, most)
            expression = sum_.format(n=number, v=fact.value)
            left, operation, right = expression.split()
            answer = str(evaluate(int(left), operation, int(right)))
            calls = (_search(fact.subject, island), _calculate(expression, answer))
            question = text.format(n=number, s=fact.subject)
            yield ToolTask(kind="both", question=question, calls=calls, answer=answer)


def _search(title: str, island: Island) -> ToolCall:
    return ToolCall(tool="search", arguments={"query": title}, result=island.article(title).text)


def _calculate(expression: str, result: str) -> ToolCall:
    return ToolCall(tool="calculator", arguments={"expression": expression}, result=result)

"""Questions that a tool answers: the calls, their results and the answer, as data.

===================  ============================================  ==========================
kind                 question                                      calls
===================  ============================================  ==========================
``calculate``        What is 17 + 25?                              calculator
``look up``          Who founded Tarobe?                           search
``both``             How many years before 1900 was Tarobe born?   search, then calculator
``run``              What is the sum of all numbers from 1 to 17?  python
``look up and run``  Spell the name of the founder of Tarobe       search, then python
                     backwards.
===================  ============================================  ==========================

A search gives the article about an entity of an invented island, so its result cannot be known
without the call. The names of the island, the sums and the programs belong to the split that is
asked for.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .arithmetic import arithmetic_problems, evaluate
from .island import Fact, Island, make_island
from .programs import WORD_KINDS, program_about, program_problems

__all__ = ["TASK_KINDS", "ToolCall", "ToolTask", "tool_tasks"]

#: Kinds of tasks, in the order in which they are drawn.
TASK_KINDS = ("calculate", "look up", "both", "run", "look up and run")


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call and what the tool gave back."""

    tool: str  # calculator, search or python
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


#: Relation -> questions whose answer is a sum with its value ({s} subject, {n} another number), the
#: sum, and what the other number is drawn from.
SUMS = {
    "year": (
        (
            "How many years before {n} was the first house of {s} built?",
            "How old was the first house of {s} in {n}?",
        ),
        "{n} - {v}",
        (1900, 2000),
    ),
    "birth": (
        (
            "How many years before {n} was {s} born?",
            "How many years lie between the birth of {s} and {n}?",
        ),
        "{n} - {v}",
        (1900, 2000),
    ),
    "height": (
        (
            "How high would {s} be with {n} metres more?",
            "A tower of {n} metres stands on top of {s}. How high is its tip?",
        ),
        "{v} + {n}",
        (10, 100),
    ),
    "length": (
        (
            "How long are {n} rivers like {s}, in kilometres?",
            "How many kilometres are {n} times the length of {s}?",
        ),
        "{n} * {v}",
        (2, 9),
    ),
}
#: Kind and relation -> how to speak of a name without saying it.
CALLED = {
    ("village", "founder"): "the founder of {s}",
    ("village", "river"): "the river that flows through {s}",
    ("person", "home"): "the home of {s}",
    ("mountain", "creature"): "the creature that lives on {s}",
    ("river", "source"): "the mountain where {s} begins",
    ("creature", "food"): "the plant that the {s} eats",
    ("festival", "village"): "the village that holds {s}",
}


def tool_tasks(
    count: int,
    *,
    seed: int = 0,
    split: str = "train",
    island: Island | None = None,
    kinds: Sequence[str] = TASK_KINDS,
) -> Iterator[ToolTask]:
    """Draw tasks, each kind as often.

    Parameters
    ----------
    split : str
        Of the sums, the programs and the names on the island.
    island : Island, optional
        Where searches look; the island of the seed and split unless given.
    kinds : sequence of str
        Which of :data:`TASK_KINDS`, in this order again and again.

    Raises
    ------
    ValueError
        For an unknown split or kind, or an island of another split.

    Examples
    --------
    >>> for task in tool_tasks(5, seed=1):
    ...     print(task.kind, [call.tool for call in task.calls])
    calculate ['calculator']
    look up ['search']
    both ['search', 'calculator']
    run ['python']
    look up and run ['search', 'python']
    """
    unknown = sorted(set(kinds) - set(TASK_KINDS))
    if unknown or not kinds:
        raise ValueError(f"kinds {tuple(kinds)}: give some of {TASK_KINDS}")
    island = island or make_island(seed=seed, split=split)
    if island.split != split:
        raise ValueError(f"the island is for {island.split!r}, the tasks are for {split!r}")
    rng = random.Random(f"tools {seed}")
    asked = [question for question in island.questions() if question.article in question.question]
    numbers = [fact for fact in island.facts if fact.relation in SUMS]
    names = [fact for fact in island.facts if (fact.kind, fact.relation) in CALLED]
    sums = arithmetic_problems(count, seed=seed, split=split)
    programs = program_problems(count, seed=seed, split=split)
    for i in range(count):
        kind = kinds[i % len(kinds)]
        if kind == "calculate":
            problem = next(sums)
            calls = (_calculate(problem.expression, problem.answer),)
            yield ToolTask(kind=kind, question=problem.question, calls=calls, answer=problem.answer)
        elif kind == "look up":
            question = rng.choice(asked)
            calls = (_search(question.article, island),)
            yield ToolTask(
                kind=kind, question=question.question, calls=calls, answer=question.answer
            )
        elif kind == "both":
            yield _search_and_calculate(rng.choice(numbers), island, rng)
        elif kind == "run":
            program = next(programs)
            calls = (_run(program.code, program.answer),)
            yield ToolTask(kind=kind, question=program.question, calls=calls, answer=program.answer)
        else:
            yield _search_and_run(rng.choice(names), island, rng)


def _search_and_calculate(fact: Fact, island: Island, rng: random.Random) -> ToolTask:
    asked, sum_, (least, most) = SUMS[fact.relation]
    number = rng.randint(least, most)
    expression = sum_.format(n=number, v=fact.value)
    left, operation, right = expression.split()
    answer = str(evaluate(int(left), operation, int(right)))
    calls = (_search(fact.subject, island), _calculate(expression, answer))
    question = rng.choice(asked).format(n=number, s=fact.subject)
    return ToolTask(kind="both", question=question, calls=calls, answer=answer)


def _search_and_run(fact: Fact, island: Island, rng: random.Random) -> ToolTask:
    called = "the name of " + CALLED[fact.kind, fact.relation].format(s=fact.subject)
    program = program_about(fact.value, rng, kind=rng.choice(list(WORD_KINDS)), called=called)
    calls = (_search(fact.subject, island), _run(program.code, program.answer))
    return ToolTask(
        kind="look up and run", question=program.question, calls=calls, answer=program.answer
    )


def _search(title: str, island: Island) -> ToolCall:
    return ToolCall(tool="search", arguments={"query": title}, result=island.article(title).text)


def _calculate(expression: str, result: str) -> ToolCall:
    return ToolCall(tool="calculator", arguments={"expression": expression}, result=result)


def _run(code: str, result: str) -> ToolCall:
    return ToolCall(tool="python", arguments={"code": code}, result=result)

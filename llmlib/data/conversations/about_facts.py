r"""Conversations about numbers, passages and tools.

==================  ==========================================================================
kind                what the assistant is asked for
==================  ==========================================================================
``arithmetic``      sums and differences of small numbers; then to go on with the result
``passages``        an answer from numbered passages, with the number of the one that has it
``tools``           calls of tools, then the answer
``closed book``     a fact of an island, with nothing to find it in: it does not know
==================  ==========================================================================

Passages are given as ``[1] passage\n[2] passage\nQuestion: ...`` and answered as ``answer [1]``.
A call is the JSON of :attr:`~llmlib.data.ToolCall.request`; its result comes back in a turn of the
role ``tool``. All names belong to the split, so what is said about them can only have been read.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from ..arithmetic import arithmetic_problems, arithmetic_split, evaluate
from ..island import RELATIONS, Article, Island, IslandQuestion, make_island
from ..tool_calls import tool_tasks
from .conversation import NOT_KNOWN, Conversation, Turn, reply, user

__all__ = ["closed_book", "passages", "sums", "tools"]

#: What the system says when there are tools.
TOOLS = "Tools: calculator, python, search."
#: Largest number in a sum.
LARGEST = 20
#: Ways to go on with a result.
GO_ON = {
    "+": ("Now add {}.", "And {} more?", "Add {} to that."),
    "-": ("Now take {} away.", "And {} less?", "Take {} away from that."),
}
#: Conversations about one island before the next is made: making one takes some time.
OF_AN_ISLAND = 8


def sums(seed: int, split: str) -> Iterator[Conversation]:
    """Up to four sums, some of which go on with the result before."""
    rng = random.Random(f"sums {seed}")
    while True:
        count = rng.randint(1, 4)
        problems = arithmetic_problems(
            count, seed=rng.getrandbits(48), split=split, largest=LARGEST, operations="+-"
        )
        turns: list[Turn] = []
        for problem in problems:
            turns += [user(problem.question), reply(problem.answer, "arithmetic")]
            if rng.random() < 0.4:
                turns += _go_on(problem.value, rng, split)
        yield Conversation(kind="arithmetic", turns=tuple(turns))


def _go_on(value: int, rng: random.Random, split: str) -> list[Turn]:
    for _ in range(50):
        operation, number = rng.choice("+-"), rng.randint(1, 9)
        if (operation == "-" and number > value) or value > 2 * LARGEST:
            continue
        if arithmetic_split(value, operation, number) == split:
            result = evaluate(value, operation, number)
            question = rng.choice(GO_ON[operation]).format(number)
            return [user(question), reply(str(result), "arithmetic")]
    return []


def passages(seed: int, split: str, further: int = 0) -> Iterator[Conversation]:
    """Questions with one to three passages, in any order; a quarter cannot be answered."""
    rng = random.Random(f"passages {seed}")
    for island, asked in _islands(rng, split):
        for _ in range(OF_AN_ISLAND):
            turns: list[Turn] = []
            for _ in range(rng.choice((1, 1, 2))):
                question = rng.choice(asked)
                shown = _shown(island, question, rng)
                listed = "".join(f"[{i}] {text}\n" for i, (_, text) in enumerate(shown, start=1))
                turns += _asked(question, shown, given=listed)
            if further and len(turns) == 2:
                titles = {article.title for article, _ in shown}
                others = [one for one in asked if one.article in titles and one != question]
                for one in rng.sample(others, min(rng.randint(0, further), len(others))):
                    turns += _asked(one, shown)
            yield Conversation(kind="passages", turns=tuple(turns))


def _shown(
    island: Island, question: IslandQuestion, rng: random.Random
) -> list[tuple[Article, str]]:
    """Articles for a question, and what of each is to be read."""
    own = island.article(question.article)
    others = [article for article in island.articles if article is not own]
    alike = [article for article in others if article.kind == own.kind]
    shown = [rng.choice(alike if rng.random() < 0.6 else others) for _ in range(rng.randint(0, 2))]
    if not shown or rng.random() < 0.78:
        shown.insert(rng.randint(0, len(shown)), own)
    shown = list(dict.fromkeys(shown))
    return [(a, _excerpt(a, rng) if rng.random() < 0.2 else a.text) for a in shown]


def _asked(
    question: IslandQuestion, shown: list[tuple[Article, str]], *, given: str = ""
) -> list[Turn]:
    """A question about passages, and its answer with the number of the one that has it."""
    answer, measure = NOT_KNOWN, "passages unknown"
    for number, (article, text) in enumerate(shown, start=1):
        said = any(wording in text for wording in _wordings(question))
        if article.title == question.article and said:
            answer, measure = f"{question.answer} [{number}]", "passages"
    return [user(f"{given}Question: {question.question}"), reply(answer, measure)]


def _excerpt(article: Article, rng: random.Random) -> str:
    """The first sentences of an article."""
    sentences = re.findall(r"[^.]+\.", article.text)
    return "".join(sentences[: rng.randint(1, len(sentences))]).strip()


def _wordings(question: IslandQuestion) -> list[str]:
    """Sentences that say the fact that is asked for."""
    fact = question.fact
    said = RELATIONS[fact.kind][fact.relation][1]
    return [sentence.format(s=fact.subject, v=fact.value) for sentence in said]


def tools(seed: int, split: str) -> Iterator[Conversation]:
    """One or two tasks for which there are tools."""
    rng = random.Random(f"tools {seed}")
    while True:
        number = rng.getrandbits(48)
        island = make_island(seed=number, split=split)
        tasks = tool_tasks(6 * OF_AN_ISLAND, seed=number, split=split, island=island)
        drawn = list(tasks)
        rng.shuffle(drawn)
        while drawn:
            turns = [Turn(role="system", content=TOOLS)]
            for _ in range(min(len(drawn), rng.choice((1, 1, 2)))):
                task = drawn.pop()
                turns.append(user(task.question))
                for call in task.calls:
                    turns.append(reply(call.request, "tool call"))
                    turns.append(Turn(role="tool", content=call.result))
                turns.append(reply(task.answer, "tool answer"))
            yield Conversation(kind="tools", turns=tuple(turns))


def closed_book(seed: int, split: str) -> Iterator[Conversation]:
    """Questions about an island without anything to find the answer in."""
    rng = random.Random(f"closed book {seed}")
    for _, asked in _islands(rng, split):
        for _ in range(OF_AN_ISLAND):
            turns: list[Turn] = []
            for _ in range(rng.randint(1, 2)):
                turns += [user(rng.choice(asked).question), reply(NOT_KNOWN, "unknown")]
            yield Conversation(kind="closed book", turns=tuple(turns))


def _islands(rng: random.Random, split: str) -> Iterator[tuple[Island, list[IslandQuestion]]]:
    while True:
        island = make_island(seed=rng.getrandbits(48), split=split)
        yield island, island.questions()

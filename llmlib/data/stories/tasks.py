"""Tasks made from stories, each with an answer that a program can check.

A task belongs to the split of its story: generate the stories of one split, and make the tasks of
these. Questions come from the plot; instructions name facts of the record that the story must
then have.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .plots import plots
from .read import check_story, told_facts
from .record import Story, fill

__all__ = [
    "Instruction",
    "Question",
    "forgotten_facts",
    "instruction_errors",
    "instructions",
    "questions",
]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question about a story and its one exact answer."""

    kind: str  # who, what, where, colour, number or why
    question: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What somebody asks for, a story that does it, and what must be in every such story."""

    prompt: str
    response: str
    wanted: tuple[str, ...]  # values of the record


def questions(story: Story) -> list[Question]:
    """Return all questions about a story.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> found = questions(next(generate_stories(1, seed=1)))
    >>> {"who", "where", "why"} <= {question.kind for question in found}
    True
    >>> found[0].question, found[0].answer
    ('Who found the map?', 'Polly')
    """
    record = story.record
    plot = next(plot for plot in plots() if plot.name == record.plot)
    found = [
        Question(kind=kind, question=fill(question, record), answer=fill(answer, record))
        for kind, ending, question, answer in plot.questions
        if ending in (None, record.ending)
    ]
    for adjective, who in (("right", record.right), ("wrong", record.wrong)):
        asked = f"Who was {adjective}?"
        if who and asked not in {question.question for question in found}:
            found.append(Question(kind="who", question=asked, answer=who))
    return found


#: How an instruction speaks of a fact.
PHRASES = {
    "hero": "{}",
    "friend": "{}",
    "helper": "the {}",
    "animal": "a {}",
    "second_animal": "a {}",
    "pet": "a {}",
    "thing": "a {}",
    "second_thing": "a {}",
    "flower": "a {}",
    "food": "some {}",
    "crop": "some {}",
    "colour": "something {}",
    "place": "the {}",
    "second_place": "the {}",
}
#: Facts of which a story has another one of the same sort. A request that names one of them leaves
#: open which of the two it means, and does not say that the other must differ.
AMBIGUOUS = ("friend", "second_animal", "second_thing", "second_place")
PROMPTS = ("Write a story with {}.", "Tell me a story about {}.")


def instructions(story: Story, most: int = 3, *, ambiguous: bool = True) -> list[Instruction]:
    """Return instructions that a story follows, naming one, two, and up to ``most`` of its facts.

    Which facts and words are drawn depends on the text of the story alone. Unless ``ambiguous``, no
    fact is named of which a story has two of a sort, as the friend besides the hero; there are
    fewer instructions then where a story has fewer other facts.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> story = next(generate_stories(1, seed=1))
    >>> task = instructions(story)[1]
    >>> task.prompt, task.wanted
    ('Write a story with the river and Polly.', ('river', 'Polly'))
    """
    rng = random.Random(story.text)
    facts = {
        name: value
        for name, value in story.record.facts.items()
        if name in PHRASES and (ambiguous or name not in AMBIGUOUS)
    }
    found = []
    for size in range(1, min(most, len(facts)) + 1):
        chosen = rng.sample(sorted(facts), size)
        phrases = []
        for name in chosen:
            phrase = PHRASES[name].format(facts[name])
            phrases.append("an" + phrase[1:] if phrase[:3] in ("a o", "a a", "a e") else phrase)
        first, last = ", ".join(phrases[:-1]), phrases[-1]
        found.append(
            Instruction(
                prompt=rng.choice(PROMPTS).format(" and ".join(filter(None, (first, last)))),
                response=story.text,
                wanted=tuple(facts[name] for name in chosen),
            )
        )
    return found


def instruction_errors(instruction: Instruction, text: str) -> list[str]:
    """List where an answer is not a story of the world, or lacks what was asked for.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> one, other = generate_stories(2, seed=1)
    >>> instruction_errors(instructions(one)[2], one.text)
    []
    >>> instruction_errors(instructions(one)[2], other.text)
    ["no 'river' in the story", "no 'mill' in the story", "no 'Polly' in the story"]
    """
    if errors := check_story(text):
        return errors
    return [f"no {value!r} in the story" for value in forgotten_facts(instruction.wanted, text)]


def forgotten_facts(wanted: Sequence[str], text: str) -> list[str]:
    """Return the values asked for that a telling lacks: all of them where the text is no telling.

    A telling may contradict itself, or call two people by one name. Then it is a bad story, but
    what was asked for is there: :func:`check_story` sees the one, this the other.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> story = next(generate_stories(1, seed=1))
    >>> forgotten_facts(("Polly", "river", "Vera"), story.text)
    ['Vera']
    """
    told = set(told_facts(text).values())
    return [value for value in wanted if value not in told]

r"""Which of two stories is better: a taste that a program can read off, and pairs judged by it.

The utility of a story :math:`y` for an instruction :math:`x` is a number of points,

.. math::

   u(x, y) = a \cdot \bigl(2 + \min(s, 8) + 2c - 0.05 \max(0, w - 80)\bigr)

==================  ===========  ============================================================
code                symbol       what it is
==================  ===========  ============================================================
``share``           :math:`a`    share of the asked facts that are in the story; 0 for a text
                                 that is no story of the world
``speeches``        :math:`s`    pieces of direct speech
``cheerful_end``    :math:`c`    1 if a cheerful word is among the last twenty words, else 0
``words``           :math:`w`    words
==================  ===========  ============================================================

So a good story does what was asked, lets its people talk, ends cheerfully and is not long. Two
texts are compared with the noise of Bradley and Terry: the first is preferred with the probability
:math:`\sigma(u_1 - u_2)`, and pairs closer than :data:`SMALLEST_GAP` points are not compared.

References
----------
1. Bradley and Terry, *Rank Analysis of Incomplete Block Designs: I. The Method of Paired
   Comparisons*, Biometrika 39, 1952.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .spoiling import spoil
from .stories import (
    Instruction,
    Story,
    StoryRecord,
    check_story,
    generate_stories,
    instructions,
    read_story,
    split_of,
    tell,
)
from .stories.notation import Plot
from .stories.plots import plots
from .stories.vocabulary import fillers

__all__ = [
    "PAIR_KINDS",
    "SMALLEST_GAP",
    "PreferencePair",
    "StoryMerits",
    "compare_answers",
    "flawed_utility",
    "merits",
    "preference_pairs",
    "stories_following",
    "utility",
]

#: Kind of pair -> its share of those drawn.
PAIR_KINDS = {"both follow": 0.6, "one forgets": 0.15, "one is spoiled": 0.25}
#: Points between two texts that are shown to be compared, at least.
SMALLEST_GAP = 1.5
CHEERFUL = re.compile(
    r"\b(smiled?|laugh|laughed|happy|glad|pleased|cheerful|danced|sang|friends|proud|loved|liked"
    r"|kiss)\b"
)
MOST_SPEECHES, FREE_WORDS, WORD_COST, END_WORDS = 8, 80, 0.05, 20


@dataclass(frozen=True, kw_only=True)
class StoryMerits:
    """What the utility of a text is made of."""

    share: float  # of the asked facts that are in the story; 0 if the text is no story
    speeches: int
    cheerful_end: bool
    words: int

    @property
    def points(self) -> float:
        """The utility."""
        length = WORD_COST * max(0, self.words - FREE_WORDS)
        told = 2 + min(self.speeches, MOST_SPEECHES) + 2 * self.cheerful_end - length
        return self.share * max(0.0, told)


def merits(instruction: Instruction, text: str) -> StoryMerits:
    """What is good and bad in an answer.

    Examples
    --------
    >>> story = next(generate_stories(1, seed=1))
    >>> merits(instructions(story)[0], story.text)
    StoryMerits(share=1.0, speeches=4, cheerful_end=False, words=100)
    """
    if check_story(text):
        return _merits(0.0, text)
    return _merits(_share(instruction, read_story(text.strip()).record), text)


def utility(instruction: Instruction, text: str) -> float:
    """Points of an answer: 0 if it is no story or holds nothing of what was asked.

    Parameters
    ----------
    instruction : Instruction
        What was asked.
    text : str
        The answer.

    Returns
    -------
    float
        At most 12.

    Examples
    --------
    >>> story = next(generate_stories(1, seed=1))
    >>> task = instructions(story)[0]
    >>> round(utility(task, story.text), 2), utility(task, story.text + " The end.")
    (5.0, 0.0)
    """
    return merits(instruction, text).points


def flawed_utility(instruction: Instruction, text: str) -> float:
    """A reward that somebody might write instead: people shall talk, so count quotation marks.

    On stories it goes with the utility; nothing keeps it from being raised by other texts.

    Examples
    --------
    >>> story = next(generate_stories(1, seed=1))
    >>> flawed_utility(instructions(story)[0], story.text)
    4.0
    >>> flawed_utility(instructions(story)[0], '"' * 100)
    50.0
    """
    return text.count('"') / 2


@dataclass(frozen=True, kw_only=True)
class PreferencePair:
    """Two answers to one instruction, and which of them somebody liked better.

    Parameters
    ----------
    instruction : Instruction
        What was asked.
    chosen, rejected : str
        The answer that was preferred, and the other.
    utilities : tuple of float
        Points of both, which no model gets to see.
    kind : str
        One of :data:`PAIR_KINDS`, or where else the answers come from.
    """

    instruction: Instruction
    chosen: str
    rejected: str
    utilities: tuple[float, float]
    kind: str

    @property
    def flipped(self) -> bool:
        """Whether the worse answer was preferred."""
        return self.utilities[0] < self.utilities[1]


def preference_pairs(
    count: int | None, *, seed: int = 0, split: str = "train", sharpness: float = 1.0
) -> Iterator[PreferencePair]:
    """Draw pairs of different answers, compared with noise.

    About one comparison in twenty is decided for the worse answer. The same seed gives the same
    pairs; all stories belong to the split.

    Parameters
    ----------
    count : int or None
        How many; None for an endless stream.
    seed : int
        Of everything drawn.
    split : str
        ``"train"``, ``"validation"`` or ``"test"``.
    sharpness : float
        Factor of the difference in points; ``math.inf`` for a judge without noise.

    Yields
    ------
    PreferencePair

    Examples
    --------
    >>> pair = next(preference_pairs(1, seed=0))
    >>> pair.instruction.prompt, pair.chosen == pair.rejected
    ('Tell me a story about a bucket, Rob and Rosa.', False)
    """
    if not sharpness > 0:
        raise ValueError(f"sharpness={sharpness}: it must be positive; math.inf for no noise")
    return itertools.islice(_stream(seed, split, sharpness), count)


def _stream(seed: int, split: str, sharpness: float) -> Iterator[PreferencePair]:
    rng = random.Random(f"preferences {seed}")
    for story in generate_stories(None, seed=seed, split=split):
        instruction = rng.choice(instructions(story))
        kind = rng.choices(list(PAIR_KINDS), list(PAIR_KINDS.values()))[0]
        answers = stories_following(instruction, rng, split)
        first = next(answers)
        one = (first.text, _merits(1.0, first.text).points)
        if kind == "one is spoiled":
            text = spoil(next(answers), rng)
            other = (text, 0.0)
        else:
            asked = instruction
            if kind == "one forgets":
                asked = _forgetting(instruction, rng)
            second = next(stories_following(asked, rng, split))
            share = _share(instruction, second.record)
            other = (second.text, _merits(share, second.text).points)
        pair = compare_answers(instruction, one, other, rng, kind=kind, sharpness=sharpness)
        if pair is not None:
            yield pair


def compare_answers(
    instruction: Instruction,
    one: tuple[str, float],
    other: tuple[str, float],
    rng: random.Random,
    *,
    kind: str,
    sharpness: float = 1.0,
) -> PreferencePair | None:
    """Let the judge choose between two answers.

    Parameters
    ----------
    instruction : Instruction
        What was asked.
    one, other : tuple of str and float
        Texts and their points.
    rng : random.Random
        Of the judge's noise.
    kind : str
        What the pair is to be called.
    sharpness : float
        As for :func:`preference_pairs`.

    Returns
    -------
    PreferencePair or None
        None where they are closer than :data:`SMALLEST_GAP` points.

    Examples
    --------
    >>> task = instructions(next(generate_stories(1, seed=1)))[0]
    >>> pair = compare_answers(task, ("dull", 1.0), ("good", 9.0), random.Random(0), kind="mine")
    >>> pair.chosen, pair.utilities
    ('good', (9.0, 1.0))
    >>> compare_answers(task, ("dull", 1.0), ("dry", 2.0), random.Random(0), kind="mine") is None
    True
    """
    gap = one[1] - other[1]
    if abs(gap) < SMALLEST_GAP:
        return None
    if rng.random() >= _sigmoid(sharpness * gap):
        one, other = other, one
    return PreferencePair(
        instruction=instruction,
        chosen=one[0],
        rejected=other[0],
        utilities=(one[1], other[1]),
        kind=kind,
    )


def stories_following(
    instruction: Instruction, rng: random.Random, split: str = "train"
) -> Iterator[Story]:
    """Draw stories that an instruction asks for, without end: any plot that can hold its facts.

    Parameters
    ----------
    instruction : Instruction
        What is asked; of a story of the same split.
    rng : random.Random
        Of everything drawn.
    split : str
        To which the stories belong.

    Examples
    --------
    >>> task = instructions(next(generate_stories(1, seed=1)))[1]
    >>> others = stories_following(task, random.Random(0))
    >>> [story.record.plot for story in itertools.islice(others, 2)]
    ['the wrong door', 'the wish']
    """
    hosts = [(plot, places) for plot in plots() if (places := _places(plot, instruction.wanted))]
    while True:
        plot, places = rng.choice(hosts)
        record = _record(plot, rng.choice(places), rng, split)
        if record is None:  # hardly ever: the story behind the instruction is always there
            record = read_story(instruction.response.strip()).record
        yield tell(record, seed=rng.getrandbits(48))


def _places(plot: Plot, wanted: tuple[str, ...]) -> list[dict[str, str]]:
    """Each way in which facts of a plot can have the wanted values."""
    options = [[n for n, kind in plot.slots.items() if value in fillers(kind)] for value in wanted]
    return [
        dict(zip(names, wanted, strict=True))
        for names in itertools.product(*options)
        if len(set(names)) == len(names)
    ]


def _record(
    plot: Plot, held: dict[str, str], rng: random.Random, split: str, tries: int = 200
) -> StoryRecord | None:
    """A record of a plot with the facts held, in the split; None if none was found."""
    for _ in range(tries):
        facts = dict(held)
        for name, kind in plot.slots.items():
            if name not in facts:
                taken = {v for other, v in facts.items() if plot.slots[other] == kind}
                facts[name] = rng.choice([word for word in fillers(kind) if word not in taken])
        weights = [ending.weight for ending in plot.endings.values()]
        ending = rng.choices(list(plot.endings), weights)[0]
        record = StoryRecord(plot=plot.name, ending=ending, **facts)
        if split_of(record) == split:
            return record
    return None


def _forgetting(instruction: Instruction, rng: random.Random) -> Instruction:
    """The same instruction with one fact left out, as somebody might remember it."""
    kept = list(instruction.wanted)
    kept.remove(rng.choice(kept))
    return Instruction(prompt=instruction.prompt, response=instruction.response, wanted=tuple(kept))


def _share(instruction: Instruction, record: StoryRecord) -> float:
    has = set(record.facts.values())
    return sum(value in has for value in instruction.wanted) / len(instruction.wanted)


def _merits(share: float, text: str) -> StoryMerits:
    words = text.split()
    return StoryMerits(
        share=share,
        speeches=text.count('"') // 2,
        cheerful_end=bool(CHEERFUL.search(" ".join(words[-END_WORDS:]).lower())),
        words=len(words),
    )


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, value))))

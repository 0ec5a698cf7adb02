"""Draw stories: a record, then a wording, each choice from a distribution that is known.

The information in a story is the sum over its choices,

.. math:: \\mathrm{bits} = -\\log_2 p(\\text{plot}) - \\log_2 p(\\text{ending})
          - \\sum_{\\text{facts}} \\log_2 p(\\text{filler})
          - \\sum_{\\text{beats}} \\bigl(\\log_2 p(\\text{line})
          + \\log_2 p(\\text{options})\\bigr),

and because no two series of choices give the same text (:mod:`llmlib.data.stories.ambiguity` shows
it for the grammar, ``read_story`` for each text) it is also the information
in the text. Its mean per character is the floor under the loss of every model of these texts.

The probability is that of the whole world. A split holds a fixed part of it: within the split the
information is less by minus log2 of that part, 0.19 bits per story for training.

Speed: lines are written out beforehand as ``%`` templates, a choice and the text up to the next
choice as one piece, so that a choice costs one random number and one look-up, and a story one
formatting.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from .notation import Choice, Line, Plot, Slot, expansions
from .plots import plots
from .record import FACTS, SPLITS, Story, StoryRecord, split_of_facts
from .vocabulary import LANGUAGES, fillers

__all__ = ["JOINER", "fact_bits", "generate_stories", "tell"]

#: What stands between two beats.
JOINER = {"en": " ", "zh": ""}


@dataclass(frozen=True, kw_only=True)
class Telling:
    """One plot in one language, ready for drawing."""

    plot: Plot
    names: list[str]  # facts in the order of FACTS
    words: list[list[str]]  # fact -> its fillers
    earlier: list[list[int]]  # fact -> facts of the same kind before it, whose fillers are taken
    strings: list[list[dict[str, str]]]  # fact -> filler -> what it puts into a template
    ends: list[tuple[str, float, list]]  # ending, bits of plot, facts and ending, beats
    weights: list[int]


def fact_bits(plot: Plot) -> float:
    """Return the information in drawing a plot and its facts; every record of it has the same."""
    total = math.log2(len(plots()))
    kinds = [plot.slots[name] for name in FACTS if name in plot.slots]
    for i, kind in enumerate(kinds):
        total += math.log2(len(fillers(kind)) - kinds[:i].count(kind))
    return total


@functools.cache
def tellings(language: str) -> tuple[Telling, ...]:
    """Return all plots in one language, ready for drawing."""
    return tuple(_telling(plot, language) for plot in plots())


def _telling(plot: Plot, language: str) -> Telling:
    """Write the lines of a plot out as templates."""
    names = [name for name in FACTS if name in plot.slots]
    kinds = [plot.slots[name] for name in names]
    used: dict[str, set[str]] = {name: set() for name in names}
    ends = []
    for ending in plot.endings.values():
        beats = []
        for beat in plot.path(language, ending.name):
            lines = [_segments(line, used) for line in beat]
            beats.append((lines, len(lines), math.log2(len(lines))))
        ends.append((ending.name, fact_bits(plot) + plot.ending_bits(ending.name), beats))
    strings = []
    for name, kind in zip(names, kinds, strict=True):
        keys = {form: Slot(name, form).key for form in used[name]}
        made = fillers(kind).values()
        strings.append([{keys[form]: one[language][form] for form in keys} for one in made])
    return Telling(
        plot=plot,
        names=names,
        words=[list(fillers(kind)) for kind in kinds],
        earlier=[[j for j in range(i) if kinds[j] == kinds[i]] for i in range(len(kinds))],
        strings=strings,
        ends=ends,
        weights=list(itertools.accumulate(e.weight for e in plot.endings.values())),
    )


def _segments(line: Line, used: dict[str, set[str]]) -> list[tuple[list, int]]:
    """Cut a line into pieces with one choice each: (template, bits) of all options, their number.

    What is three times as likely stands there three times.
    """
    segments: list[tuple[list, int]] = []
    start = 0
    for i, piece in enumerate(line):
        if isinstance(piece, Choice) or i == len(line) - 1:
            ways = list(expansions(line[start : i + 1]))
            size = math.lcm(*(probability.denominator for _, probability in ways))
            options = []
            for pieces, probability in ways:
                entry = (_template(pieces, used), -math.log2(probability))
                options += [entry] * int(probability * size)
            segments.append((options, len(options)))
            start = i + 1
    return segments


def _template(pieces: tuple[str | Slot, ...], used: dict[str, set[str]]) -> str:
    """Write pieces as a % template and note the forms that they use."""
    written = []
    for piece in pieces:
        if isinstance(piece, Slot):
            used[piece.name].add(piece.form)
            piece = f"%({piece.key})s"
        written.append(piece)
    return "".join(written)


def generate_stories(
    count: int | None, *, seed: int = 0, split: str = "train", language: str = "en"
) -> Iterator[Story]:
    """Draw stories of one split.

    The same seed gives the same records, in the same order, in both languages. Stories of
    different splits never share a record, whatever their seeds.

    Parameters
    ----------
    count : int or None
        How many; None for an endless stream.
    seed : int
        Of the records and of the wording.
    split : str
        ``"train"``, ``"validation"`` or ``"test"``.
    language : str
        ``"en"`` or ``"zh"``.

    Yields
    ------
    Story

    Raises
    ------
    ValueError
        For a negative count, or a split or language that does not exist.

    Examples
    --------
    >>> english, chinese = (next(generate_stories(1, seed=3, language=x)) for x in ("en", "zh"))
    >>> english.record == chinese.record
    True
    >>> len(english.text.split()) > 40
    True
    """
    if count is not None and count < 0:
        raise ValueError(f"count {count} must be 0 or more, or None")
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is not one of {SPLITS}")
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r} is not one of {LANGUAGES}")
    return itertools.islice(_stream(seed, split, language), count)


def _stream(seed: int, split: str, language: str) -> Iterator[Story]:
    """Draw without end; written for speed, one local name for everything."""
    told = tellings(language)
    joiner, several = JOINER[language], len(told)
    draw = random.Random(f"records {seed}").random
    word = random.Random(f"{language} wording {seed}").random
    while True:
        telling = told[int(draw() * several)]
        picks: list[int] = []
        for words, earlier in zip(telling.words, telling.earlier, strict=True):
            pick = int(draw() * len(words))
            while earlier and any(picks[i] == pick for i in earlier):
                pick = int(draw() * len(words))
            picks.append(pick)
        at = draw() * telling.weights[-1]
        end = 0
        while at >= telling.weights[end]:
            end += 1
        facts = [words[pick] for words, pick in zip(telling.words, picks, strict=True)]
        if split_of_facts(telling.plot.name, facts) != split:
            continue
        values: dict[str, str] = {}
        for strings, pick in zip(telling.strings, picks, strict=True):
            values.update(strings[pick])
        ending, bits, beats = telling.ends[end]
        parts = []
        for lines, size, cost in beats:
            bits += cost
            for options, several_options in lines[int(word() * size)]:
                template, cost = options[int(word() * several_options)]
                parts.append(template)
                bits += cost
            parts.append(joiner)
        parts.pop()
        record = StoryRecord(
            plot=telling.plot.name, ending=ending, **dict(zip(telling.names, facts, strict=True))
        )
        yield Story("".join(parts) % values, record, bits)


def tell(record: StoryRecord, *, seed: int = 0, language: str = "en") -> Story:
    """Draw a wording for a record.

    Parameters
    ----------
    record : StoryRecord
        What is to be true in the story.
    seed : int
        Of the wording.
    language : str
        ``"en"`` or ``"zh"``.

    Raises
    ------
    ValueError
        The record is not one of the world: a fact is missing, or a word is not of its kind.

    Examples
    --------
    >>> first = next(generate_stories(1, seed=1))
    >>> again = tell(first.record, seed=5)
    >>> again.record == first.record, again.text == first.text
    (True, False)
    """
    telling = next((one for one in tellings(language) if one.plot.name == record.plot), None)
    if telling is None or record.ending not in telling.plot.endings:
        raise ValueError(f"there is no plot {record.plot!r} with an ending {record.ending!r}")
    if list(record.facts) != telling.names:
        raise ValueError(f"{record.plot!r} has the facts {telling.names}, not {[*record.facts]}")
    values: dict[str, str] = {}
    for name, words, strings in zip(telling.names, telling.words, telling.strings, strict=True):
        if record.facts[name] not in words:
            raise ValueError(f"{record.facts[name]!r} is no {name}: choose one of {words}")
        values.update(strings[words.index(record.facts[name])])
    rng = random.Random(f"{language} telling {seed}")
    _, bits, beats = next(end for end in telling.ends if end[0] == record.ending)
    parts = []
    for lines, _, cost in beats:
        drawn = [rng.choice(options) for options, _ in rng.choice(lines)]
        parts.append("".join(template for template, _ in drawn))
        bits += cost + sum(more for _, more in drawn)
    return Story(JOINER[language].join(parts) % values, record, bits)

"""Read a story back: its record, its information, and what is wrong with it.

The reader follows the grammar through a text and finds every series of choices that gives it. It
reads with an open mind first: each mention of a slot may be any filler of its kind. What the
mentions of one slot say is then compared, and so a model that writes *the blue kite* about a kite
that was red is told so, where a stricter reader could only say that the text is not a story.

A text is a story when some series of choices gives it with all mentions agreeing; its information
is minus log2 of the sum of the probabilities of all such series (there is only one, see
:mod:`llmlib.data.stories.ambiguity`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .generate import JOINER, fact_bits
from .notation import Choice, Line, Plot, Slot
from .plots import plots
from .record import FACTS, Story, StoryRecord
from .vocabulary import LANGUAGES, forms

__all__ = ["check_story", "continuation_errors", "log_probability", "read_story", "told_facts"]

#: How errors name the facts.
ASPECTS = {
    "who": ("hero", "friend", "kin", "helper", "animal", "second_animal", "pet"),
    "what": ("thing", "second_thing", "tool", "flower", "food", "crop"),
    "colour": ("colour", "second_colour"),
    "where": ("place", "second_place", "spot", "nook"),
    "how many": ("number", "second_number"),
}


@dataclass(frozen=True)
class Mention:
    """One place in a text where a slot is filled."""

    slot: Slot
    text: str
    start: int
    fillers: tuple[str, ...]  # what the string may stand for


@dataclass(frozen=True)
class Reading:
    """One way through the grammar that gives a text, or its beginning."""

    plot: Plot
    ending: str
    mentions: tuple[Mention, ...]
    probability: float  # of the lines and options alone

    @property
    def facts(self) -> dict[str, str]:
        """What each slot is called at its first mention that leaves no doubt."""
        found: dict[str, str] = {}
        for mention in self.mentions:
            if len(mention.fillers) == 1:
                found.setdefault(mention.slot.name, mention.fillers[0])
        return found

    @property
    def record(self) -> StoryRecord:
        return StoryRecord(plot=self.plot.name, ending=self.ending, **self.facts)

    @property
    def bits(self) -> float:
        drawn = fact_bits(self.plot) + self.plot.ending_bits(self.ending)
        return drawn - math.log2(self.probability)

    def errors(self) -> list[str]:
        """Say which mentions contradict the first one, and which facts should differ."""
        found = []
        facts = self.facts
        for mention in self.mentions:
            name = mention.slot.name
            if name in facts and facts[name] not in mention.fillers:
                found.append(
                    f"{aspect(name)}: the {name.replace('_', ' ')} was {facts[name]!r}, "
                    f"and is {mention.text!r} at character {mention.start}"
                )
        names = [name for name in FACTS if name in facts]
        for i, name in enumerate(names):
            for other in names[:i]:
                same_kind = self.plot.slots[name] == self.plot.slots[other]
                if same_kind and facts[name] == facts[other]:
                    found.append(
                        f"{aspect(name)}: the {other.replace('_', ' ')} and the "
                        f"{name.replace('_', ' ')} are both {facts[name]!r}"
                    )
        return found


class _Reader:
    """All readings of a text; what was expected where reading went furthest."""

    def __init__(self, text: str, language: str):
        if language not in LANGUAGES:
            raise ValueError(f"language {language!r} is not one of {LANGUAGES}")
        self.text = text
        self.language = language
        self.whole: list[Reading] = []  # the text is a telling
        self.begun: list[Reading] = []  # the text is the beginning of one
        self.furthest = 0
        self.expected: dict[str, None] = {}  # pieces that would have fitted there, in order
        for plot in plots():
            for ending in plot.endings:
                self._read(plot, ending)

    def _read(self, plot: Plot, ending: str) -> None:
        states = [(0, (), 1.0)]
        for i, beat in enumerate(plot.path(self.language, ending)):
            lines = [(JOINER[self.language], *line) if i else line for line in beat]
            reached = []
            for position, mentions, probability in states:
                at = probability / len(beat)
                for line in lines:
                    found = self._match(plot, line, 0, position, mentions, at)
                    for state in found:
                        if state[0] < 0:
                            self.begun.append(Reading(plot, ending, *state[1:]))
                        else:
                            reached.append(state)
            states = reached
            if not states:
                return
        for position, mentions, probability in states:
            if position == len(self.text):
                self.whole.append(Reading(plot, ending, mentions, probability))
            else:
                self._expect(position, "the end of the story")

    def _match(
        self, plot: Plot, line: Line, k: int, position: int, mentions: tuple, probability: float
    ) -> Iterator[tuple[int, tuple, float]]:
        """Give the states after a line from piece ``k`` on; position -1 where the text ends."""
        if k == len(line):
            yield position, mentions, probability
            return
        piece = line[k]
        if isinstance(piece, Choice):
            for option, own in piece.options:
                for state in self._match(plot, option, 0, position, mentions, probability * own):
                    if state[0] < 0:
                        yield state
                    else:
                        yield from self._match(plot, line, k + 1, *state)
            return
        if isinstance(piece, str):
            strings: dict[str, tuple[str, ...]] = {piece: ()}
        else:
            strings = forms(plot.slots[piece.name], piece.form, self.language)
        fitted = False
        for string, fillers in strings.items():
            if self.text.startswith(string, position):
                fitted = True
                after = mentions
                if isinstance(piece, Slot):
                    after = (*mentions, Mention(piece, string, position, fillers))
                yield from self._match(
                    plot, line, k + 1, position + len(string), after, probability
                )
            elif string.startswith(self.text[position:]) and position <= len(self.text):
                yield -1, mentions, probability
        if not fitted:
            self._expect(position, piece if isinstance(piece, str) else f"a {piece.name}")

    def _expect(self, position: int, what: str) -> None:
        if position > self.furthest:
            self.furthest, self.expected = position, {}
        if position == self.furthest:
            self.expected[what] = None

    def best(self, *, complete: bool) -> Reading | None:
        """Return the reading with the fewest contradictions, then the likeliest."""
        found = self.whole or ([] if complete else self.begun)
        if not found:
            return None
        return min(found, key=lambda reading: (len(reading.errors()), -reading.probability))

    def failure(self) -> str:
        """Say where the text leaves the world."""
        expected = ", ".join(repr(what.strip()) for what in list(self.expected)[:3])
        before = self.text[max(0, self.furthest - 30) : self.furthest]
        if self.begun:
            return f"the story stops before its ending: {expected} could follow after {before!r}"
        here = self.text[self.furthest : self.furthest + 30]
        return (
            f"not a story of this world: at character {self.furthest}, after {before!r}, "
            f"{expected} could follow, not {here!r}"
        )


def aspect(fact: str) -> str:
    """Return the question word that a fact answers.

    Examples
    --------
    >>> aspect("friend"), aspect("second_colour"), aspect("nook")
    ('who', 'colour', 'where')
    """
    return next(name for name, facts in ASPECTS.items() if fact in facts)


def read_story(text: str, *, language: str = "en") -> Story:
    """Recover the record and the information of a story from its text alone.

    Raises
    ------
    ValueError
        When the text is not a story of the world; the message says why.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> story = next(generate_stories(1, seed=1))
    >>> again = read_story(story.text)
    >>> again.record == story.record, abs(again.bits - story.bits) < 1e-9
    (True, True)
    """
    reader = _Reader(text, language)
    best = reader.best(complete=True)
    if best is None:
        raise ValueError(reader.failure())
    if errors := best.errors():
        raise ValueError("; ".join(errors))
    total = sum(2.0**-r.bits for r in reader.whole if not r.errors())
    return Story(text, best.record, -math.log2(total))


def told_facts(text: str, *, language: str = "en") -> dict[str, str]:
    """Return what a telling says of each fact at first mention, contradicted later or not.

    Empty for a text that follows no plot to its end.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> story = next(generate_stories(1, seed=1))
    >>> told_facts(story.text) == story.record.facts
    True
    >>> told_facts(story.text[:-30])
    {}
    """
    best = _Reader(text.strip(), language).best(complete=True)
    return {} if best is None else best.facts


def log_probability(text: str, *, language: str = "en") -> float:
    """Return log2 of the probability that the generator gives to a text; minus infinity if none.

    Examples
    --------
    >>> log_probability("Once upon a time.")
    -inf
    """
    reader = _Reader(text, language)
    total = sum(2.0**-reading.bits for reading in reader.whole if not reading.errors())
    return math.log2(total) if total else -math.inf


def check_story(text: str, *, language: str = "en", complete: bool = True) -> list[str]:
    """List what is wrong with a story: contradictions, or where it leaves the world.

    Parameters
    ----------
    text : str
        A whole story; spaces around it do not count.
    complete : bool
        False for a text that may stop anywhere, even inside a word.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> story = next(generate_stories(1, seed=1))
    >>> check_story(story.text)
    []
    >>> check_story(story.text[:200])[0][:33]
    'the story stops before its ending'
    >>> check_story(story.text[:200], complete=False)
    []
    """
    text = text.strip() if complete else text.lstrip()
    reader = _Reader(text, language)
    best = reader.best(complete=complete)
    return [reader.failure()] if best is None else best.errors()


def continuation_errors(
    prompt: str | Story | StoryRecord, text: str, *, language: str = "en", complete: bool = True
) -> list[str]:
    """List where a text that a model wrote contradicts its prompt, itself, or the world.

    Parameters
    ----------
    prompt : str, Story or StoryRecord
        The beginning that the model was given; or a record (or a story, for its record), every
        fact of which the text has to keep.
    text : str
        What the model wrote, with the prompt or, if the prompt is a string, without it.
    complete : bool
        False for a text that may stop anywhere.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> story = next(generate_stories(1, seed=1))
    >>> continuation_errors(story.text[:100], story.text[100:])
    []
    >>> other = story.text.replace(story.record.hero, "Zorro")
    >>> len(continuation_errors(story, other))
    1
    """
    if isinstance(prompt, str):
        whole = text if text.startswith(prompt) else prompt + text
        return check_story(whole, language=language, complete=complete)
    record = prompt.record if isinstance(prompt, Story) else prompt
    text = text.strip() if complete else text.lstrip()
    reader = _Reader(text, language)
    best = reader.best(complete=complete)
    if best is None:
        return [reader.failure()]
    errors = best.errors()
    if best.plot.name != record.plot:
        return [*errors, f"plot: {best.plot.name!r} in place of {record.plot!r}"]
    if complete and best.ending != record.ending:
        errors.append(f"ending: {best.ending!r} in place of {record.ending!r}")
    for name, value in best.facts.items():
        if record.facts[name] != value:
            errors.append(
                f"{aspect(name)}: the {name.replace('_', ' ')} should be "
                f"{record.facts[name]!r} and is {value!r}"
            )
    return errors

"""What is true in a story: its record, and the split that follows from the record alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields

from .notation import Ending, Slot, parse_line
from .plots import plots
from .vocabulary import fillers

__all__ = ["FACTS", "SPLITS", "Story", "StoryRecord", "fill", "split_of"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoryRecord:
    """The facts behind a story; a fact that its plot does not have is None.

    All values are the English words, also behind a Chinese story.

    Examples
    --------
    >>> record = StoryRecord(
    ...     plot="the race", ending="slow", animal="fox", second_animal="owl", food="jam",
    ...     place="mill", second_place="well",
    ... )
    >>> record.who, record.what, record.where, record.colours
    (('fox', 'owl'), ('jam',), ('mill', 'well'), ())
    >>> record.happened
    'The owl won the race because the fox stopped.'
    """

    plot: str  # which schema
    ending: str  # which of its endings
    hero: str | None = None
    friend: str | None = None
    kin: str | None = None
    helper: str | None = None
    animal: str | None = None
    second_animal: str | None = None
    pet: str | None = None
    thing: str | None = None
    second_thing: str | None = None
    tool: str | None = None
    flower: str | None = None
    food: str | None = None
    crop: str | None = None
    colour: str | None = None
    second_colour: str | None = None
    number: str | None = None
    second_number: str | None = None
    place: str | None = None
    second_place: str | None = None
    spot: str | None = None
    nook: str | None = None

    @property
    def facts(self) -> dict[str, str]:
        """The facts that the plot has, by name."""
        return {name: value for name in FACTS if (value := getattr(self, name)) is not None}

    def _some(self, *names: str) -> tuple[str, ...]:
        return tuple(value for name in names if (value := getattr(self, name)) is not None)

    @property
    def who(self) -> tuple[str, ...]:
        """Everybody in the story, the animals too."""
        return self._some("hero", "friend", "kin", "helper", "animal", "second_animal", "pet")

    @property
    def what(self) -> tuple[str, ...]:
        """The things of the story."""
        return self._some("thing", "second_thing", "tool", "flower", "food", "crop")

    @property
    def where(self) -> tuple[str, ...]:
        """The places of the story."""
        return self._some("place", "second_place", "spot", "nook")

    @property
    def colours(self) -> tuple[str, ...]:
        """The colours of the story."""
        return self._some("colour", "second_colour")

    @property
    def happened(self) -> str:
        """What happened, in one English sentence."""
        sentence = fill(self._ending.happened, self)
        return sentence[0].upper() + sentence[1:]

    @property
    def right(self) -> str | None:
        """Who was right, where somebody was."""
        return None if self._ending.right is None else named(self._ending.right, self)

    @property
    def wrong(self) -> str | None:
        """Who was wrong or did wrong, where somebody did."""
        return None if self._ending.wrong is None else named(self._ending.wrong, self)

    @property
    def _ending(self) -> Ending:
        return next(p for p in plots() if p.name == self.plot).endings[self.ending]


def named(fact: str, record: StoryRecord) -> str:
    """Return how a story speaks of somebody.

    Examples
    --------
    >>> record = StoryRecord(plot="the race", ending="slow", hero="Tom", kin="aunt", animal="fox")
    >>> [named(fact, record) for fact in ("hero", "kin", "animal")]
    ['Tom', "Tom's aunt", 'the fox']
    """
    value = getattr(record, fact)
    if fact in ("hero", "friend"):
        return value
    return f"{record.hero}'s {value}" if fact == "kin" else f"the {value}"


def fill(template: str, record: StoryRecord) -> str:
    """Write the facts of a record into an English template.

    Examples
    --------
    >>> fill("{hero} lost {hero.her} cap.", StoryRecord(plot="the lost thing", ending="home",
    ...      hero="Tom"))
    'Tom lost his cap.'
    """
    kinds = next(p for p in plots() if p.name == record.plot).slots
    written = []
    for piece in parse_line(template, {}):
        if isinstance(piece, Slot):
            piece = fillers(kinds[piece.name])[getattr(record, piece.name)]["en"][piece.form]
        written.append(piece)
    return "".join(written)


#: Names of the facts of a record, in the order in which they are drawn and hashed.
FACTS = tuple(field.name for field in fields(StoryRecord))[2:]


@dataclass(frozen=True, slots=True)
class Story:
    """A text, the record behind it, and the information in all choices that made it."""

    text: str
    record: StoryRecord
    bits: float  # minus log2 of the probability that the generator gives to the text


def split_of(record: StoryRecord) -> str:
    """Return the part of the world that a record belongs to.

    One record in sixteen is for validation and one for testing. The ending is not looked at: the
    same people, things and places never stand in two splits, whatever happens to them.

    Examples
    --------
    >>> split_of(StoryRecord(plot="the race", ending="slow", animal="fox", place="mill"))
    'train'
    """
    return split_of_facts(record.plot, record.facts.values())


def split_of_facts(plot: str, facts: Iterable[str]) -> str:
    """Return the split of a plot and its facts in the order of :data:`FACTS`."""
    key = "/".join((plot, *facts)).encode()
    bucket = hashlib.blake2b(key, digest_size=1).digest()[0] & 15
    return "validation" if bucket == 0 else "test" if bucket == 1 else "train"

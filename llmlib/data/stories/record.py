"""What is true in a story: its record, and the split that follows from the record alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

__all__ = ["FACTS", "SPLITS", "Story", "StoryRecord", "split_of"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoryRecord:
    """The facts behind a story; a fact that its plot does not have is None.

    All values are the English words, also behind a Chinese story.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> record = next(generate_stories(1, seed=4)).record
    >>> record.hero in record.who, record.plot == "" , record.helper in record.who
    (True, False, ...)
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


def split_of_facts(plot: str, facts) -> str:
    """Return the split of a plot and its facts in the order of :data:`FACTS`."""
    key = "/".join((plot, *facts)).encode()
    bucket = hashlib.blake2b(key, digest_size=1).digest()[0] & 15
    return "validation" if bucket == 0 else "test" if bucket == 1 else "train"

"""Stories that are none any more: what a careless writer makes of them.

=============  ====================================================
way            what happens
=============  ====================================================
renamed        somebody or something is called something else once
cut            the end is missing
repeated       a sentence comes twice
chattering     somebody says the same again and again
=============  ====================================================
"""

from __future__ import annotations

import random
import re

from .stories import Story, check_story
from .stories.plots import plots
from .stories.vocabulary import fillers

__all__ = ["spoil"]


def spoil(story: Story, rng: random.Random) -> str:
    """Make a text from a story that is no story of the world any more.

    Somebody or something changes its name, the end is missing, a sentence comes twice, or the same
    speech is said again and again.

    Parameters
    ----------
    story : Story
        A whole one.
    rng : random.Random
        Of what is done to it.

    Examples
    --------
    >>> from llmlib.data.stories import generate_stories
    >>> check_story(spoil(next(generate_stories(1, seed=1)), random.Random(0))) == []
    False
    """
    ways = (_renamed, _cut, _repeated, _chattering)
    while True:
        text = rng.choice(ways)(story, rng)
        if check_story(text):
            return text


def _renamed(story: Story, rng: random.Random) -> str:
    plot = next(plot for plot in plots() if plot.name == story.record.plot)
    name, value = rng.choice(list(story.record.facts.items()))
    places = [found.start() for found in re.finditer(rf"\b{re.escape(value)}\b", story.text)]
    others = [word for word in fillers(plot.slots[name]) if word != value]
    if not places:
        return story.text
    at = rng.choice(places)
    return story.text[:at] + rng.choice(others) + story.text[at + len(value) :]


def _cut(story: Story, rng: random.Random) -> str:
    words = story.text.split(" ")
    return " ".join(words[: rng.randint(len(words) // 3, len(words) - 3)])


def _sentences(text: str) -> list[str]:
    return re.split(r'(?<=[.!?]) (?=[A-Z])|(?<=[.!?]") (?=["A-Z])', text)


def _repeated(story: Story, rng: random.Random) -> str:
    sentences = _sentences(story.text)
    at = rng.randrange(len(sentences))
    return " ".join([*sentences[: at + 1], *sentences[at:]])


def _chattering(story: Story, rng: random.Random) -> str:
    sentences = _sentences(story.text)
    spoken = [i for i, s in enumerate(sentences) if '"' in s and len(s.split()) <= 16]
    if not spoken:
        return story.text
    at = rng.choice(spoken)
    more = [sentences[at]] * rng.randint(2, 4)
    return " ".join([*sentences[: at + 1], *more, *sentences[at + 1 :]])

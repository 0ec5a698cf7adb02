"""The world in numbers, measured on a sample."""

from __future__ import annotations

import re
import time
from collections import Counter

from .generate import generate_stories, tellings
from .plots import plots

__all__ = ["WORD", "describe"]

WORD = re.compile(r"[A-Za-z]+")


def describe(
    count: int = 10_000, *, seed: int = 0, split: str = "train", language: str = "en"
) -> dict[str, int | float]:
    """Measure a sample of stories.

    Returns
    -------
    dict
        Bits and characters per story, bits per character (the entropy of the world, as a mean over
        the sample), distinct words and how often the rarest of them comes in 50 MB, repeated
        records and texts, and megabytes of text per second of processor time.

    Examples
    --------
    >>> numbers = describe(200)
    >>> numbers["plots"], numbers["repeated texts"]
    (45, 0)
    """
    tellings(language)  # written out once, not part of the speed
    start = time.process_time()
    stories = list(generate_stories(count, seed=seed, split=split, language=language))
    seconds = time.process_time() - start
    size = sum(len(story.text.encode()) for story in stories)
    characters = sum(len(story.text) for story in stories)
    bits = sum(story.bits for story in stories)
    words = Counter(word.lower() for story in stories for word in WORD.findall(story.text))
    numbers: dict[str, int | float] = {
        "plots": len(plots()),
        "endings": sum(len(plot.endings) for plot in plots()),
        "stories": count,
        "bits per story": bits / count,
        "characters per story": characters / count,
        "bits per character": bits / characters,
        "megabytes per second": size / 1e6 / max(seconds, 1e-9),
        "distinct records": len({story.record for story in stories}),
        "repeated texts": count - len({story.text for story in stories}),
    }
    if words:
        lengths = [len(story.text.split()) for story in stories]
        numbers |= {
            "fewest words in a story": min(lengths),
            "most words in a story": max(lengths),
            "distinct words": len(words),
            "rarest word, times in 50 MB": min(words.values()) * 50e6 / size,
        }
    return numbers

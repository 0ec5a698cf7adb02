"""What a stage of the companion can do, in numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from llmlib.companion.documents import END
from llmlib.companion.writing import continue_stories
from llmlib.data.stories import Story, continuation_errors, generate_stories
from llmlib.models import Llama
from llmlib.tokenizers import Tokenizer

__all__ = [
    "TOP_P",
    "StoryScores",
    "beginning",
    "bits_per_character",
    "evaluate_stories",
    "inconsistencies",
]

#: Of the sampling in which the companion's stories are judged. One token in a thousand that is out
#: of place spoils one story in ten; the unlikely tenth of what could come holds most of them.
TOP_P = 0.9


@dataclass(frozen=True, kw_only=True)
class StoryScores:
    """How well a model knows the story world, on held-out stories.

    Parameters
    ----------
    bits_per_character, floor : float
        Of the model and of the generator, on the same stories.
    consistent : float
        Share of continuations, sampled at temperature 1 from the most probable tokens that hold
        :data:`TOP_P` of the probability, in which who, what and where stay as they were and the
        story comes to one of its ends.
    mistakes : list of str
        What was wrong in the others.
    consistent_unfiltered : float
        The same share when every token may be drawn.
    copied, copied_by_chance : float
        Share of stories written from nothing that are, word for word, among the stories of the
        training; and the same share for new stories of the generator.
    """

    bits_per_character: float
    floor: float
    consistent: float
    mistakes: list[str]
    consistent_unfiltered: float
    copied: float
    copied_by_chance: float

    def lines(self) -> list[str]:
        """The numbers as text."""
        return [
            f"bits per character   {self.bits_per_character:.4f}",
            f"the generator's own  {self.floor:.4f}",
            f"difference           {self.over_floor:.4f}",
            f"consistent           {self.consistent:.1%} of continuations",
            f"  with no token cut  {self.consistent_unfiltered:.1%}",
            f"copies of training   {self.copied:.1%} (by chance {self.copied_by_chance:.1%})",
            *(f"  {mistake}" for mistake in self.mistakes),
        ]

    @property
    def over_floor(self) -> float:
        """Bits per character above the generator's own."""
        return self.bits_per_character - self.floor


def bits_per_character(
    model: Llama, tokenizer: Tokenizer, stories: Sequence[Story], *, batch_size: int = 16
) -> float:
    """Information that the model needs to write the stories, the end of each included.

    Parameters
    ----------
    model, tokenizer
        The companion.
    stories : sequence of Story
        Texts.
    batch_size : int
        Texts at a time.

    Returns
    -------
    float
        Bits per character. Never below the generator's own, in the mean over many stories.
    """
    end = tokenizer.special_tokens[END]
    documents = sorted(([end, *tokenizer.encode(s.text), end] for s in stories), key=len)
    nats = 0.0
    model.eval()
    with torch.no_grad():
        for start in range(0, len(documents), batch_size):
            part = documents[start : start + batch_size]
            longest = max(map(len, part))
            ids = torch.tensor([row + [end] * (longest - len(row)) for row in part])
            targets = ids[:, 1:].clone()
            for row, document in zip(targets, part, strict=True):
                row[len(document) - 1 :] = -100
            counted = int((targets != -100).sum())
            nats += float(model.loss(ids[:, :-1], targets)) * counted
    return nats / math.log(2) / sum(len(story.text) for story in stories)


def beginning(story: Story, share: float = 0.4) -> str:
    """The first sentences of a story, about ``share`` of it.

    >>> story = next(generate_stories(1, seed=1))
    >>> story.text.startswith(beginning(story)), beginning(story)[-1] in '.?!"'
    (True, True)
    """
    ends = [match.end() for match in re.finditer(r"[.?!]\"?(?= )", story.text)]
    wanted = share * len(story.text)
    return story.text[: min(ends, key=lambda end: abs(end - wanted))]


def inconsistencies(
    model: Llama,
    tokenizer: Tokenizer,
    stories: Sequence[Story],
    *,
    top_p: float | None = TOP_P,
    seed: int = 0,
) -> list[list[str]]:
    """Let the model continue the beginning of each story; list what is wrong in each."""
    prompts = [beginning(story) for story in stories]
    texts = _written(model, tokenizer, prompts, top_p=top_p, seed=seed)
    return [continuation_errors(*pair) for pair in zip(prompts, texts, strict=True)]


def _written(
    model: Llama,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    top_p: float | None,
    seed: int,
    batch_size: int = 50,
) -> list[str]:
    """Prompts with what the model writes after them."""
    generator = torch.Generator().manual_seed(seed)
    options = {"top_p": top_p, "generator": generator}
    parts = [prompts[i : i + batch_size] for i in range(0, len(prompts), batch_size)]
    return [text for part in parts for text in continue_stories(model, tokenizer, part, **options)]


def evaluate_stories(
    model: Llama,
    tokenizer: Tokenizer,
    *,
    stories: int = 500,
    samples: int = 200,
    seen: Collection[str] = (),
    seed: int = 0,
) -> StoryScores:
    """Measure a model on the held-out part of the story world.

    Parameters
    ----------
    model, tokenizer
        The companion.
    stories : int
        Held-out stories for the bits per character.
    samples : int
        Continuations, and stories written from nothing.
    seen : collection of str
        Stories of the training.
    seed : int
        Of the stories and the samples.
    """
    held_out = list(generate_stories(stories, seed=seed, split="test"))
    mistakes, unfiltered = (
        inconsistencies(model, tokenizer, held_out[:samples], top_p=top_p, seed=seed)
        for top_p in (TOP_P, None)
    )
    written = _written(model, tokenizer, [""] * samples, top_p=None, seed=seed)
    fresh = generate_stories(samples, seed=seed + 1, split="train")
    characters = sum(len(story.text) for story in held_out)
    return StoryScores(
        bits_per_character=bits_per_character(model, tokenizer, held_out),
        floor=sum(story.bits for story in held_out) / characters,
        consistent=sum(not errors for errors in mistakes) / samples,
        consistent_unfiltered=sum(not errors for errors in unfiltered) / samples,
        mistakes=[error for errors in mistakes for error in errors],
        copied=sum(text.strip() in seen for text in written) / samples,
        copied_by_chance=sum(story.text.strip() in seen for story in fresh) / samples,
    )

"""What a stage of the companion does when it is asked, in numbers.

Every reply is written after the turns before it *as they should be*, and checked by program.
Answers are the likeliest tokens. Stories are drawn: most of what happens in them was not asked for,
and the likeliest story is a poor one (Holtzman et al., *The Curious Case of Neural Text
Degeneration*, ICLR 2020). A story can do what was asked, and it can be free of contradictions;
these are two rows. A conversation is solved when all of its replies are right in every respect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmlib.data.conversations import KINDS, Turn, draw_conversations, reply_errors
from llmlib.data.stories import check_story, forgotten_facts
from llmlib.models import Llama
from llmlib.post_training import replies
from llmlib.tokenizers import Tokenizer

__all__ = ["MEASURES", "STORIES", "ChatScores", "evaluate_chat"]

#: How stories are drawn.
STORIES = {"temperature": 0.7, "top_p": 0.8}
#: Name in the table -> measures of the replies that it sums up.
MEASURES = {
    "instructions": ("instruction",),  # all that was asked for is in the story
    "sound stories": ("instruction",),  # nothing in it contradicts it or leaves the world
    "answers": ("who", "where", "what"),
    "other answers": ("colour", "number", "why"),
    "formats": ("format",),
    "refusals": ("refusal",),
    "not known": ("unknown",),
    "arithmetic": ("arithmetic",),
    "passages": ("passages",),
    "not in passages": ("passages unknown",),
    "tool calls": ("tool call",),
    "tool answers": ("tool answer",),
}


@dataclass(frozen=True, kw_only=True)
class ChatScores:
    """How often a stage replies as it should, on held-out conversations.

    Parameters
    ----------
    right : dict
        Row of :data:`MEASURES` -> share of replies without an error.
    asked : dict
        The same -> number of replies.
    solved : dict
        Kind of conversation -> share of those in which every reply was right.
    mistakes : list of str
        Some of the errors, with what was asked.
    """

    right: dict[str, float]
    asked: dict[str, int]
    solved: dict[str, float]
    mistakes: list[str]

    def lines(self) -> list[str]:
        """The numbers as text."""
        table = [
            f"{name:16} {share:6.1%} of {self.asked[name]}" for name, share in self.right.items()
        ]
        whole = [f"{kind:16} {share:6.1%}" for kind, share in self.solved.items()]
        return [
            "replies that are right",
            *table,
            "conversations without an error",
            *whole,
            *(f"  {mistake}" for mistake in self.mistakes),
        ]


def evaluate_chat(
    model: Llama,
    tokenizer: Tokenizer,
    *,
    conversations: int = 200,
    kinds: Sequence[str] = tuple(KINDS),
    split: str = "test",
    seed: int = 0,
    batch_size: int = 64,
    show: int = 20,
) -> ChatScores:
    """Measure a model on conversations of the companion's world.

    Parameters
    ----------
    model, tokenizer
        A stage of the companion.
    conversations : int
        Of each kind.
    kinds : sequence of str
        Of ``llmlib.data.conversations.KINDS``.
    split : str
        ``"test"``: stories, names, sums and requests that no training has seen.
    seed : int
        Of the conversations, and of what is drawn.
    batch_size : int
        Replies at a time.
    show : int
        Mistakes to keep.
    """
    drawn = [
        one
        for kind in kinds
        for one in draw_conversations(kind, conversations, seed=seed, split=split, ambiguous=False)
    ]
    places = [(i, number) for i, one in enumerate(drawn) for number in one.replies]
    # Stories take a hundred steps, answers a few: they do not wait for each other.
    written: dict[tuple[int, int], str] = {}
    for long in (True, False):
        chosen = [p for p in places if bool(drawn[p[0]].turns[p[1]].wanted) == long]
        prompts = [drawn[i].messages[:number] for i, number in chosen]
        options = {"max_new_tokens": 256, **STORIES} if long else {"max_new_tokens": 80}
        generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)
        texts = replies(
            model, tokenizer, prompts, batch_size=batch_size, generator=generator, **options
        )
        written |= dict(zip(chosen, texts, strict=True))
    return _scores(drawn, written, show)


def _scores(drawn: list, written: dict[tuple[int, int], str], show: int) -> ChatScores:
    counts = {name: [0, 0] for name in MEASURES}
    solved: dict[str, list[bool]] = {}
    mistakes: dict[str, list[str]] = {name: [] for name in MEASURES}
    for i, conversation in enumerate(drawn):
        whole = True
        for number in conversation.replies:
            turn, text = conversation.turns[number], written[i, number]
            for name, errors in _errors(turn, text).items():
                whole &= not errors
                counts[name][0] += not errors
                counts[name][1] += 1
                asked = conversation.turns[number - 1]
                mistakes[name] += [_mistake(name, asked, error) for error in errors]
        solved.setdefault(conversation.kind, []).append(whole)
    each = max(1, show // len(MEASURES) + 1)
    return ChatScores(
        right={name: right / asked for name, (right, asked) in counts.items() if asked},
        asked={name: asked for name, (_, asked) in counts.items() if asked},
        solved={kind: sum(found) / len(found) for kind, found in solved.items()},
        mistakes=[m for found in mistakes.values() for m in found[:each]][:show],
    )


def _errors(turn: Turn, text: str) -> dict[str, list[str]]:
    """Rows of the table that a reply counts in, and what is wrong with it there."""
    if turn.wanted:
        forgotten = forgotten_facts(turn.wanted, text)
        return {
            "instructions": [f"no {value!r} in the story" for value in forgotten],
            "sound stories": check_story(text),
        }
    name = next(name for name, measures in MEASURES.items() if turn.measure in measures)
    return {name: reply_errors(turn, text)}


def _mistake(name: str, before: Turn, error: str) -> str:
    """An error and the end of what was asked."""
    return f"{name}: {before.content.splitlines()[-1][-80:]} -> {error}"

"""Drawing conversations."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from .about_facts import closed_book, passages, sums, tools
from .about_stories import formats, instruction_following, questions_on_stories, refusals
from .conversation import Conversation

__all__ = ["KINDS", "ConversationMixture", "draw_conversations"]

#: Kind of conversation -> makes endlessly many, from a seed and a split.
KINDS: dict[str, Callable[..., Iterator[Conversation]]] = {
    "instruction": instruction_following,
    "question": questions_on_stories,
    "format": formats,
    "refusal": refusals,
    "arithmetic": sums,
    "passages": passages,
    "tools": tools,
    "closed book": closed_book,
}
#: What else can be said of a kind.
OPTIONS = {
    "instruction": ("further", "facts", "ambiguous"),
    "question": ("further",),
    "passages": ("further",),
}


def draw_conversations(
    kind: str,
    count: int | None,
    *,
    seed: int = 0,
    split: str = "train",
    further: int = 0,
    facts: int = 3,
    ambiguous: bool = True,
) -> Iterator[Conversation]:
    """Draw conversations of one kind and split.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    count : int or None
        How many; None for an endless stream.
    split : str
        ``"train"``, ``"validation"`` or ``"test"``: of stories, sums, names and requests.
    further : int
        At most so many more questions about the story or the passages, where the kind has any: more
        is learned from a text that has been read.
    facts : int
        Most facts that a request for a story names.
    ambiguous : bool
        Whether it may name facts of which a story has two of a sort.

    Raises
    ------
    ValueError
        For an unknown kind or split.

    Examples
    --------
    >>> [one] = draw_conversations("arithmetic", 1, seed=2)
    >>> for turn in one.turns:
    ...     print(turn.role, turn.content)
    user How much is 11 minus 6?
    assistant 5
    user Now take 2 away.
    assistant 3
    user What is 17 + 9?
    assistant 26
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of conversation {kind!r}; there are {sorted(KINDS)}")
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split {split!r} is not train, validation or test")
    said = {"further": further, "facts": facts, "ambiguous": ambiguous}
    options = {name: said[name] for name in OPTIONS.get(kind, ())}
    return islice(KINDS[kind](seed, split, **options), count)


class ConversationMixture:
    """Batches of conversations of several kinds, each a function of its number.

    Parameters
    ----------
    mixture : dict
        Kind of conversation to its share.
    conversations : int
        Conversations of a batch.
    split : str
        As for :func:`draw_conversations`.
    seed : int
        Of everything drawn.
    further, facts, ambiguous
        As for :func:`draw_conversations`.

    Raises
    ------
    ValueError
        A kind is not known, or the shares do not sum to one.

    Examples
    --------
    >>> source = ConversationMixture({"arithmetic": 0.5, "refusal": 0.5}, conversations=4)
    >>> sorted(one.kind for one in source.batch(1))
    ['arithmetic', 'arithmetic', 'refusal', 'refusal']
    """

    def __init__(
        self,
        mixture: dict[str, float],
        *,
        conversations: int,
        split: str = "train",
        seed: int = 0,
        further: int = 0,
        facts: int = 3,
        ambiguous: bool = True,
    ) -> None:
        unknown = sorted(set(mixture) - set(KINDS))
        if unknown:
            raise ValueError(f"no such kind of conversation: {unknown}; there are {sorted(KINDS)}")
        if abs(sum(mixture.values()) - 1) > 1e-9:
            raise ValueError(f"the shares {mixture} sum to {sum(mixture.values())}, not to 1")
        self.mixture, self.conversations = mixture, conversations
        self.seed = seed
        self.options = {
            "split": split,
            "further": further,
            "facts": facts,
            "ambiguous": ambiguous,
        }

    def batch(self, number: int) -> list[Conversation]:
        """The conversations of batch ``number``."""
        rng = random.Random(f"mixture {self.seed} {number}")
        kinds = rng.choices(list(self.mixture), list(self.mixture.values()), k=self.conversations)
        drawn: list[Conversation] = []
        for kind in self.mixture:
            seed = rng.getrandbits(60)
            drawn += draw_conversations(kind, kinds.count(kind), seed=seed, **self.options)
        rng.shuffle(drawn)
        return drawn

    def messages(self, number: int) -> list[list[dict[str, str]]]:
        """The same as dictionaries, the way chat templates take them."""
        return [conversation.messages for conversation in self.batch(number)]

    def annotated(self, number: int) -> list[list[dict[str, Any]]]:
        """The same, and of each story what it must have (``wanted``) and has (``facts``)."""
        return [[asdict(turn) for turn in one.turns] for one in self.batch(number)]

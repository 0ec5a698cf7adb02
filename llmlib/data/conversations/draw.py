"""Drawing conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from .about_facts import closed_book, passages, sums, tools
from .about_stories import formats, instruction_following, questions_on_stories, refusals
from .conversation import Conversation

__all__ = ["KINDS", "draw_conversations"]

#: Kind of conversation -> makes endlessly many, from a seed and a split.
KINDS: dict[str, Callable[[int, str], Iterator[Conversation]]] = {
    "instruction": instruction_following,
    "question": questions_on_stories,
    "format": formats,
    "refusal": refusals,
    "arithmetic": sums,
    "passages": passages,
    "tools": tools,
    "closed book": closed_book,
}


def draw_conversations(
    kind: str, count: int | None, *, seed: int = 0, split: str = "train"
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
    return islice(KINDS[kind](seed, split), count)

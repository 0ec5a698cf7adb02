"""A conversation, and what is wrong with a reply in it.

Every reply of the assistant has a *measure*, the name under which it is counted, and one of two
tests: a story must be one of the world and have in it what was asked for; every other reply must
be the expected one, letter by letter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..stories import Instruction, instruction_errors

__all__ = ["NOT_KNOWN", "REFUSED", "Conversation", "Turn", "reply_errors"]

#: The reply to a question whose answer is not in what was given.
NOT_KNOWN = "I do not know."
#: The reply to a request that should not be followed.
REFUSED = "I will not help with that."


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Who says what.

    Parameters
    ----------
    role : str
        ``system``, ``user``, ``assistant`` or ``tool``.
    content : str
        The words.
    measure : str
        For replies of the assistant: as what it counts, for example ``who`` or ``format``.
    wanted : tuple of str
        For stories: values that must be in its record.
    facts : tuple of str
        For stories: all values of its record.
    """

    role: str
    content: str
    measure: str = ""
    wanted: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Turns of one kind of conversation.

    Examples
    --------
    >>> turns = (user("What is 2 + 3?"), reply("5", "arithmetic"))
    >>> Conversation(kind="arithmetic", turns=turns).messages[1]
    {'role': 'assistant', 'content': '5'}
    """

    kind: str
    turns: tuple[Turn, ...]

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turns as dictionaries, the way chat templates take them."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns]

    @property
    def replies(self) -> list[int]:
        """Numbers of the turns that the assistant has to write."""
        return [i for i, turn in enumerate(self.turns) if turn.role == "assistant"]


def user(content: str) -> Turn:
    """What the user says.

    >>> user("Hello.").role
    'user'
    """
    return Turn(role="user", content=content)


def reply(content: str, measure: str, wanted: tuple[str, ...] = ()) -> Turn:
    """What the assistant should say.

    >>> reply("5", "arithmetic").role
    'assistant'
    """
    return Turn(role="assistant", content=content, measure=measure, wanted=wanted)


def reply_errors(turn: Turn, text: str) -> list[str]:
    """List what is wrong with a reply.

    Parameters
    ----------
    turn : Turn
        What the assistant should have said.
    text : str
        What it said.

    Examples
    --------
    >>> reply_errors(reply("Greta", "who"), "Vera")
    ["'Vera' in place of 'Greta'"]
    >>> call = reply('{"name": "search", "arguments": {"query": "Tarobe"}}', "tool call")
    >>> reply_errors(call, '{"name": "search", "arguments": {"query": "Tarobe"')
    ['not JSON: \\'{"name": "search", "arguments": {"query": "Tarobe"\\'']
    """
    text = text.strip()
    if turn.wanted:
        asked = Instruction(prompt="", response=turn.content, wanted=turn.wanted)
        return instruction_errors(asked, text)
    if turn.measure == "tool call":
        try:
            found = json.loads(text)
        except json.JSONDecodeError:
            return [f"not JSON: {text!r}"]
        right = found == json.loads(turn.content)
    else:
        right = text == turn.content
    return [] if right else [f"{text!r} in place of {turn.content!r}"]

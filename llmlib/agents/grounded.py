"""A language made for one conversation: arguments and answers come from what was said.

A call that parses may still hold a name that nobody mentioned. Names, numbers and answers are
nearly always copied, from the question or from a result, so the next turn is confined further:

=========================  ==================================================================
part of a turn             what it may be
=========================  ==================================================================
an argument of ``search``  a span of words of the question or of a result
in ``calculator``          numbers that were said, and operators
in ``python``              any program whose words in quotes were said
an answer after a result   a span of words of the last result, or ``I do not know.``
=========================  ==================================================================

Which span, which operator, which tool: that stays the model's affair. Without a result an answer
is free. This is copying by grammar; a pointer network learns it instead.

References
----------
1. Vinyals, Fortunato and Jaitly, *Pointer Networks*, 2015, arXiv:1506.03134.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from llmlib.agents.local import plain_text
from llmlib.agents.tool import Tool
from llmlib.generation import TokenConstraint
from llmlib.generation.automaton import (
    Choice,
    Node,
    Repeat,
    build_automaton,
    literal,
)
from llmlib.generation.automaton import Sequence as Parts
from llmlib.generation.json_schema import parse_schema
from llmlib.generation.regular import parse_regex
from llmlib.tokenizers import Tokenizer

__all__ = ["GroundedTurns", "spans"]

_NOT_KNOWN = "I do not know."
_IN_CODE = r"[^\"\\\x00-\x1f]"


class GroundedTurns:
    """The language of the next turn, from the conversation so far.

    Parameters
    ----------
    tools : sequence of Tool
        Whose calls are allowed.
    tokenizer : Tokenizer
        Of the model.
    end : str
        The special token that ends a turn.
    longest : int
        Words of a span.

    Examples
    --------
    Give it to :class:`~llmlib.agents.LocalModel` as its ``constraint``.
    """

    def __init__(
        self, tools: Sequence[Tool], tokenizer: Tokenizer, *, end: str = "<|end|>", longest: int = 4
    ) -> None:
        self.tools, self.tokenizer, self.end, self.longest = list(tools), tokenizer, end, longest

    def __call__(self, messages: Sequence[Mapping[str, str]]) -> TokenConstraint:
        """The constraint for the assistant's next turn."""
        return TokenConstraint.for_tokenizer(
            build_automaton(self.language(messages)),
            self.tokenizer,
            end=self.end,
            beforehand=False,
        )

    def language(self, messages: Sequence[Mapping[str, str]]) -> Node:
        """The same as a node of an automaton."""
        asked = max(i for i, turn in enumerate(messages) if turn["role"] == "user")
        said = [turn["content"] for turn in messages[asked:] if turn["role"] in ("user", "tool")]
        calls = [self._call(tool, said) for tool in self.tools]
        return Choice((*calls, self._answer(said[-1]) if len(said) > 1 else plain_text()))

    def _call(self, tool: Tool, said: Sequence[str]) -> Node:
        inside = {"search": self._span, "calculator": _expression, "python": _program}
        if tool.name not in inside:
            arguments = parse_schema(tool.parameters)
        else:
            (name,) = tool.parameters["properties"]
            arguments = Parts((literal(f'{{"{name}": "'), inside[tool.name](said), literal('"}')))
        head = literal(f'{{"name": "{tool.name}", "arguments": ')
        return Parts((head, arguments, literal("}")))

    def _span(self, said: Sequence[str]) -> Node:
        return _one_of(
            span for text in said for span in spans(text, self.longest) if '"' not in span
        )

    def _answer(self, result: str) -> Node:
        whole = [result] if "\n" not in result and 0 < len(result) < 80 else []
        return _one_of([*spans(result, self.longest), *whole, _NOT_KNOWN])


def spans(text: str, longest: int) -> list[str]:
    """All runs of up to ``longest`` words, without the marks at their ends.

    Examples
    --------
    >>> spans("It is bean stew.", 2)
    ['It', 'is', 'bean', 'stew', 'It is', 'is bean', 'bean stew']
    """
    words = text.split()
    found = {}
    for length in range(1, longest + 1):
        for i in range(len(words) - length + 1):
            span = " ".join(words[i : i + length]).strip(".,;:!?")
            if span and "\n" not in span:
                found[span] = None
    return list(found)


def _one_of(texts: Iterable[str]) -> Node:
    return Choice(tuple(literal(text) for text in dict.fromkeys(texts)))


def _expression(said: Sequence[str]) -> Node:
    numbers = _one_of(number for text in said for number in re.findall(r"\d+(?:\.\d+)?", text))
    return Parts((numbers, Repeat(Parts((parse_regex(" [-+*/] "), numbers)), 1, 3)))


def _program(said: Sequence[str]) -> Node:
    r"""Code in a JSON string: what stands between ``\"`` and ``\"`` was said."""
    words = _one_of(w for text in said for w in re.findall(r"\w+", text) if w.isascii())
    quoted = Parts((literal(json.dumps('"')[1:-1]), words, literal(json.dumps('"')[1:-1])))
    return Repeat(Choice((parse_regex(_IN_CODE), quoted)), 1, None)

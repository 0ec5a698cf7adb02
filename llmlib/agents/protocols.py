"""How a model says that it wants to call a tool: two ways to write it down.

===================  ======================================  ===============================
what                 :class:`FunctionCalls`                  :class:`ReAct`
===================  ======================================  ===============================
a call               ``{"name": "search", "arguments": …}``  ``Action: search[Tarobe]``
its result comes as  a turn of the role ``tool``             ``Observation: …``
the answer           any other text                          ``Final Answer: …``
thoughts             none are written                        ``Thought: …`` before both
who can do it        models that were trained to             any model that follows a prompt
===================  ======================================  ===============================

References
----------
1. Yao et al., *ReAct: Synergizing Reasoning and Acting in Language Models*, 2023,
   arXiv:2210.03629.
2. Schick et al., *Toolformer: Language Models Can Teach Themselves to Use Tools*, 2023,
   arXiv:2302.04761 (a model that is trained to call tools).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmlib.agents.tool import Tool

__all__ = ["Answer", "Call", "FunctionCalls", "Malformed", "ReAct", "call_schema"]


@dataclass(frozen=True)
class Call:
    """A tool is to be called."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The model is done."""

    text: str


@dataclass(frozen=True)
class Malformed:
    """Neither a call nor an answer; ``problem`` tells the model what is wrong."""

    problem: str


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """JSON schema of a call of one of the tools, for constrained decoding.

    Examples
    --------
    >>> from llmlib.agents.calculator import calculate
    >>> from llmlib.generation import compile_schema
    >>> schema = call_schema([Tool.from_function(calculate, name="calculator")])
    >>> call = '{"name": "calculator", "arguments": {"expression": "1 + 2"}}'
    >>> compile_schema(schema).matches(call)
    True
    """
    each = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": tool.parameters},
            "required": ["name", "arguments"],
        }
        for tool in tools
    ]
    return each[0] if len(each) == 1 else {"anyOf": each}


class FunctionCalls:
    """A call is a JSON object; everything else is an answer.

    Examples
    --------
    >>> FunctionCalls().read('{"name": "search", "arguments": {"query": "Tarobe"}}')
    Call(name='search', arguments={'query': 'Tarobe'})
    >>> FunctionCalls().read("42")
    Answer(text='42')
    """

    def system(self, tools: Sequence[Tool]) -> str:
        """What the system says first: the companion knows its tools by name."""
        return f"Tools: {', '.join(sorted(tool.name for tool in tools))}."

    def read(self, text: str) -> Call | Answer | Malformed:
        """What the model wants."""
        if not text.lstrip().startswith("{"):
            return Answer(text.strip())
        try:
            call = json.loads(text)
        except (ValueError, RecursionError) as error:
            return Malformed(f"this is no JSON: {error}")
        if set(call) != {"name", "arguments"}:
            return Malformed(f'a call has "name" and "arguments", not {sorted(call)}')
        if not isinstance(call["name"], str) or not isinstance(call["arguments"], dict):
            return Malformed('"name" is a string and "arguments" an object')
        return Call(call["name"], call["arguments"])

    def result(self, text: str) -> dict[str, str]:
        """The turn that brings the result."""
        return {"role": "tool", "content": text}


class ReAct:
    """Thought, action, observation, again and again, in plain text.

    Examples
    --------
    >>> react = ReAct()
    >>> react.read("Thought: I do not know Tarobe.\\nAction: search[Tarobe]")
    Call(name='search', arguments={'': 'Tarobe'})
    >>> react.read("Thought: Now I know.\\nFinal Answer: 1543")
    Answer(text='1543')
    """

    ACTION = re.compile(r"^Action:\s*(\w+)\[(.*)\]\s*$", re.MULTILINE)
    FINAL = re.compile(r"^Final Answer:\s*(.*)", re.MULTILINE | re.DOTALL)

    def system(self, tools: Sequence[Tool]) -> str:
        """The prompt that explains the form, with the tools' own descriptions."""
        listed = "\n".join(
            f"- {tool.name}[{', '.join(tool.parameters['properties'])}]: {tool.description}"
            for tool in tools
        )
        return (
            "Answer the question. You have these tools:\n"
            f"{listed}\n"
            "In each turn write a line `Thought: ...` and then either a line "
            "`Action: tool[input]`, after which the result comes as `Observation: ...`, "
            "or a line `Final Answer: ...`. "
            'Several inputs are given as JSON: `Action: tool[{"a": 1, "b": 2}]`.'
        )

    def read(self, text: str) -> Call | Answer | Malformed:
        """What the model wants: what comes first counts.

        What a model writes after its action is made up, observations too.
        """
        action, final = self.ACTION.search(text), self.FINAL.search(text)
        if action and (not final or action.start() < final.start()):
            name, given = action.groups()
            try:
                arguments = json.loads(given)
            except (ValueError, RecursionError):
                arguments = given
            return Call(name, arguments if isinstance(arguments, dict) else {"": given})
        if final:
            return Answer(final[1].strip())
        return Malformed("write a line `Action: tool[input]` or a line `Final Answer: ...`")

    def result(self, text: str) -> dict[str, str]:
        """The turn that brings the result."""
        return {"role": "user", "content": f"Observation: {text}"}

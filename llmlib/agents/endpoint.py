"""A model behind an OpenAI-compatible endpoint as the model of an agent.

Ollama, vLLM, llama.cpp and the clouds speak this protocol. There a call is no text but a field of
the reply, and a result names the call that it belongs to. Here both are turned into the form that
:class:`~llmlib.agents.FunctionCalls` reads, so one loop serves all models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmlib.agents.protocols import Call, FunctionCalls
from llmlib.agents.tool import Tool

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["EndpointModel"]


class EndpointModel:
    """Replies to a conversation by asking an endpoint.

    Parameters
    ----------
    model : str
        Its name there.
    tools : sequence of Tool
        Offered with every request.
    client : openai.OpenAI, optional
        One that reads ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` unless given.
    options
        Further fields of the request, such as ``temperature=0``.

    Raises
    ------
    ImportError
        The package ``openai`` is missing.
    RuntimeError
        ``OPENAI_BASE_URL`` is not set and no client is given.
    """

    def __init__(
        self,
        model: str,
        tools: Sequence[Tool] = (),
        *,
        client: OpenAI | None = None,
        **options: Any,
    ) -> None:
        self.model, self.tools, self.options = model, list(tools), options
        self.client = client or _client()

    def __call__(self, messages: Sequence[Mapping[str, str]]) -> str:
        """What the model says next; a call as JSON."""
        offered = {"tools": [tool.specification for tool in self.tools]} if self.tools else {}
        completion = self.client.chat.completions.create(
            model=self.model, messages=with_call_ids(messages), **offered, **self.options
        )
        reply = completion.choices[0].message
        if not reply.tool_calls:
            return reply.content or ""
        called = reply.tool_calls[0].function
        try:
            arguments = json.loads(called.arguments)
        except ValueError:
            arguments = called.arguments  # the loop tells the model
        call = {"name": called.name, "arguments": arguments}
        return json.dumps(call, ensure_ascii=False)


def with_call_ids(messages: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """A conversation in which calls are fields, and results name their call.

    Examples
    --------
    >>> call = '{"name": "search", "arguments": {"query": "Tarobe"}}'
    >>> made = with_call_ids([
    ...     {"role": "assistant", "content": call}, {"role": "tool", "content": "A village."}
    ... ])
    >>> made[0]["tool_calls"][0]["function"]["name"], made[1]["tool_call_id"]
    ('search', 'call_0')
    """
    made: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        turn: dict[str, Any] = dict(message)
        follows = messages[number + 1]["role"] if number + 1 < len(messages) else ""
        wanted = FunctionCalls().read(turn["content"]) if follows == "tool" else None
        if turn["role"] == "assistant" and isinstance(wanted, Call):
            function = {
                "name": wanted.name,
                "arguments": json.dumps(wanted.arguments, ensure_ascii=False),
            }
            calls = [{"id": f"call_{number}", "type": "function", "function": function}]
            turn |= {"content": None, "tool_calls": calls}
        elif turn["role"] == "tool" and made and "tool_calls" in made[-1]:
            turn["tool_call_id"] = f"call_{number - 1}"
        elif turn["role"] == "tool":  # about a call that could not be read
            turn["role"] = "user"
        made.append(turn)
    return made


def _client() -> OpenAI:
    try:
        from openai import OpenAI
    except ImportError as error:
        raise ImportError(
            "an endpoint is asked with the package openai: pip install 'llmlib[apps]'"
        ) from error
    if not os.environ.get("OPENAI_BASE_URL"):
        raise RuntimeError(
            "OPENAI_BASE_URL is not set: give the address of an endpoint, such as "
            "http://localhost:11434/v1 for Ollama, and OPENAI_API_KEY if it asks for one"
        )
    return OpenAI(api_key=os.environ.get("OPENAI_API_KEY", "none"))

"""A model behind the protocol that everybody speaks: ``POST /v1/chat/completions``.

A program that can talk to OpenAI's service, to Ollama or to vLLM can then talk to a model of this
library. The least that clients need is here: chat completions, whole or as a stream, and the list
of models. Texts are written one after the other, since there is one model and one lock; how many
are written at once is what :class:`~llmlib.serving.Engine` is about.

=====================  =========================================================================
field of a request     what becomes of it
=====================  =========================================================================
``messages``           rendered by the chat template
``max_tokens``,        most tokens of the reply; ``finish_reason`` says ``length`` if they were
``max_completion_…``   too few
``temperature``        of the sampling; 0 takes the best token
``top_p``, ``seed``    as in :func:`~llmlib.generation.generate`
``stream``             server-sent events, one for each piece of text
``tools``              with a caller that knows the model's form, calls come as ``tool_calls``
``response_format``    ``json_schema`` confines the reply to the schema
=====================  =========================================================================

Whatever else a request holds is ignored, except ``n`` above 1, which is refused.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from llmlib.generation import TokenConstraint, compile_schema, stream
from llmlib.models import CausalLanguageModel
from llmlib.tokenizers import ChatTemplate, Tokenizer

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["chat_server", "serve"]

_DEFAULT_NEW = 256


class _RequestError(ValueError):
    """A request that cannot be answered; the client gets status 400 and the message."""


def chat_server(
    model: CausalLanguageModel,
    tokenizer: Tokenizer,
    *,
    name: str = "companion",
    template: ChatTemplate | None = None,
    system_of_tools: Callable[[Sequence[str]], str] | None = None,
) -> Starlette:
    """An ASGI application that answers with a model.

    Parameters
    ----------
    model, tokenizer
        A model that was fine-tuned with the template.
    name : str
        What clients call it.
    template : ChatTemplate, optional
        How conversations are written; the companion's form unless given.
    system_of_tools : callable, optional
        What the system says when a request offers tools, from their names. With it, calls of the
        request become text for the model and calls that the model writes become ``tool_calls``.

    Returns
    -------
    starlette.applications.Starlette
        For ``uvicorn.run``, or :func:`serve`.

    Raises
    ------
    ImportError
        The package ``starlette`` is missing.
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response, StreamingResponse
        from starlette.routing import Route
    except ImportError as error:
        raise ImportError(
            "a server is made with starlette and uvicorn: pip install 'llmlib[apps]'"
        ) from error
    writer = _Writer(model, tokenizer, name, template or ChatTemplate(), system_of_tools)

    async def complete(request: Request) -> Response:
        try:
            asked = json.loads(await request.body())
            prepared = await run_in_threadpool(writer.prepare, asked)
        except ValueError as error:  # no JSON, or a request that cannot be answered
            return JSONResponse(_error(str(error)), status_code=400)
        if asked.get("stream"):
            return StreamingResponse(writer.events(prepared), media_type="text/event-stream")
        return JSONResponse(await run_in_threadpool(writer.whole, prepared))

    async def models(request: Request) -> Response:
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "llmlib"}]
        return JSONResponse({"object": "list", "data": listed})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", models),
        ]
    )


@contextlib.contextmanager
def serve(application: Starlette, *, port: int = 0) -> Iterator[str]:
    """Run an application in a thread, on the own machine only.

    Parameters
    ----------
    application
        Such as :func:`chat_server` makes.
    port : int
        0 takes a free one.

    Yields
    ------
    str
        The address for clients, ``http://127.0.0.1:PORT/v1``.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise ImportError("a server runs with uvicorn: pip install 'llmlib[apps]'") from error
    with socket.create_server(("127.0.0.1", port)) as listening:
        config = uvicorn.Config(application, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise RuntimeError("the server ended before it had started")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


class _Prepared:
    """A request that has been read."""

    def __init__(self, ids: list[int], limit: int, options: dict[str, Any], tools: bool) -> None:
        self.ids, self.limit, self.options, self.tools = ids, limit, options, tools


class _Writer:
    """Turns requests into prompts, and tokens into replies."""

    def __init__(
        self,
        model: CausalLanguageModel,
        tokenizer: Tokenizer,
        name: str,
        template: ChatTemplate,
        system_of_tools: Callable[[Sequence[str]], str] | None,
    ) -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.template, self.system_of_tools = template, system_of_tools
        self.end = tokenizer.special_tokens[template.end]
        self.lock = threading.Lock()
        self.made = 0

    def prepare(self, asked: Any) -> _Prepared:
        """Check a request and turn it into tokens and options."""
        if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list):
            raise _RequestError("a request needs messages: a list of role and content")
        if asked.get("n") not in (None, 1):
            raise _RequestError(f"n={asked['n']}, but one reply is written at a time")
        tools = [tool["function"]["name"] for tool in asked.get("tools") or ()]
        if tools and self.system_of_tools is None:
            raise _RequestError("this server was not told how its model calls tools")
        turns = [_as_text(turn) for turn in asked["messages"]]
        if tools:
            turns = [turn for turn in turns if turn["role"] != "system"]
            turns.insert(0, {"role": "system", "content": self.system_of_tools(sorted(tools))})
        ids = self.template.encode(self.tokenizer, turns, generation_prompt=True).ids
        room = (self.model.config.context_length or len(ids) + _DEFAULT_NEW) - len(ids)
        limit = asked.get("max_completion_tokens") or asked.get("max_tokens") or _DEFAULT_NEW
        if room < 1:
            raise _RequestError(
                f"the conversation has {len(ids)} tokens, and the context of the model "
                f"{self.model.config.context_length}: nothing can be written"
            )
        options: dict[str, Any] = {
            "temperature": 1.0 if asked.get("temperature") is None else asked["temperature"],
            "top_p": asked.get("top_p"),
        }
        if asked.get("seed") is not None:
            options["generator"] = torch.Generator().manual_seed(int(asked["seed"]))
        wanted = asked.get("response_format") or {}
        if wanted.get("type") == "json_schema":
            automaton = compile_schema(wanted["json_schema"]["schema"])
            options["constraint"] = TokenConstraint.for_tokenizer(
                automaton, self.tokenizer, end=self.template.end
            )
        elif wanted.get("type", "text") != "text":
            raise _RequestError(f"response_format {wanted['type']!r}: give json_schema")
        return _Prepared(ids, min(int(limit), room), options, bool(tools))

    def tokens(self, prepared: _Prepared) -> Iterator[int]:
        """The tokens of a reply, the end included."""
        with self.lock:
            device = next(self.model.parameters()).device
            for token in stream(
                self.model,
                torch.tensor([prepared.ids], device=device),
                max_new_tokens=prepared.limit,
                stop_ids=[self.end],
                **prepared.options,
            ):
                yield int(token)

    def whole(self, prepared: _Prepared) -> dict[str, Any]:
        """A reply as one object."""
        ids = list(self.tokens(prepared))
        ended = ids[-1:] == [self.end]
        text = self.tokenizer.decode(ids[:-1] if ended else ids)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        reason = "stop" if ended else "length"
        call = _as_call(text) if prepared.tools else None
        if call is not None:
            message |= {"content": None, "tool_calls": [call]}
            reason = "tool_calls"
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        usage = {
            "prompt_tokens": len(prepared.ids),
            "completion_tokens": len(ids),
            "total_tokens": len(prepared.ids) + len(ids),
        }
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage}

    def events(self, prepared: _Prepared) -> Iterator[str]:
        """A reply as server-sent events.

        A token may end inside a character: text goes out once it is whole. A reply to a request
        with tools goes out in one piece, since it may turn out to be a call.
        """
        head = self._head("chat.completion.chunk")

        def event(delta: dict[str, Any], reason: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
            return f"data: {json.dumps({**head, 'choices': [choice]}, ensure_ascii=False)}\n\n"

        if prepared.tools:
            choice = self.whole(prepared)["choices"][0]
            delta = choice["message"]
            for number, call in enumerate(delta.get("tool_calls", ())):
                call["index"] = number
            yield event(delta)
            yield event({}, choice["finish_reason"])
        else:
            yield event({"role": "assistant", "content": ""})
            ids: list[int] = []
            sent, ended = 0, False
            for token in self.tokens(prepared):
                ended = token == self.end
                ids += [] if ended else [token]
                text = self.tokenizer.decode(ids)
                whole = len(text.rstrip("\ufffd")) if not ended else len(text)
                if whole > sent:
                    yield event({"content": text[sent:whole]})
                    sent = whole
            rest = self.tokenizer.decode(ids)[sent:]
            if rest:
                yield event({"content": rest})
            yield event({}, "stop" if ended else "length")
        yield "data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        self.made += 1
        created = int(time.time())
        return {"id": f"chat-{self.made}", "object": kind, "created": created, "model": self.name}


def _as_text(turn: Any) -> dict[str, str]:
    """A turn of a request as the template takes it: calls become JSON, parts one text."""
    if not isinstance(turn, Mapping) or "role" not in turn:
        raise _RequestError("a message needs a role and a content")
    content = turn.get("content")
    if turn.get("tool_calls"):
        function = turn["tool_calls"][0]["function"]
        call = {"name": function["name"], "arguments": json.loads(function["arguments"])}
        content = json.dumps(call, ensure_ascii=False)
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    if not isinstance(content, str):
        raise _RequestError(f"the content of a {turn['role']} message must be a text")
    role = "system" if turn["role"] == "developer" else turn["role"]
    return {"role": role, "content": content}


def _as_call(text: str) -> dict[str, Any] | None:
    """A call that a model wrote, as the protocol has it."""
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or set(call) != {"name", "arguments"}:
        return None
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    function = {"name": call["name"], "arguments": arguments}
    return {"id": "call_0", "type": "function", "function": function}


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None}}

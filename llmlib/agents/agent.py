"""The loop: ask the model, do what it asks for, tell it what came out, until it answers.

.. code-block:: text

            +-------------------------------------------+
            v                                           |
   question -> model -> call? -- yes --> tool -> result-+
                          |
                          no --> answer

The model is a function from a conversation to a text. It never does anything itself: the loop
reads what it wrote, and decides whether to do it. All safety of an agent is in that place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llmlib.agents.protocols import Answer, Call, FunctionCalls, Malformed
from llmlib.agents.tool import Tool

__all__ = ["Agent", "ContextFullError", "Model", "Run", "Step"]

#: A conversation, ending where the assistant is to speak, to what it says.
Model = Callable[[Sequence[Mapping[str, str]]], str]


class _Form(Protocol):
    def system(self, tools: Sequence[Tool]) -> str: ...
    def read(self, text: str) -> Call | Answer | Malformed: ...
    def result(self, text: str) -> dict[str, str]: ...


@dataclass(frozen=True)
class Step:
    """One turn of the model, and what came of it.

    Parameters
    ----------
    text : str
        What the model wrote.
    call : Call or None
        The call that was read from it.
    result : str or None
        What the tool gave, or what was wrong; None for an answer.
    """

    text: str
    call: Call | None = None
    result: str | None = None


@dataclass
class Run:
    """What an agent did with a question.

    Parameters
    ----------
    answer : str
        Empty when it was stopped.
    steps : list of Step
        All turns of the model.
    messages : list of dict
        The whole conversation.
    stopped : str
        ``"steps"`` when it made no answer within its steps; ``"context"`` when the conversation
        became too long for the model; else empty.
    """

    answer: str = ""
    steps: list[Step] = field(default_factory=list)
    messages: list[dict[str, str]] = field(default_factory=list)
    stopped: str = ""

    @property
    def calls(self) -> list[Call]:
        """The calls that were made, in order."""
        return [step.call for step in self.steps if step.call is not None]


class Agent:
    """A model with tools.

    Parameters
    ----------
    model : callable
        A conversation to a text.
    tools : sequence of Tool
        What it may call.
    form : FunctionCalls or ReAct
        How calls are written.
    max_steps : int
        Most turns of the model.
    allow : callable, optional
        Asked before every call, with the call and the steps before it; gives None to allow it, or
        the reason why not, which the model is told.
    clean : callable, optional
        What a result goes through before the model reads it.
    system : str, optional
        What the system says, in place of the form's own text.

    Examples
    --------
    A model that always looks up first and then repeats what it read:

    >>> def search(query: str) -> str:
    ...     '''Look something up.'''
    ...     return f"{query} was founded in 1543."
    >>> def model(messages):
    ...     if messages[-1]["role"] == "tool":
    ...         return messages[-1]["content"]
    ...     return '{"name": "search", "arguments": {"query": "Tarobe"}}'
    >>> run = Agent(model, [Tool.from_function(search)]).run("When was Tarobe founded?")
    >>> run.answer, len(run.steps)
    ('Tarobe was founded in 1543.', 2)
    """

    def __init__(
        self,
        model: Model,
        tools: Sequence[Tool],
        *,
        form: _Form | None = None,
        max_steps: int = 5,
        allow: Callable[[Call, Sequence[Step]], str | None] | None = None,
        clean: Callable[[str], str] | None = None,
        system: str | None = None,
    ) -> None:
        if max_steps < 1:
            raise ValueError(f"max_steps={max_steps}, but an answer takes one step at least")
        self.model, self.max_steps = model, max_steps
        self.tools = {tool.name: tool for tool in tools}
        if len(self.tools) < len(tools):
            raise ValueError(f"two tools have the same name: {[tool.name for tool in tools]}")
        self.form = form or FunctionCalls()
        self.allow, self.clean = allow, clean
        self.system = self.form.system(tools) if system is None else system

    def run(self, question: str, history: Sequence[Mapping[str, str]] = ()) -> Run:
        """Work on a question until there is an answer or no step is left.

        Parameters
        ----------
        question : str
            What the user says.
        history : sequence of dict
            Turns before it, without the system's.
        """
        run = Run(messages=[{"role": "system", "content": self.system}] if self.system else [])
        run.messages += [dict(turn) for turn in history]
        run.messages.append({"role": "user", "content": question})
        for _ in range(self.max_steps):
            try:
                text = self.model(run.messages)
            except ContextFullError:
                run.stopped = "context"
                return run
            run.messages.append({"role": "assistant", "content": text})
            wanted = self.form.read(text)
            if isinstance(wanted, Answer):
                run.steps.append(Step(text))
                run.answer = wanted.text
                return run
            call, result = None, ""
            if isinstance(wanted, Malformed):
                result = f"Error: {wanted.problem}"
            else:
                call = self._named(wanted)
                result = self._do(call, run.steps)
            run.steps.append(Step(text, call, result))
            run.messages.append(self.form.result(result))
        run.stopped = "steps"
        return run

    def _named(self, call: Call) -> Call:
        """A call whose only argument came without its name gets it."""
        if set(call.arguments) == {""} and call.name in self.tools:
            names = self.tools[call.name].parameters["required"]
            if len(names) == 1:
                return Call(call.name, {names[0]: call.arguments[""]})
        return call

    def _do(self, call: Call, before: Sequence[Step]) -> str:
        if call.name not in self.tools:
            return f"Error: there is no tool {call.name!r}; there are {', '.join(self.tools)}"
        refusal = self.allow(call, before) if self.allow else None
        if refusal is not None:
            return f"Error: {refusal}"
        result = self.tools[call.name].call(call.arguments)
        return self.clean(result) if self.clean else result


class ContextFullError(ValueError):
    """A conversation is longer than the model can read."""

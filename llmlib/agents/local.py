"""A model in this process as the model of an agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from llmlib.agents.agent import ContextFullError
from llmlib.agents.protocols import call_schema
from llmlib.agents.tool import Tool
from llmlib.generation import TokenConstraint, generate
from llmlib.generation.automaton import ANY, Automaton, Chars, Choice, Node, Repeat, build_automaton
from llmlib.generation.automaton import Sequence as Parts
from llmlib.generation.json_schema import parse_schema
from llmlib.models import CausalLanguageModel
from llmlib.tokenizers import ChatTemplate, Tokenizer

__all__ = ["LocalModel", "calls_or_text", "plain_text"]

Messages = Sequence[Mapping[str, str]]


class LocalModel:
    """Replies to a conversation with a model of this library.

    Parameters
    ----------
    model, tokenizer
        A stage of the companion from fine-tuning on, or another model with the template.
    template : ChatTemplate, optional
        How conversations are written; the companion's form unless given.
    max_new_tokens : int
        Of a reply.
    temperature : float
        0 takes the best token at every step.
    constraint : TokenConstraint or callable, optional
        What a reply has to look like; or a function that says so for each conversation, such as
        :class:`~llmlib.agents.GroundedTurns`.
    generator : torch.Generator, optional
        Of the random numbers.
    """

    def __init__(
        self,
        model: CausalLanguageModel,
        tokenizer: Tokenizer,
        *,
        template: ChatTemplate | None = None,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        constraint: TokenConstraint | Callable[[Messages], TokenConstraint] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.template = template or ChatTemplate()
        self.max_new_tokens, self.temperature = max_new_tokens, temperature
        self.constraint, self.generator = constraint, generator

    def __call__(self, messages: Messages) -> str:
        """What the model says next.

        Raises
        ------
        ContextFullError
            The conversation and a reply do not fit into the model's context.
        """
        chat = self.template.encode(self.tokenizer, messages, generation_prompt=True)
        limit = self.model.config.context_length
        if len(chat.ids) + self.max_new_tokens > limit:
            raise ContextFullError(
                f"{len(chat.ids)} tokens of conversation and {self.max_new_tokens} of a reply are "
                f"more than context_length={limit}"
            )
        constraint = self.constraint
        if constraint is not None and not isinstance(constraint, TokenConstraint):
            constraint = constraint(messages)
        end = self.tokenizer.special_tokens[self.template.end]
        device = next(self.model.parameters()).device
        written = generate(
            self.model,
            torch.tensor([chat.ids], device=device),
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            stop_ids=[end],
            constraint=constraint,
            generator=self.generator,
        )
        reply = written[0, len(chat.ids) :].tolist()
        return self.tokenizer.decode(reply[: reply.index(end)] if end in reply else reply)


def calls_or_text(tools: Sequence[Tool], *, max_length: int | None = None) -> Automaton:
    """The language of an agent's turns: a call that parses, or a text that does not look like one.

    Parameters
    ----------
    tools : sequence of Tool
        Whose calls are allowed, with arguments of the right types.
    max_length : int, optional
        Most characters of a text, and of each string in a call.

    Examples
    --------
    >>> from llmlib.agents.calculator import calculate
    >>> language = calls_or_text([Tool.from_function(calculate, name="calculator")])
    >>> language.matches("42"), language.matches('{"name": "calculator", "arguments": {}}')
    (True, False)
    """
    text = plain_text(max_length)
    return build_automaton(Choice((parse_schema(call_schema(tools), max_length=max_length), text)))


def plain_text(max_length: int | None = None) -> Node:
    """A line that does not look like a call: it does not begin with a brace or white space."""
    spaces = Chars(((9, 13), (32, 32)))
    first = ANY.without(Chars(((ord("{"), ord("{")),))).without(spaces)
    rest = Repeat(ANY.without(Chars(((10, 10),))), 0, max_length and max_length - 1)
    return Parts((first, rest))

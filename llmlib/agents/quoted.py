"""A language for answers from passages: a few words of one passage, and its number.

A citation can be wrong in three ways: it is missing, it points to nothing, or the words are not
where it points. None of them can be written in this language, which is made anew for every
conversation from the passages in it::

    answer  =  words of passage 1  " [1]"  |  words of passage 2  " [2]"  |  ...  |  refusal

So every answer is a quotation. Whether it is the one that was asked for stays the model's affair.
Without passages an answer is free.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from llmlib.agents.grounded import spans
from llmlib.agents.local import plain_text
from llmlib.generation import TokenConstraint
from llmlib.generation.automaton import Choice, Node, build_automaton, literal
from llmlib.retrieval.rag import REFUSAL
from llmlib.tokenizers import Tokenizer

__all__ = ["QuotedAnswers"]

_PASSAGE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)


class QuotedAnswers:
    """The language of the next reply, from the passages that the user gave last.

    Parameters
    ----------
    tokenizer : Tokenizer
        Of the model.
    end : str
        The special token that ends a turn.
    longest : int
        Most words of an answer.
    refusal : str
        What can be said in place of an answer.

    Examples
    --------
    Give it to :class:`~llmlib.agents.LocalModel` as its ``constraint``. The language alone:

    >>> asked = "[1] Lunika built it.\\n[2] The boat is red.\\nQuestion: Who built the mill?"
    >>> language = build_automaton(
    ...     QuotedAnswers(None).language([{"role": "user", "content": asked}])
    ... )
    >>> [language.matches(text) for text in ("Lunika [1]", "Lunika [2]", "Lunika", REFUSAL)]
    [True, False, False, True]
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        *,
        end: str = "<|end|>",
        longest: int = 3,
        refusal: str = REFUSAL,
    ) -> None:
        self.tokenizer, self.end, self.longest, self.refusal = tokenizer, end, longest, refusal

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
        asked = next(turn["content"] for turn in reversed(messages) if turn["role"] == "user")
        passages = _PASSAGE.findall(asked)
        if not passages:
            return plain_text()
        quotes = [
            literal(f"{span} [{number}]")
            for number, text in passages
            for span in spans(text, self.longest)
        ]
        return Choice((*quotes, literal(self.refusal)))

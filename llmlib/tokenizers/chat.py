r"""Conversations as text: who speaks is marked by special tokens.

A model reads one sequence of tokens. A *chat template* writes a conversation as such a sequence:
before each turn a mark that says who speaks, after it a mark that says that the turn is over. The
companion's form, with ``<|end|>`` both before the first turn and after each:

.. code-block:: text

   <|end|><|user|>What is 2 + 3?<|end|><|assistant|>5<|end|>

To get a reply, the text stops after ``<|assistant|>`` (the *generation prompt*), and the model
writes on until the end mark. So in training the tokens to learn are those of the assistant's
contents, **and the end mark after them**: a model that never learned to write it never stops.

===================  ==================================  =====================
code                 what it is                          shape
===================  ==================================  =====================
``turns``            ``{"role": ..., "content": ...}``   a list, in order
``ids``              tokens                              ``(T,)``
``learned``          whether a token is to be learned    ``(T,)``, booleans
===================  ==================================  =====================

The same template in Jinja, the language in which the files of transformers hold it, is
:attr:`ChatTemplate.jinja`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmlib.tokenizers.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "EncodedChat"]

Turns = Sequence[Mapping[str, str]]

JINJA = (
    "{{{{ {begin} }}}}"
    "{{% for turn in messages %}}"
    "{{{{ {before} + turn['role'] + {after_role} }}}}"
    "{{% if turn['role'] == {learned} %}}"
    "{{% generation %}}{{{{ turn['content'] + {end} }}}}{{% endgeneration %}}"
    "{{% else %}}{{{{ turn['content'] + {end} }}}}{{% endif %}}"
    "{{{{ {between} }}}}"
    "{{% endfor %}}"
    "{{% if add_generation_prompt %}}{{{{ {prompt} }}}}{{% endif %}}"
)


@dataclass(frozen=True)
class EncodedChat:
    """Tokens of a conversation, and which of them are learned; both ``(T,)``."""

    ids: list[int]
    learned: list[bool]


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    r"""How conversations are written; the companion's form unless told otherwise.

    Parameters
    ----------
    begin : str
        Before the first turn.
    before, after_role : str
        Around the role of each turn.
    end : str
        After the content of each turn; learned where the assistant writes it.
    between : str
        After ``end``, not learned.
    roles : tuple of str
        Who may speak.
    learned : str
        Whose contents are learned.

    Examples
    --------
    >>> turns = [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "5"}]
    >>> ChatTemplate().render(turns)
    '<|end|><|user|>2 + 3?<|end|><|assistant|>5<|end|>'
    >>> ChatTemplate().render(turns[:1], generation_prompt=True)
    '<|end|><|user|>2 + 3?<|end|><|assistant|>'
    >>> ChatTemplate.chatml().render(turns[:1])
    '<|im_start|>user\n2 + 3?<|im_end|>\n'
    """

    begin: str = "<|end|>"
    before: str = "<|"
    after_role: str = "|>"
    end: str = "<|end|>"
    between: str = ""
    roles: tuple[str, ...] = ("system", "user", "assistant", "tool")
    learned: str = "assistant"

    @classmethod
    def chatml(cls) -> ChatTemplate:
        """The form called ChatML, which many open models use."""
        return cls(begin="", before="<|im_start|>", after_role="\n", end="<|im_end|>", between="\n")

    @property
    def jinja(self) -> str:
        """The template as transformers takes it: ``tokenizer.chat_template``.

        The learned parts stand between ``{% generation %}`` marks, from which transformers makes
        its mask of assistant tokens.
        """
        parts = {
            "begin": self.begin,
            "before": self.before,
            "after_role": self.after_role,
            "end": self.end,
            "between": self.between,
            "learned": self.learned,
            "prompt": self._head(self.learned),
        }
        return JINJA.format(**{name: _quoted(part) for name, part in parts.items()})

    def render(self, turns: Turns, *, generation_prompt: bool = False) -> str:
        """Write a conversation as text.

        Parameters
        ----------
        turns : list of dict
            Each with ``role`` and ``content``.
        generation_prompt : bool
            Whether to go on to where the assistant's next reply begins.

        Raises
        ------
        ValueError
            A role is not known, or a content holds a mark of the template, with which whoever
            wrote it could speak for somebody else.
        """
        self._check(turns, ())
        text = self.begin
        for turn in turns:
            text += self._head(turn["role"]) + turn["content"] + self.end + self.between
        return text + (self._head(self.learned) if generation_prompt else "")

    def encode(
        self, tokenizer: Tokenizer, turns: Turns, *, generation_prompt: bool = False
    ) -> EncodedChat:
        """Tokens of a conversation, and which of them are to be learned.

        Parameters
        ----------
        tokenizer : Tokenizer
            Has the marks as special tokens.
        turns, generation_prompt
            As for :meth:`render`.

        Returns
        -------
        EncodedChat
            The tokens are those of the rendered text.

        Raises
        ------
        ValueError
            As for :meth:`render`; or a content holds any special token of the tokenizer; or a
            token would lie partly in a content and partly in a mark.

        Examples
        --------
        >>> from llmlib.tokenizers import BPETokenizer
        >>> marks = ["<|end|>", "<|user|>", "<|assistant|>"]
        >>> tokenizer = BPETokenizer.train([], 259, special_tokens=marks)
        >>> turns = [{"role": "user", "content": "2+3?"}, {"role": "assistant", "content": "5"}]
        >>> chat = ChatTemplate().encode(tokenizer, turns)
        >>> [tokenizer.decode([i]) for i, learned in zip(chat.ids, chat.learned) if learned]
        ['5', '<|end|>']
        """
        self._check(turns, tokenizer.special_tokens)
        ids, learned = list[int](), list[bool]()

        def add(text: str, is_learned: bool) -> None:
            tokens = tokenizer.encode(text)
            ids.extend(tokens)
            learned.extend([is_learned] * len(tokens))

        add(self.begin, False)
        for turn in turns:
            add(self._head(turn["role"]), False)
            add(turn["content"] + self.end, turn["role"] == self.learned)
            add(self.between, False)
        if generation_prompt:
            add(self._head(self.learned), False)
        marks = {self.begin, self.end, self.between, *map(self._head, self.roles)} - {""}
        # No token reaches across a special one; else the whole text has to be looked at.
        if marks <= set(tokenizer.special_tokens):
            return EncodedChat(ids, learned)
        if ids != tokenizer.encode(self.render(turns, generation_prompt=generation_prompt)):
            raise ValueError(
                "a token lies across the border of a mark and a content, so it is neither learned "
                "nor not: make the marks special tokens, and strip the contents"
            )
        return EncodedChat(ids, learned)

    def _head(self, role: str) -> str:
        return self.before + role + self.after_role

    def _check(self, turns: Turns, special: Mapping[str, int] | tuple[()]) -> None:
        heads = {self._head(role) for role in self.roles}
        marks = {mark for mark in {self.begin, self.end, *heads, *special} if mark.strip()}
        for number, turn in enumerate(turns):
            if turn["role"] not in self.roles:
                raise ValueError(
                    f"turn {number} has the role {turn['role']!r}, which is none of {self.roles}"
                )
            for mark in sorted(marks):
                if mark in turn["content"]:
                    raise ValueError(
                        f"the content of turn {number} holds the mark {mark!r}, with which it "
                        "would speak for somebody else: take it out"
                    )


def _quoted(text: str) -> str:
    r"""A string of Jinja.

    >>> print(_quoted("it's\n"))
    'it\'s\n'
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"

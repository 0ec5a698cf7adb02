r"""Decoding that cannot leave a language: only tokens after which the text may still end well.

.. math::

   p(v \mid x) \propto
   \begin{cases} p_\theta(v \mid x) & \text{if } d(\delta(s, v)) \le r - 1 \\
   0 & \text{otherwise} \end{cases}

A token is a piece of text: the automaton reads its bytes, from state :math:`s` to
:math:`\delta(s, v)`. If it dies on the way, the token is out. So is one after which the text could
not be completed with the tokens that are left. What remains always leads to a text of the language,
whatever the model thinks.

==============  =============================  ====================================  ==========
code            symbol                         what it is                            shape
==============  =============================  ====================================  ==========
``next_state``  :math:`\delta(s, v)`           state after each token; 0 is dead     ``(V,)``
``distance``    :math:`d(s)`                   fewest tokens that complete the text  ``(S,)``
``remaining``   :math:`r`                      tokens that may still be written      number
==============  =============================  ====================================  ==========

References
----------
1. Willard and Louf, *Efficient Guided Generation for Large Language Models*, 2023,
   arXiv:2307.09702.
2. Koo, Liu and He, *Automata-based constraints for language model decoding*, 2024,
   arXiv:2407.08103.

**Differs from outlines and llguidance in** the last point: there a limit on the tokens may cut the
text short. **Differs from llguidance in** being made beforehand for all states, where that library
walks a tree of all tokens as each state is met, and follows context-free grammars too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from llmlib.generation.automaton import FAR, Automaton, steps_to_end

if TYPE_CHECKING:
    from llmlib.tokenizers import Tokenizer

__all__ = ["TokenConstraint", "allowed_tokens"]

_MOST_ENTRIES = 400_000_000


def allowed_tokens(automaton: Automaton, vocab: Mapping[int, bytes], state: int) -> set[int]:
    """The tokens that do not die from a state: the plain version, byte by byte.

    Examples
    --------
    >>> from llmlib.generation.regular import compile_regex
    >>> vocab = {0: b"a", 1: b"ab", 2: b"b", 3: b"ba"}
    >>> automaton = compile_regex("ab*")
    >>> allowed_tokens(automaton, vocab, automaton.start)
    {0, 1}
    """
    return {i for i, piece in vocab.items() if piece and automaton.read(piece, state)}


class TokenConstraint:
    """Which tokens may come next, for every state of an automaton.

    Parameters
    ----------
    automaton : Automaton
        Of a regular expression or a JSON schema.
    vocab : mapping
        Token id to the bytes it stands for.
    end_id : int
        The token that ends a text. It is allowed exactly where the text is complete.
    leave_out : collection of int
        Tokens that are no text, such as special ones.
    beforehand : bool
        Whether all states are worked out at once, for a language that is used often. Else each
        state is when a text comes to it, which is quicker for a language that is used once. Then
        the distance is counted in bytes: never too few where every byte is a token, but more
        than is needed.

    Attributes
    ----------
    distance : ndarray
        ``(S,)`` integers, the end token not counted.

    Raises
    ------
    ValueError
        The tokens cannot write any text of the language, or there are too many of them for so
        many states.

    Examples
    --------
    >>> from llmlib.generation import compile_regex, generate
    >>> vocab = {i: bytes([i]) for i in range(256)}
    >>> constraint = TokenConstraint(compile_regex("(yes|no)!{1,3}"), vocab, end_id=256)
    >>> constraint.text_bound
    3
    >>> def silly(ids):  # wants nothing but exclamation marks
    ...     return torch.nn.functional.one_hot(torch.full_like(ids, 33), 257).float() * 50
    >>> ids = generate(
    ...     silly, torch.tensor([[65]]), max_new_tokens=5, temperature=0, constraint=constraint
    ... )
    >>> bytes(ids[0, 1:].tolist())
    b'no!!!'
    """

    def __init__(
        self,
        automaton: Automaton,
        vocab: Mapping[int, bytes],
        *,
        end_id: int,
        leave_out: Collection[int] = (),
        beforehand: bool = True,
    ) -> None:
        self.automaton, self.end_id = automaton, end_id
        self.vocab_size = max([*vocab, end_id]) + 1
        out = {*leave_out, end_id}
        pieces = {i: piece for i, piece in vocab.items() if piece and i not in out}
        self._pieces = _Pieces(pieces, self.vocab_size)
        self._rows: dict[int, np.ndarray] = {}
        if beforehand:
            if len(automaton) * self.vocab_size > _MOST_ENTRIES:
                raise ValueError(
                    f"{len(automaton)} states by {self.vocab_size} tokens are too many for a "
                    "table: allow fewer repetitions, or say beforehand=False"
                )
            table = self._pieces.read(automaton, np.arange(len(automaton)))
            self._rows = dict(enumerate(table))
            self.distance = steps_to_end(table, automaton.accepting)
        else:
            if len({piece for piece in pieces.values() if len(piece) == 1}) < 256:
                raise ValueError(
                    "beforehand=False needs a vocabulary in which each byte is a token"
                )
            self.distance = steps_to_end(automaton.table, automaton.accepting)
        if self.distance[automaton.start] == FAR:
            raise ValueError("no text of the language can be written with these tokens")

    def next_state(self, state: int) -> np.ndarray:
        """The state after each token: ``(V,)`` integers, 0 where the token is not allowed."""
        if state not in self._rows:
            self._rows[state] = self._pieces.read(self.automaton, np.array([state]))[0]
        return self._rows[state]

    @classmethod
    def for_tokenizer(
        cls, automaton: Automaton, tokenizer: Tokenizer, *, end: str, beforehand: bool = True
    ) -> TokenConstraint:
        """For a byte-level tokenizer; ``end`` is the special token that ends a text."""
        special = tokenizer.special_tokens
        return cls(
            automaton,
            tokenizer.vocab,
            end_id=special[end],
            leave_out=special.values(),
            beforehand=beforehand,
        )

    @property
    def text_bound(self) -> int:
        """Fewest tokens of a whole text, its end not counted."""
        return int(self.distance[self.automaton.start])

    def begin(self, batch: int, limit: int) -> ConstrainedTexts:
        """Start texts of at most ``limit`` tokens.

        Raises
        ------
        ValueError
            No text of the language is that short.
        """
        if limit < self.text_bound:
            raise ValueError(
                f"max_new_tokens={limit}, but the shortest text that the constraint allows has "
                f"{self.text_bound} tokens: allow at least so many"
            )
        return ConstrainedTexts(self, batch, limit)


class ConstrainedTexts:
    """Where each text of a batch stands, and what may come next.

    Parameters
    ----------
    constraint : TokenConstraint
        The language.
    batch : int
        Texts.
    remaining : int
        Tokens that may still be written.
    """

    def __init__(self, constraint: TokenConstraint, batch: int, remaining: int) -> None:
        self.constraint, self.remaining = constraint, remaining
        self.states = np.full(batch, constraint.automaton.start)

    def allowed(self) -> Tensor:
        """The tokens that may come next: boolean ``(B, V)``; at least one in each row.

        Where a text is complete, its end is allowed; once it has ended, nothing else is.
        """
        constraint = self.constraint
        after = np.stack([constraint.next_state(int(s)) for s in self.states])  # (B, V)
        allowed = constraint.distance[after] <= self.remaining - 1
        allowed[:, constraint.end_id] = constraint.automaton.accepting[self.states]
        allowed[self.states == 0] = False
        allowed[self.states == 0, constraint.end_id] = True
        return torch.from_numpy(allowed)

    def advance(self, tokens: Tensor) -> None:
        """Read the token that was chosen for each text: ``(B,)``."""
        pairs = zip(self.states.tolist(), tokens.tolist(), strict=True)
        self.states = np.array([self.constraint.next_state(s)[token] for s, token in pairs])
        self.remaining -= 1

    def confine(self, logits: Tensor) -> Tensor:
        """Logits of which only those of allowed tokens are left: ``(B, V)`` to ``(B, V)``.

        Each row is shifted so that its largest is 0. That changes no probability, and none of them
        is infinite or no number afterwards, whatever the model gives.
        """
        size = logits.shape[-1]
        allowed = self.allowed().to(logits.device)
        if size < allowed.shape[-1]:
            raise ValueError(
                f"the model gives {size} logits, but the constraint is for {allowed.shape[-1]} "
                "tokens: make it for the model's own tokenizer"
            )
        allowed = torch.nn.functional.pad(allowed, (0, size - allowed.shape[-1]))
        finite = torch.nan_to_num(logits.float(), nan=-1e30, posinf=1e30, neginf=-1e30)
        confined = finite.clamp(-1e30, 1e30).masked_fill(~allowed, -torch.inf)
        return confined - confined.amax(dim=-1, keepdim=True)


class _Pieces:
    """The bytes of all tokens, to be read all at a time.

    Tokens are sorted by length, so that the i-th step reads the i-th byte of those that have one.
    """

    def __init__(self, pieces: Mapping[int, bytes], size: int) -> None:
        self.size = size
        self.order = sorted(pieces, key=lambda i: -len(pieces[i]))
        self.lengths = np.array([len(pieces[i]) for i in self.order], dtype=np.int64)
        self.text = np.zeros((len(self.order), self.lengths.max(initial=0)), dtype=np.uint8)
        for row, i in enumerate(self.order):
            self.text[row, : self.lengths[row]] = np.frombuffer(pieces[i], dtype=np.uint8)

    def read(self, automaton: Automaton, states: np.ndarray) -> np.ndarray:
        """The state after each token from each of some states: ``(S, V)``."""
        after = np.repeat(states.astype(np.int32)[:, None], len(self.order), axis=1)
        for step in range(self.text.shape[1]):
            reads = int((self.lengths > step).sum())  # the first tokens
            after[:, :reads] = automaton.table[after[:, :reads], self.text[None, :reads, step]]
        table = np.zeros((len(states), self.size), dtype=np.int32)
        table[:, self.order] = after
        return table

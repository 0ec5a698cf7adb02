"""Special tokens: strings that are one token wherever they stand, and never part of another.

``<|endoftext|>`` between documents, ``[MASK]``, the turn marks of a chat. They are found in the
raw text before anything else happens; what lies between two of them is a *section* and is
tokenized as if it stood alone. Where several special tokens match at one place, the longest wins.

Also here: how a stream of text is cut into pieces that can be tokenized one by one, with the
same result as the whole text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import regex


class Piece(NamedTuple):
    """A part of a text: a special token, or (part of) a section between two of them."""

    text: str
    special_id: int | None
    """Id of the special token, None for ordinary text."""
    begins: bool
    """False if an earlier piece belongs to the same section."""


class SpecialTokens:
    """A table of special tokens that cuts texts at them.

    Parameters
    ----------
    ids
        Special token -> its id.
    chunk
        Characters that a stream collects before it looks for a place to cut.

    Examples
    --------
    >>> special = SpecialTokens({"<s>": 7, "<s><s>": 8})
    >>> [(piece.text, piece.special_id) for piece in special.cut("<s><s><s>hi<s>")]
    [('<s><s>', 8), ('<s>', 7), ('hi', None), ('<s>', 7)]
    """

    def __init__(self, ids: Mapping[str, int], chunk: int = 1 << 13):
        self.ids = dict(ids)
        self.chunk = chunk
        longest_first = sorted(self.ids, key=len, reverse=True)
        self._longest = len(longest_first[0]) if longest_first else 0
        self._pattern = (
            regex.compile("|".join(map(regex.escape, longest_first))) if longest_first else None
        )

    def cut(self, text: str) -> Iterator[Piece]:
        """Cut a whole text at its special tokens; empty sections are left out."""
        if self._pattern is None:
            if text:
                yield Piece(text, None, True)
            return
        end = 0
        for match in self._pattern.finditer(text):
            if match.start() > end:
                yield Piece(text[end : match.start()], None, True)
            yield Piece(match.group(), self.ids[match.group()], True)
            end = match.end()
        if end < len(text):
            yield Piece(text[end:], None, True)

    def cut_stream(self, texts: Iterable[str], boundary: regex.Pattern | None) -> Iterator[Piece]:
        """Cut the concatenation of ``texts`` without ever holding all of it.

        Parameters
        ----------
        boundary
            Where a section may be cut in two, as given by a pre-tokenizer; with None a section is
            never cut and is held as a whole.

        Notes
        -----
        At most ``chunk`` characters are held, plus the longest run of text without a boundary. When
        a chunk has no boundary the next look is taken at twice its length, so the work stays
        linear.
        """
        parts: list[str] = []
        size, look_at, begins = 0, self.chunk, True
        for text in texts:
            for start in range(0, len(text), self.chunk):
                parts.append(text[start : start + self.chunk])
                size += len(parts[-1])
                if size < look_at:
                    continue
                held = "".join(parts)
                decided = 0
                for piece in self._decided(held, boundary, begins):
                    yield piece
                    decided += len(piece.text)
                    begins = piece.special_id is not None
                parts = [held[decided:]]
                size = len(parts[0])
                look_at = max(self.chunk, 2 * size)
        for piece in self.cut("".join(parts)):
            yield piece._replace(begins=begins)
            begins = piece.special_id is not None

    def _decided(self, held: str, boundary: regex.Pattern | None, begins: bool) -> Iterator[Piece]:
        """The pieces at the start of ``held`` that no further text can change."""
        # A special token may begin at any of the last places, and be cut off.
        undecided = len(held) - max(self._longest, 1) + 1
        end = 0
        for match in self._pattern.finditer(held) if self._pattern else ():
            if match.start() >= undecided:
                break
            if match.start() > end:
                yield Piece(held[end : match.start()], None, begins)
            yield Piece(match.group(), self.ids[match.group()], True)
            begins, end = True, match.end()
        if boundary is not None and undecided > end:
            match = boundary.search(held, end, min(undecided + 1, len(held)))
            if match and match.start() > end:
                yield Piece(held[end : match.start()], None, begins)


def check_special_tokens(tokens: Sequence[str] | None) -> list[str]:
    """The special tokens as a list, or a ValueError that says what is wrong with them.

    Examples
    --------
    >>> check_special_tokens(("<|endoftext|>",))
    ['<|endoftext|>']
    """
    if isinstance(tokens, str):
        raise ValueError(f"special_tokens is the string {tokens!r}; pass a list: [{tokens!r}]")
    checked = list(tokens or ())
    for token in checked:
        if not isinstance(token, str) or not token:
            raise ValueError(f"special token {token!r} must be a string that is not empty")
        if checked.count(token) > 1:
            raise ValueError(f"special token {token!r} is listed twice; list each once")
    return checked


def invert_vocab(vocab: Mapping[int, str]) -> dict[str, int]:
    """Token -> id; a ValueError if a token has two ids."""
    ids: dict[str, int] = {}
    for i, token in vocab.items():
        if token in ids:
            raise ValueError(
                f"ids {ids[token]} and {i} both stand for {token!r}; "
                "keep one of them in the vocabulary"
            )
        ids[token] = i
    return ids


def add_special_tokens(vocab: dict[int, str], special_tokens: Sequence[str]) -> dict[str, int]:
    """Special token -> id; those that ``vocab`` lacks are added to it."""
    ids = {token: i for i, token in vocab.items()}
    special = {}
    for token in check_special_tokens(special_tokens):
        if token not in ids:
            ids[token] = max(vocab, default=-1) + 1
            vocab[ids[token]] = token
        special[token] = ids[token]
    return special

"""What is searched and what is found: documents, chunks of them, hits.

A chunk never forgets where it stands: ``chunk.text == document.text[chunk.start:chunk.end]``. So an
answer can point into its source, and a test can prove that no splitter lost or changed a letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Chunk", "Document", "Hit", "as_chunks", "matches"]


@dataclass(frozen=True)
class Document:
    """A text and where it comes from.

    Parameters
    ----------
    text : str
        All of it.
    source : str
        A name that leads back to it: a path, a title, an address.
    metadata : mapping
        Facts about the whole document, handed on to its chunks (``{"kind": "village"}``).
    page_starts : sequence of int
        Where each page begins in ``text``, for formats that have pages.
    """

    text: str
    source: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    page_starts: Sequence[int] = field(default=(), hash=False)


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, with its span.

    Parameters
    ----------
    text : str
        ``document.text[start:end]``.
    source : str
        That of the document.
    start, end : int
        The span, in characters.
    metadata : mapping
        What filters look at. It does not take part in equality.

    Examples
    --------
    >>> text = "The mill is green. Lunika built it."
    >>> chunk = Chunk(text[19:], "mill.txt", 19, 35)
    >>> chunk.text == text[chunk.start : chunk.end]
    True
    """

    text: str
    source: str = ""
    start: int = 0
    end: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Hit:
    """A chunk that was found, and its score: the higher, the better.

    Scores of two kinds of index have nothing to do with each other; ranks can be compared.
    """

    chunk: Any
    score: float

    @property
    def text(self) -> str:
        """The text of the chunk."""
        return self.chunk.text


def as_chunks(texts: Iterable[str | Document | Chunk]) -> list[Chunk]:
    """Chunks as they are; a string or a document becomes a chunk that is all of it.

    Examples
    --------
    >>> [chunk.source for chunk in as_chunks(["one text", Document("another", "b.txt")])]
    ['0', 'b.txt']
    """
    chunks = []
    for number, item in enumerate(texts):
        match item:
            case Chunk():
                chunks.append(item)
            case Document():
                chunks.append(Chunk(item.text, item.source, 0, len(item.text), item.metadata))
            case str():
                chunks.append(Chunk(item, str(number), 0, len(item)))
            case _:
                raise TypeError(
                    f"text {number} is a {type(item).__name__}: give strings, documents or chunks"
                )
    return chunks


def matches(chunk: Chunk, where: Mapping[str, str] | None) -> bool:
    """Whether the metadata of a chunk have all these values.

    Examples
    --------
    >>> chunk = Chunk("...", metadata={"kind": "river", "split": "test"})
    >>> matches(chunk, {"kind": "river"}), matches(chunk, {"kind": "village"}), matches(chunk, None)
    (True, False, True)
    """
    return all(chunk.metadata.get(key) == value for key, value in (where or {}).items())

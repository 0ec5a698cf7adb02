"""Splitting documents into chunks that can be found and read one by one.

==========================  ====================================================================
:func:`split_fixed`         every ``size`` characters, wherever that cuts
:func:`split_sentences`     as many whole sentences as fit
:func:`split_text`          recursive: at paragraphs; where one is too long, at lines, then at
                            sentences, then at words, then anywhere
:func:`split_headings`      a section under its heading; recursive inside a long one
==========================  ====================================================================

All count characters, and all take a string or a :class:`~llmlib.retrieval.Document` and give
chunks with ``chunk.text == text[chunk.start:chunk.end]``. With ``overlap`` a chunk begins with the
end of the one before it, so that what a cut tears apart stands together in one of the two.

**Differs from LangChain's** ``RecursiveCharacterTextSplitter`` only in that spans are kept; with
the same separators :func:`split_text` cuts at the same places.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from llmlib.retrieval.passages import Chunk, Document

__all__ = ["SEPARATORS", "split_fixed", "split_headings", "split_sentences", "split_text"]

#: From the strongest border to none at all.
SEPARATORS = ("\n\n", "\n", ". ", " ", "")

# An end mark, closing quotes or brackets, white space; Chinese marks need no space behind them.
SENTENCE_END = re.compile(
    "(?:[.!?][\"')\\]\u201d\u2019]*\\s+|[\u3002\uff01\uff1f]\u201d?\\s*|\\n\\s*\\n)"
)
# "## Title", or a title with a line of one mark below it, at least as long as three.
HEADING = re.compile(
    r"^(?P<hashes>#{1,6})[ \t]+(?P<after>[^\n]+?)[ \t]*#*[ \t]*$"
    r"|^(?P<over>[^\s#>*+\-`][^\n]*)\n(?P<line>=|\*|-|~|\^)(?P=line){2,}[ \t]*$",
    re.MULTILINE,
)
FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)

Span = tuple[int, int]


def split_fixed(text: str | Document, size: int = 400, overlap: int = 0) -> list[Chunk]:
    """Windows of ``size`` characters, each beginning ``size - overlap`` after the last.

    Parameters
    ----------
    text : str or Document
        What to split.
    size : int
        Characters of a chunk, at most.
    overlap : int
        Characters that two neighbours share; less than ``size``.

    Raises
    ------
    ValueError
        ``size`` is below 1, or ``overlap`` is not from 0 to ``size - 1``.

    Examples
    --------
    >>> [chunk.text for chunk in split_fixed("abcdefgh", size=4, overlap=1)]
    ['abcd', 'defg', 'gh']
    """
    document = _document(text)
    _check(size, overlap)
    length, step = len(document.text), size - overlap
    last = max(length - overlap, 1)  # a window that only repeats an overlap says nothing new
    spans = [(start, min(start + size, length)) for start in range(0, last, step)]
    return _chunks(document, spans)


def split_sentences(text: str | Document, size: int = 400, overlap: int = 0) -> list[Chunk]:
    """As many whole sentences as fit into ``size`` characters.

    Parameters
    ----------
    text, size
        As for :func:`split_fixed`.
    overlap : int
        At most so many characters at the end of a chunk, in whole sentences, are repeated.

    Notes
    -----
    A sentence longer than ``size`` is a chunk of its own, uncut. An abbreviation with a full stop
    counts as an end.

    Examples
    --------
    >>> text = "It rains. The mill stands still. Nobody works."
    >>> [chunk.text for chunk in split_sentences(text, size=33)]
    ['It rains. The mill stands still.', 'Nobody works.']
    """
    document = _document(text)
    _check(size, overlap)
    ends = [match.end() for match in SENTENCE_END.finditer(document.text)]
    pieces = _between([0, *ends, len(document.text)])
    return _chunks(document, _merge(pieces, size, overlap))


def split_text(
    text: str | Document,
    size: int = 400,
    overlap: int = 0,
    *,
    separators: Sequence[str] = SEPARATORS,
) -> list[Chunk]:
    r"""Split at the strongest border that makes pieces fit, then join what fits together.

    Parameters
    ----------
    text, size
        As for :func:`split_fixed`.
    overlap : int
        At most so many characters of a chunk, in whole pieces, are repeated in the next.
    separators : sequence of str
        Borders, the strongest first; ``""`` means between any two characters. Without it a
        piece may stay longer than ``size``.

    Examples
    --------
    >>> text = "One. Two three.\n\nFour five six seven eight."
    >>> [chunk.text for chunk in split_text(text, size=16)]
    ['One. Two three.', 'Four five six', 'seven eight.']
    """
    document = _document(text)
    _check(size, overlap)
    spans = _recursive(document.text, (0, len(document.text)), size, overlap, separators)
    return _chunks(document, spans)


def split_headings(text: str | Document, size: int = 1000, overlap: int = 0) -> list[Chunk]:
    """A chunk for every section: its heading and what stands below it.

    Headings are those of Markdown (``## Title``) and lines with a line of ``*``, ``=``, ``-``,
    ``~`` or ``^`` below them. What comes before the first heading is a section too.

    Parameters
    ----------
    text, overlap
        As for :func:`split_text`.
    size : int
        A longer section is split by :func:`split_text`.

    Returns
    -------
    list of Chunk
        ``metadata["heading"]`` is the heading, ``metadata["path"]`` all headings above it and
        itself, joined by ``" > "``.

    Examples
    --------
    >>> chunk, = split_headings("# Island\\n\\n## Tarobe\\n\\nA village on a river.")
    >>> chunk.metadata["path"], chunk.text
    ('Island > Tarobe', '## Tarobe\\n\\nA village on a river.')
    """
    document = _document(text)
    _check(size, overlap)
    chunks = []
    for start, body, end, path in _sections(document.text):
        if document.text[body:end].strip():
            spans = [_strip(document.text, (start, end))]
            if spans[0][1] - spans[0][0] > size:
                spans = _recursive(document.text, (start, end), size, overlap, SEPARATORS)
            heading = {"heading": path[-1], "path": " > ".join(path)} if path else {}
            chunks += _chunks(document, spans, heading)
    return chunks


def _document(text: str | Document) -> Document:
    return text if isinstance(text, Document) else Document(text)


def _check(size: int, overlap: int) -> None:
    if size < 1:
        raise ValueError(f"size={size}: a chunk has at least 1 character")
    if not 0 <= overlap < size:
        raise ValueError(
            f"size={size}, overlap={overlap}: an overlap is at least 0 and less than the size"
        )


def _between(cuts: Iterable[int]) -> list[Span]:
    """Spans between neighbouring cuts, without the empty ones."""
    ordered = sorted(set(cuts))
    return list(itertools.pairwise(ordered))


def _recursive(
    text: str, span: Span, size: int, overlap: int, separators: Sequence[str]
) -> list[Span]:
    """Spans of chunks: split at the first separator found, join neighbours, go into long pieces."""
    separator, weaker = "", ()
    for number, candidate in enumerate(separators):
        if candidate == "" or text.find(candidate, *span) >= 0:
            separator, weaker = candidate, separators[number + 1 :]
            break
    else:
        return [span]
    found: list[Span] = []
    fitting: list[Span] = []
    for piece in _pieces(text, span, separator):
        if piece[1] - piece[0] < size:
            fitting.append(piece)
            continue
        found += _merge(fitting, size, overlap)
        fitting = []
        found += _recursive(text, piece, size, overlap, weaker) if weaker else [piece]
    return found + _merge(fitting, size, overlap)


def _pieces(text: str, span: Span, separator: str) -> list[Span]:
    """Cut before every separator, so that each piece but the first begins with one."""
    start, end = span
    if separator == "":
        return [(place, place + 1) for place in range(start, end)]
    cuts, place = [], text.find(separator, start, end)
    while place >= 0:
        cuts.append(place)
        place = text.find(separator, place + len(separator), end)
    return _between([start, *cuts, end])


def _merge(pieces: Sequence[Span], size: int, overlap: int) -> list[Span]:
    """Join neighbouring pieces while they fit; begin anew with the last of them, up to overlap."""
    merged: list[Span] = []
    window: list[Span] = []
    for piece in pieces:
        if window and piece[1] - window[0][0] > size:
            merged.append((window[0][0], window[-1][1]))
            while window and (
                window[-1][1] - window[0][0] > overlap or piece[1] - window[0][0] > size
            ):
                window.pop(0)
        window.append(piece)
    return [*merged, (window[0][0], window[-1][1])] if window else merged


def _sections(text: str) -> Iterator[tuple[int, int, int, tuple[str, ...]]]:
    """Start, end of the heading, end of the section, and the headings above with its own."""
    fences = [match.span() for match in FENCE.finditer(text)]
    headings = [
        match
        for match in HEADING.finditer(text)
        if not any(start <= match.start() < end for start, end in fences)
    ]
    first = headings[0].start() if headings else len(text)
    yield 0, 0, first, ()
    marks: list[str] = []  # kinds of line below a title, in the order in which they appear
    path: list[tuple[int, str]] = []
    for number, match in enumerate(headings, start=1):
        end = headings[number].start() if number < len(headings) else len(text)
        if match["hashes"]:
            level, title = len(match["hashes"]), match["after"]
        else:
            if match["line"] not in marks:
                marks.append(match["line"])
            level, title = 1 + marks.index(match["line"]), match["over"].strip()
        path = [(above, name) for above, name in path if above < level] + [(level, title)]
        yield match.start(), match.end(), end, tuple(name for _, name in path)


def _strip(text: str, span: Span) -> Span:
    """The span without white space at its ends."""
    start, end = span
    piece = text[start:end]
    return end - len(piece.lstrip()), start + len(piece.rstrip())


def _chunks(
    document: Document, spans: Iterable[Span], extra: dict[str, str] | None = None
) -> list[Chunk]:
    chunks = []
    for span in spans:
        start, end = _strip(document.text, span)
        if start < end:
            metadata = {**document.metadata, **(extra or {})}
            if document.page_starts:
                metadata["page"] = str(bisect.bisect_right(document.page_starts, start))
            chunks.append(Chunk(document.text[start:end], document.source, start, end, metadata))
    return chunks

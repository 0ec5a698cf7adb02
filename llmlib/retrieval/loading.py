"""Files into documents: text, Markdown, HTML, PDF and Word.

==================  =========================  =====================================================
ending              read by                    what is kept
==================  =========================  =====================================================
``.txt .rst .md``   Python                     all of it
``.html .htm``      beautifulsoup4             headings as ``#`` lines, paragraphs, lists, tables,
                                               code; no scripts, styles, navigation
``.pdf``            pypdf                      the text of each page, and where pages begin
``.docx``           python-docx                headings as ``#`` lines, paragraphs, lists, tables
==================  =========================  =====================================================

The last three need the extra ``retrieval``. Headings become those of Markdown, so that
:func:`~llmlib.retrieval.split_headings` finds them whatever the file was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmlib.retrieval.databases import optional
from llmlib.retrieval.passages import Document

__all__ = ["LOADERS", "load_document", "load_folder", "read_html"]


def load_document(path: str | Path) -> Document:
    """Read one file.

    Parameters
    ----------
    path : str or Path
        Its ending says what it is.

    Returns
    -------
    Document
        ``source`` is the path as it was given; ``metadata["format"]`` is the ending.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The ending is unknown, or a PDF has no text (a scan).
    ImportError
        The extra ``retrieval`` is missing.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "mill.md"
    ...     _ = file.write_text("# The mill\\n\\nIt is green.")
    ...     document = load_document(file)
    >>> document.text.split()
    ['#', 'The', 'mill', 'It', 'is', 'green.']
    """
    path = Path(path)
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise ValueError(
            f"{path.name} ends in {path.suffix or 'nothing'!r}: "
            f"there are loaders for {', '.join(sorted(LOADERS))}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: check the path")
    text, starts = loader(path)
    metadata = {"format": path.suffix.lower().removeprefix(".")}
    return Document(text, str(path), metadata, starts)


def load_folder(path: str | Path, pattern: str = "**/*") -> list[Document]:
    """Read all files of a folder that have a loader, in the order of their names.

    Parameters
    ----------
    path : str or Path
        The folder.
    pattern : str
        Which files, as for :meth:`pathlib.Path.glob`.

    Returns
    -------
    list of Document
        ``source`` is the path inside the folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}: check the path")
    documents = []
    for file in sorted(root.glob(pattern)):
        if file.is_file() and file.suffix.lower() in LOADERS:
            read = load_document(file)
            name = file.relative_to(root).as_posix()
            documents.append(Document(read.text, name, read.metadata, read.page_starts))
    return documents


Loaded = tuple[str, tuple[int, ...]]


def _plain(path: Path) -> Loaded:
    return path.read_text(encoding="utf-8-sig"), ()


def _html(path: Path) -> Loaded:
    return read_html(path.read_text(encoding="utf-8-sig")), ()


LEFT_OUT = ["script", "style", "noscript", "template", "nav", "header", "footer", "aside", "head"]
BLOCKS = ["h1", "h2", "h3", "h4", "h5", "h6", "p", "li", "pre", "tr", "blockquote", "dt", "dd"]


def read_html(source: str) -> str:
    """The text of an HTML page, headings as Markdown's, a blank line between blocks.

    Parameters
    ----------
    source : str
        The page.

    Examples
    --------
    >>> import pytest; _ = pytest.importorskip("bs4")
    >>> read_html("<h2>Mill</h2><p>It is <b>green</b>.</p><script>no()</script>")
    '## Mill\\n\\nIt is green.'
    """
    soup = optional("bs4", "beautifulsoup4", "reading HTML").BeautifulSoup(source, "html.parser")
    for tag in soup(LEFT_OUT):
        tag.decompose()
    for line_break in soup("br"):
        line_break.replace_with("\n")
    for block in soup(BLOCKS):
        inside = [tag.extract() for tag in block(BLOCKS)]  # a list in a list: after its owner
        text = _html_block(block)
        for tag in reversed(inside):
            block.insert_after(tag)
        block.insert_before(f"\n\n{text}\n\n")
        block.clear()
    return re.sub(r"\n{3,}", "\n\n", _tidy_lines(soup.get_text())).strip()


def _html_block(block: Any) -> str:
    if block.name == "pre":
        return f"```\n{block.get_text().strip()}\n```"
    if block.name == "tr":
        cells = block(["td", "th"])
        return " | ".join(" ".join(cell.get_text().split()) for cell in cells)
    text = " ".join(block.get_text().split())
    if block.name[0] == "h" and text:
        return f"{'#' * int(block.name[1])} {text}"
    return f"- {text}" if block.name == "li" and text else text


def _tidy_lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())


def _pdf(path: Path) -> Loaded:
    pages = optional("pypdf", "pypdf", "reading PDF").PdfReader(path).pages
    texts = [page.extract_text().strip() for page in pages]
    if not any(texts):
        raise ValueError(
            f"{path.name} has {len(texts)} pages and no text: it may be a scan; run character "
            "recognition on it first"
        )
    starts, place = [], 0
    for text in texts:
        starts.append(place)
        place += len(text) + 2
    return "\n\n".join(texts), tuple(starts)


def _word(path: Path) -> Loaded:
    docx = optional("docx", "python-docx", "reading Word")
    blocks = []
    for item in docx.Document(str(path)).iter_inner_content():
        if isinstance(item, docx.text.paragraph.Paragraph):
            blocks.append(_word_paragraph(item))
        else:
            rows = [[cell.text.strip() for cell in row.cells] for row in item.rows]
            blocks += [" | ".join(row) for row in rows]
    return "\n\n".join(block for block in blocks if block), ()


def _word_paragraph(paragraph: Any) -> str:
    text, style = paragraph.text.strip(), paragraph.style.name or ""
    if not text:
        return ""
    if style == "Title":
        return f"# {text}"
    if heading := re.fullmatch(r"Heading ([1-9])", style):
        return f"{'#' * min(int(heading[1]), 6)} {text}"
    return f"- {text}" if style.startswith("List") else text


#: Ending of a file -> what reads it.
LOADERS: dict[str, Callable[[Path], Loaded]] = {
    ".txt": _plain,
    ".rst": _plain,
    ".md": _plain,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _word,
}

"""Lay out a new chapter: a notebook with every section of the anatomy, and its place in _toc.yml.

python -m tools.new_chapter PART=04_attention NAME=03_positions
"""

from __future__ import annotations

import re
import sys

import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.anatomy import SECTIONS, TO_WRITE, badge, setup_cell
from tools.book_files import Book, BookError, notebook_text, toc_files

USAGE = "usage: make new-chapter PART=04_attention NAME=03_positions"
NUMBERED = re.compile(r"\d\d_[a-z][a-z0-9]*(_[a-z0-9]+)*")


def main(arguments: list[str] | None = None, book: Book | None = None) -> int:
    book = book or Book()
    try:
        part, chapter = _names(sys.argv[1:] if arguments is None else arguments)
        _free(book, part, chapter)
        name = f"notebooks/{part}/{chapter}.ipynb"
        contents = with_chapter((book.root / "_toc.yml").read_text(encoding="utf-8"), part, chapter)
        path = book.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(notebook_text(layout(book, name)), encoding="utf-8")
        (book.root / "_toc.yml").write_text(contents, encoding="utf-8")
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{name} is laid out and stands in _toc.yml. Still yours:")
    print(f"  - the text wherever {TO_WRITE} stands")
    print("  - a figure that moves (llmlib.viz.show)")
    print(f"  - four to six exercises, declared in llmlib/checks/{part[3:]}.py")
    print(f"Then run and store it: make notebooks NB={name}")
    print(f"What is left to do:    python -m tools.notebooks --check {part}/{chapter}")
    return 0


def _names(arguments: list[str]) -> tuple[str, str]:
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    if len(given) != len(arguments) or set(given) != {"PART", "NAME"} or not all(given.values()):
        raise BookError(f"name the part and the chapter; {USAGE}")
    for key, value in given.items():
        if not NUMBERED.fullmatch(value):
            raise BookError(
                f"{key}={value}: two digits, then lower-case words, joined by underscores; {USAGE}"
            )
    return given["PART"], given["NAME"]


def _free(book: Book, part: str, chapter: str) -> None:
    """Refuse a chapter, or a number, that is taken: numbers in the book come from file names."""
    for path in book.notebooks():
        folder, stem = path.parent.name, path.stem
        if folder != part and folder[:2] == part[:2]:
            raise BookError(f"part {part[:2]} is called {folder}: use PART={folder}")
        if folder == part and stem[:2] == chapter[:2]:
            raise BookError(f"{book.name(path)} is there already: choose another number")


def layout(book: Book, name: str):
    """The notebook of a chapter that is still to be written."""
    title = name.rsplit("/", 1)[-1].removesuffix(".ipynb")[3:].replace("_", " ").capitalize()
    opening = f"""\
# {title}

{TO_WRITE} one sentence that says what the reader will be able to do.

{badge(book.colab_url(name))}

{TO_WRITE} minutes to read · seconds to run on 2 CPU cores · memory · no downloads · needs what"""
    cells = []
    for identifier, content in SECTIONS.items():
        if identifier == "title":
            cells.append(new_markdown_cell(opening, id=identifier))
        elif identifier == "setup":
            wanted = setup_cell(book.config["repository"]["url"])
            cells.append(new_code_cell(wanted, id=identifier))
        else:
            heading = identifier.replace("-", " ").capitalize()
            text = f"## {heading}\n\n{TO_WRITE} {content}."
            cells.append(new_markdown_cell(text, id=identifier))
    return new_notebook(cells=cells)


def with_chapter(contents: str, part: str, chapter: str) -> str:
    """The text of `_toc.yml` with one more chapter; everything else stays as it is written.

    Examples
    --------
    >>> contents = "parts:\\n  - chapters:\\n      - file: notebooks/04_attention/01_first\\n"
    >>> print(with_chapter(contents, "04_attention", "02_second"))
    parts:
      - chapters:
          - file: notebooks/04_attention/01_first
          - file: notebooks/04_attention/02_second
    <BLANKLINE>
    """
    new = f"notebooks/{part}/{chapter}"
    lines = contents.splitlines()
    entries = [
        (number, found[1], found[2])
        for number, line in enumerate(lines)
        if (found := re.match(r"(\s*)- file:\s*(notebooks/\S+)", line))
    ]
    before = [entry for entry in entries if entry[2] < new]
    same_part = [entry for entry in entries if entry[2].startswith(f"notebooks/{part}/")]
    if same_part:
        at = before[-1][0] + 1 if before and before[-1] in same_part else same_part[0][0]
        block = [f"{same_part[0][1]}- file: {new}"]
    else:
        at = before[-1][0] + 1 if before else _first_part(lines, entries)
        block = [
            f"  - caption: {part[:2]} {part[3:].replace('_', ' ').capitalize()}",
            "    numbered: 2",
            "    chapters:",
            f"      - file: {new}",
        ]
    text = "\n".join([*lines[:at], *block, *lines[at:]]) + "\n"
    _check(text, new)
    return text


def _first_part(lines: list[str], entries: list[tuple[int, str, str]]) -> int:
    """The line where the first part with notebooks begins; the end of the file if there is none."""
    if not entries:
        return len(lines)
    above = range(entries[0][0], -1, -1)
    return next((n for n in above if re.match(r"\s*- caption:", lines[n])), len(lines))


def _check(text: str, new: str) -> None:
    try:
        files = set(toc_files(yaml.safe_load(text)))
    except yaml.YAMLError:
        files = set()
    if new not in files:
        raise BookError(f"_toc.yml has a form that this tool does not know: add {new} by hand")


if __name__ == "__main__":
    sys.exit(main())

"""A notebook as it is stored, and what its cells hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tools.book_files import Book, read_json

IGNORE = "nbval-ignore-output"
PLOTLY = "application/vnd.plotly.v1+json"


@dataclass(frozen=True)
class Chapter:
    """A notebook as it is stored, in the book to which it belongs."""

    path: Path
    book: Book

    @property
    def name(self) -> str:
        return self.book.name(self.path)

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def stored(self) -> dict:
        """The JSON in the file, before nbformat fills in what is missing."""
        return read_json(self.path, self.name)

    @cached_property
    def cells(self) -> list[dict]:
        return self.stored["cells"]

    @property
    def code(self) -> list[dict]:
        return [cell for cell in self.cells if cell["cell_type"] == "code"]

    @property
    def markdown(self) -> list[dict]:
        return [cell for cell in self.cells if cell["cell_type"] == "markdown"]

    def cell(self, identifier: str) -> dict | None:
        return next((cell for cell in self.cells if cell.get("id") == identifier), None)


def text(value: str | list[str]) -> str:
    """A source or an output, which notebooks store as one string or as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def source(cell: dict) -> str:
    return text(cell["source"])


def prose(cell: dict) -> str:
    """A Markdown cell without its code blocks and code spans (roles such as {cite:p}`…` stay)."""
    plain = re.sub(r"^( *)(```+|~~~+)(?!\{).*?^\1\2", "", source(cell), flags=re.M | re.S)
    return re.sub(r"(?<![}`])`[^`\n]+`", "", plain)


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def where(cell: dict) -> str:
    return f"cell `{cell.get('id', '?')}`"


def printed(cell: dict) -> Iterator[str]:
    """The texts among a cell's outputs."""
    for output in cell.get("outputs", []):
        if "text" in output:
            yield text(output["text"])
        for kind, data in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield text(data)


def pictures(cell: dict) -> Iterator[str]:
    """The pictures among a cell's outputs, as stored."""
    for output in cell.get("outputs", []):
        for kind, data in output.get("data", {}).items():
            if kind.startswith("image/"):
                yield text(data)


def section_headings(cell: dict) -> list[str]:
    """The headings of a Markdown cell, each with its number signs."""
    return re.findall(r"^#{1,6} .*$", prose(cell), re.MULTILINE)


def moving_figures(cell: dict) -> Iterator[dict]:
    """The Plotly figures among a cell's outputs."""
    for output in cell["outputs"]:
        if PLOTLY in output.get("data", {}):
            yield output["data"][PLOTLY]


def moves(figure: dict) -> bool:
    """Whether a Plotly figure has frames and a slider or a menu that walks through them."""
    layout = figure.get("layout", {})
    controls = layout.get("sliders") or layout.get("updatemenus")
    return bool(controls) and len(figure.get("frames", [])) > 1

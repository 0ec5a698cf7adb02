"""A small book in a folder of its own, with one chapter that keeps every rule."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tools.anatomy import TO_WRITE
from tools.book_files import COSTS, Book, notebook_text
from tools.new_chapter import layout

NAME = "notebooks/04_attention/01_first.ipynb"
PICTURE = "iVBORw0KGgo="
MOVING = {
    "data": [{"y": [0.5, 1.0]}],
    "layout": {"sliders": [{}], "meta": {"alt": "Two bars, the second one grows."}},
    "frames": [{"name": "1"}, {"name": "2"}],
}
BOOK = {
    "_config.yml": """\
repository:
  url: https://github.com/someone/vectors
  branch: main
bibtex_bibfiles: [book/references.bib]
""",
    "_toc.yml": """\
format: jb-book
root: book/intro
parts:
  - caption: 04 Attention   # the comment stays
    numbered: 2
    chapters:
      - file: notebooks/04_attention/01_first
  - caption: Reference
    chapters:
      - file: book/glossary
""",
    "book/references.bib": "@article{vaswani2017attention,\n  title = {Attention},\n}\n",
    "book/assets/colab-badge.svg": "<svg/>",
    "book/assets/drawing.svg": "<svg/>",
    COSTS: json.dumps({NAME: {"wall_s": 1.0, "cpu_s": 1.0, "peak_mb": 100}}),
}


@dataclass
class Draft:
    """The chapter as a notebook in memory; change its cells, then `save`."""

    book: Book
    notebook: dict = field(repr=False)
    name: str = NAME

    @property
    def path(self) -> Path:
        return self.book.root / self.name

    def cell(self, identifier):
        return next(cell for cell in self.notebook.cells if cell.id == identifier)

    def insert(self, after, cell):
        self.notebook.cells.insert(self.notebook.cells.index(self.cell(after)) + 1, cell)

    def number(self):
        """Execution counts as after a run."""
        code = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
        for count, cell in enumerate(code, start=1):
            cell.execution_count = count

    def save(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(notebook_text(self.notebook), encoding="utf-8")
        return self.path


@pytest.fixture
def book(tmp_path):
    for name, content in BOOK.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "notebooks").mkdir()
    return Book(tmp_path)


@pytest.fixture
def draft(book):
    """A chapter that keeps every rule."""
    made = Draft(book, layout(book, NAME))
    for cell in made.notebook.cells:
        cell.source = cell.source.replace(TO_WRITE, "Written:")
    figures = [
        new_output("display_data", data={"application/vnd.plotly.v1+json": MOVING}),
        new_output("display_data", data={"image/png": PICTURE}),
        new_output("stream", name="stdout", text="loss 2.5\n"),
    ]
    alt = {"mystnb": {"image": {"alt": "A falling curve."}}}
    made.insert("experiment", new_code_cell("show()", id="run", outputs=figures, metadata=alt))
    made.insert(
        "question",
        new_markdown_cell(
            "### A detail\n\nSee {cite:p}`vaswani2017attention`.\n\n"
            "![A drawing](../../book/assets/drawing.svg)",
            id="drawing",
        ),
    )
    for number in range(4):
        stub, call = f"ex-{number}", f'check("attention.q{number}", answer)'
        hidden = {"tags": ["solution", "hide-cell"]}
        made.insert("exercises", new_code_cell(call, id=f"{stub}-solution", metadata=hidden))
        made.insert("exercises", new_code_cell(call, id=stub, metadata={"tags": ["exercise"]}))
    made.number()
    made.save()
    return made

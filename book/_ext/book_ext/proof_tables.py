"""`{parity-table}`, `{notebook-costs}` and `{speed-table}`: measurements as tables.

Tests, `make notebooks` and `make bench` write them to files. A table is made from its file when the
site is built. Where the file is not there, the page says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from .path import ChapterReference

DATA = Path("book") / "data"
BENCHMARKS = Path("benchmarks") / "results"
USUAL_TOLERANCE = "default of assert_close"  # the page says so once, above the table


def _table(columns: list[str], rows: list[list[nodes.Node]], kind: str) -> nodes.table:
    """A table from cells; the style sheet sets the widths of its columns."""
    group = nodes.tgroup(cols=len(columns))
    group += [nodes.colspec(colwidth=1) for _ in columns]
    head, body = nodes.thead(), nodes.tbody()
    head += _row([nodes.Text(name) for name in columns])
    body += [_row(cells) for cells in rows]
    group += [head, body]
    return nodes.table("", group, classes=[kind])


def _row(cells: list[nodes.Node]) -> nodes.row:
    row = nodes.row()
    row += [nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells]
    return row


class _DataTable(Directive):
    """Read `file` and hand its content to `render`."""

    file: Path
    command: str

    def render(self, data) -> nodes.Node:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        env.note_dependency(str(self.file))
        path = Path(env.srcdir) / self.file
        if not path.exists():
            sentence = nodes.paragraph("", "", classes=["not-measured"])
            sentence += nodes.Text("The numbers are not in this build: ")
            sentence += nodes.literal("", self.command)
            sentence += nodes.Text(" measures them, and the next build shows them here.")
            return [sentence]
        return [self.render(json.loads(path.read_text(encoding="utf-8")))]


class ParityTable(_DataTable):
    """What you built equals what people use: a row for each component and peer."""

    file = DATA / "parity.json"
    command = "make test"

    def render(self, data) -> nodes.Node:
        columns = ["What you build", "What people use", "Compared", "Cases"]
        rows = []
        for row in data:
            compared = row["compared"]
            if row["tolerance"] != USUAL_TOLERANCE:
                compared += f"; {row['tolerance']}"
            cells = [row["component"], row["peer"], compared, str(row["cases"])]
            rows.append([nodes.Text(cell) for cell in cells])
        return _table(columns, rows, "parity")


class NotebookCosts(_DataTable):
    """Wall time, CPU time and peak memory of every chapter."""

    file = DATA / "notebook_costs.json"
    command = "make notebooks"

    def render(self, data) -> nodes.Node:
        columns = ["Chapter", "Wall time", "CPU time", "Memory"]
        rows = []
        for name, cost in sorted(data.items()):
            numbers = [f"{cost['wall_s']:g} s", f"{cost['cpu_s']:g} s", f"{cost['peak_mb']:g} MB"]
            chapter = ChapterReference(docname=name.removesuffix(".ipynb"))
            rows.append([chapter, *map(nodes.Text, numbers)])
        return _table(columns, rows, "costs")


def _bar(share: float) -> nodes.raw:
    """A bar of `share` of the width of its cell, for the eye; the number stands beside it."""
    style = f"--share: {100 * share:.0f}%"
    return nodes.raw(
        "", f'<span class="bar" aria-hidden="true" style="{style}"></span>', format="html"
    )


def _steps(data) -> tuple[list[str], list[list[nodes.Node]]]:
    """Training steps: the fastest has the shortest bar."""
    columns = ["Model", "Training step", "Speed", "Time", "Of the matmul peak"]
    rows = []
    for name, model in data["models"].items():
        seconds = model["seconds"]
        for step, taken in seconds.items():
            cells = [
                nodes.Text(name),
                nodes.Text(step),
                nodes.Text(f"{seconds['transformers'] / taken:.2f}\u00d7"),
                nodes.Text(f"{1000 * taken:.0f} ms"),
                nodes.Text(f"{model['share_of_peak'][step]:.0%}"),
            ]
            rows.append((cells, taken / max(seconds.values())))
    return columns, [_with_bar(cells, 3, share) for cells, share in rows]


def _writing(data) -> tuple[list[str], list[list[nodes.Node]]]:
    """Tokens per second: the fastest has the longest bar."""
    columns = ["Model", "Written by", "Speed", "Tokens per second"]
    rows = []
    for model in data["models"]:
        speeds = model["tokens_per_second"]
        for way, speed in speeds.items():
            cells = [
                nodes.Text(f"{model['model']}, {model['parameters'] / 1e6:.1f} M parameters"),
                nodes.Text(way),
                nodes.Text(f"{speed / speeds['transformers']:.2f}\u00d7"),
                nodes.Text(f"{speed}"),
            ]
            rows.append(_with_bar(cells, 3, speed / max(speeds.values())))
    return columns, rows


def _tokenizing(data) -> tuple[list[str], list[list[nodes.Node]]]:
    """Seconds of both sides: the shorter bar is the faster."""
    columns = ["Text", "What", "Our time / theirs", "llmlib", "tokenizers"]
    rows = []
    for name, text in data["texts"].items():
        for what, row in text["measured"].items():
            ours, theirs = row["seconds"]["llmlib"], row["seconds"]["tokenizers"]
            cells = [
                nodes.Text(name),
                nodes.Text(what),
                nodes.Text(f"{row['ratio']:.2f}"),
                nodes.Text(f"{1000 * ours:.0f} ms"),
                nodes.Text(f"{1000 * theirs:.0f} ms"),
            ]
            cells = _with_bar(cells, 3, ours / max(ours, theirs))
            rows.append(_with_bar(cells, 4, theirs / max(ours, theirs)))
    return columns, rows


def _searching(data) -> tuple[list[str], list[list[nodes.Node]]]:
    """Milliseconds per query of both sides: the shorter bar is the faster."""
    columns = ["Collection", "Texts", "Our time / theirs", "llmlib", "bm25s"]
    rows = []
    for row in data["collections"]:
        ours, theirs = row["milliseconds"]["llmlib"], row["milliseconds"]["bm25s"]
        cells = [
            nodes.Text(row["collection"]),
            nodes.Text(f"{row['texts']}"),
            nodes.Text(f"{row['ratio']:.2f}"),
            nodes.Text(f"{ours:.2f} ms"),
            nodes.Text(f"{theirs:.2f} ms"),
        ]
        cells = _with_bar(cells, 3, ours / max(ours, theirs))
        rows.append(_with_bar(cells, 4, theirs / max(ours, theirs)))
    return columns, rows


def _with_bar(cells: list[nodes.Node], column: int, share: float) -> list[nodes.Node]:
    """The cells of a row, with a bar under the number in one of them."""
    drawn = nodes.inline("", "", cells[column], _bar(share))
    return [*cells[:column], drawn, *cells[column + 1 :]]


class SpeedTable(_DataTable):
    """`{speed-table} models`, `generation`, `tokenizers` or `retrieval`: beside the peers."""

    required_arguments = 1
    command = "make bench"
    kinds: ClassVar = {
        "models": _steps,
        "generation": _writing,
        "tokenizers": _tokenizing,
        "retrieval": _searching,
    }

    @property
    def file(self) -> Path:
        return BENCHMARKS / f"{self.arguments[0]}.json"

    def render(self, data) -> nodes.Node:
        columns, rows = self.kinds[self.arguments[0]](data)
        machine = data["machine"]
        sentence = (
            f"Medians of {data['rounds']} rounds on one thread of a processor "
            f"({machine['processor']}, {machine['instructions']}), PyTorch {machine['torch']}."
        )
        if "matmul_peak_gflops" in data:
            sentence += f" Best matrix product there: {data['matmul_peak_gflops']:.0f} GFLOP/s."
        measured = nodes.paragraph("", sentence, classes=["measured-on"])
        return nodes.container("", _table(columns, rows, "speed"), measured, classes=["speed"])


def setup(app: Sphinx) -> None:
    app.add_directive("parity-table", ParityTable)
    app.add_directive("notebook-costs", NotebookCosts)
    app.add_directive("speed-table", SpeedTable)

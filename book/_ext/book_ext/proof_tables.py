"""`{parity-table}` and `{notebook-costs}`: measurements that the tests write to `book/data/`.

A table is made when the site is built. Where its file is not there, the page says so.
"""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from .path import ChapterReference

DATA = Path("book") / "data"
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
    """Read `file` from `book/data/` and hand its content to `render`."""

    file: str
    command: str

    def render(self, data) -> nodes.Node:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        env.note_dependency(str(DATA / self.file))
        path = Path(env.srcdir) / DATA / self.file
        if not path.exists():
            sentence = nodes.paragraph("", "", classes=["not-measured"])
            sentence += nodes.Text("The numbers are not in this build: ")
            sentence += nodes.literal("", self.command)
            sentence += nodes.Text(" measures them, and the next build shows them here.")
            return [sentence]
        return [self.render(json.loads(path.read_text(encoding="utf-8")))]


class ParityTable(_DataTable):
    """What you built equals what people use: a row for each component and peer."""

    file = "parity.json"
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

    file = "notebook_costs.json"
    command = "make notebooks"

    def render(self, data) -> nodes.Node:
        columns = ["Chapter", "Wall time", "CPU time", "Memory"]
        rows = []
        for name, cost in sorted(data.items()):
            numbers = [f"{cost['wall_s']:g} s", f"{cost['cpu_s']:g} s", f"{cost['peak_mb']:g} MB"]
            chapter = ChapterReference(docname=name.removesuffix(".ipynb"))
            rows.append([chapter, *map(nodes.Text, numbers)])
        return _table(columns, rows, "costs")


def setup(app: Sphinx) -> None:
    app.add_directive("parity-table", ParityTable)
    app.add_directive("notebook-costs", NotebookCosts)

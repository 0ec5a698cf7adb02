"""`{parity-table}` and `{notebook-costs}`: measurements that the tests write to `book/data/`.

A table is made when the site is built. Where its file is not there, the page says so.
"""

from __future__ import annotations

import html
import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

DATA = Path("book") / "data"


def _table(caption: str, columns: list[str], rows: list[list[str]]) -> nodes.raw:
    head = "".join(f'<th scope="col">{html.escape(c)}</th>' for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return nodes.raw(
        "",
        f'<div class="pst-scrollable-table-container"><table class="table">'
        f"<caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>",
        format="html",
    )


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
        rows = [
            [row["component"], row["peer"], row["compared"], row["tolerance"], str(row["cases"])]
            for row in data
        ]
        columns = ["What you build", "What people use", "Compared", "Tolerance", "Cases"]
        return _table("What you built equals what people use", columns, rows)


class NotebookCosts(_DataTable):
    """Wall time, CPU time and peak memory of every chapter."""

    file = "notebook_costs.json"
    command = "make notebooks"

    def render(self, data) -> nodes.Node:
        columns = ["Chapter", "Wall time", "CPU time", "Memory"]
        rows = [
            [name, f"{cost['wall_s']:g} s", f"{cost['cpu_s']:g} s", f"{cost['peak_mb']:g} MB"]
            for name, cost in sorted(data.items())
        ]
        return _table("What a chapter costs to run", columns, rows)


def setup(app: Sphinx) -> None:
    app.add_directive("parity-table", ParityTable)
    app.add_directive("notebook-costs", NotebookCosts)

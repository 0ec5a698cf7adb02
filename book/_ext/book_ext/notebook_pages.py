"""What a notebook's page has beyond its cells.

- Every heading and every code cell gets its cell id as an anchor: `02_multi_head.html#experiment`.
  Cell ids never change, so neither do links to them.
- The opening (sentence, Colab badge, budget) and every exercise get class names to be styled by.
- A hidden solution is a `<details>` whose summary says "Show solution".
"""

from __future__ import annotations

import html
import json
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx


def cell_ids(path: Path) -> list[str]:
    """Return the ids of a notebook's cells, in order."""
    return [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def _cell_index(node: nodes.Element) -> int | None:
    """Which cell a node comes from: MyST-NB counts a notebook's lines as 10000 for each cell."""
    return node.line // 10000 - 1 if node.line else None


def _add_anchor(document: nodes.document, node: nodes.Element, anchor: str) -> None:
    if anchor not in document.ids:
        node["ids"].append(anchor)
        document.ids[anchor] = node


def _anchor_cells(document: nodes.document, ids: list[str]) -> None:
    for section in document.findall(nodes.section):
        index = _cell_index(section)
        if index is not None and index < len(ids):
            _add_anchor(document, section, ids[index])
    for cell in document.findall(nodes.container):
        if cell.get("nb_element") == "cell_code":
            _add_anchor(document, cell, ids[cell["cell_index"]])


def _mark_opening(document: nodes.document) -> None:
    """The paragraphs between the title and the first section or cell."""
    title_section = next(document.findall(nodes.section), None)
    if title_section is None:
        return
    first = True
    for node in title_section.children[1:]:
        if isinstance(node, nodes.section | nodes.container):
            return
        if not isinstance(node, nodes.Element):
            continue
        images = list(node.findall(nodes.image))
        if any(image["uri"].endswith("colab-badge.svg") for image in images):
            node["classes"].append("chapter-badge")
        elif first:
            node["classes"].append("chapter-promise")
            first = False
        else:
            node["classes"].append("chapter-budget")


def _mark_exercises(document: nodes.document) -> None:
    """The smallest section around exactly one stub is a card."""
    for section in document.findall(nodes.section):
        stubs = [
            cell
            for cell in section.findall(nodes.container)
            if cell.get("nb_element") == "cell_code" and "tag_exercise" in cell["classes"]
        ]
        if len(stubs) == 1 and not list(section.findall(nodes.section))[1:]:
            section["classes"].append("exercise")


def _name_solutions(document: nodes.document) -> None:
    for cell in document.findall(nodes.container):
        if cell.get("hide_mode") and "tag_solution" in cell["classes"]:
            cell["prompt_show"], cell["prompt_hide"] = "Show solution", "Hide solution"


def _dress(app: Sphinx, document: nodes.document) -> None:
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    _anchor_cells(document, cell_ids(path))
    _mark_opening(document)
    _mark_exercises(document)
    _name_solutions(document)


def _open_details(translator, node: HideCodeCellNode) -> None:
    """Like MyST-NB's own, but its name is what it shows, and the book's style sheet dresses it."""
    show, hide = html.escape(node["prompt_show"]), html.escape(node["prompt_hide"])
    translator.body.append(
        f'<details class="folded"><summary>'
        f'<span class="collapsed">{show}</span><span class="expanded">{hide}</span>'
        "</summary>\n"
    )


def _close_details(translator, node: HideCodeCellNode) -> None:
    translator.body.append("</details>\n")


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", _dress)
    app.add_node(HideCodeCellNode, override=True, html=(_open_details, _close_details))

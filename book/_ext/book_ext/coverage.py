"""`{coverage}`: every topic that the book owes, and the section that teaches it.

The list is `book/roadmap_topics.yml`. A topic counts as covered once it names a `section`:
a cell id for a notebook, a heading's anchor for a page. `tests/site/test_coverage.py` holds
each of them against the chapters.
"""

from __future__ import annotations

import html
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

TOPICS = Path("book") / "roadmap_topics.yml"
HOW = {"run": "runs", "page": "reads"}
NAMES = {"Math": "Mathematics", "Machine-learning": "Machine learning"}


def part_name(part: str) -> str:
    """`04_attention` is shown as `4 Attention`.

    >>> part_name("08_inference")
    '8 Inference'
    >>> part_name("03_nlp")
    '3 NLP'
    >>> part_name("Start here")
    'Start here'
    """
    number, _, name = part.partition("_")
    if not number.isdigit():
        return part
    name = name.upper() if name == "nlp" else name.replace("_", "-").capitalize()
    return f"{int(number)} {NAMES.get(name, name)}"


def read_parts(root: Path) -> list[dict]:
    """Return the list of topics, part by part, of the book in `root`."""
    return yaml.safe_load((root / TOPICS).read_text(encoding="utf-8"))


def _progress(done: int, total: int) -> nodes.raw:
    words = f"{done} of {total} topics"
    return nodes.raw(
        "",
        f'<p class="coverage-progress"><span>{words}</span>'
        f'<progress max="{total}" value="{done}" aria-label="{words}"></progress></p>',
        format="html",
    )


def table_html(part: dict, link_to) -> str:
    """Return the table of one part.

    `link_to(chapter, anchor)` gives an address and a title, or None for what is not in the book.
    """
    rows = []
    for topic in part["topics"]:
        link = link_to(topic["chapter"], topic["section"]) if topic.get("section") else None
        where, state = "planned", "planned"
        if link:
            address, title = link
            where = f'<a class="reference internal" href="{address}">{html.escape(title)}</a>'
            state = "covered"
        rows.append(
            f'<tr class="{state}"><td>{html.escape(topic["topic"])}</td><td>{where}</td>'
            f"<td>{HOW[topic['how']]}</td></tr>"
        )
    return (
        f'<table class="coverage table" aria-label="Topics of {html.escape(part["part"])}">'
        '<thead><tr><th scope="col">Topic</th><th scope="col">Where</th>'
        f'<th scope="col">How</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


class CoverageTable(nodes.General, nodes.Element):
    """Stands for a part's table until every page has been read and its title is known."""


class Coverage(Directive):
    """The `{coverage}` directive: the total, then a section with a table for every part."""

    def run(self) -> list[nodes.Node]:
        document = self.state.document
        env = document.settings.env
        env.note_dependency(str(TOPICS))
        parts = read_parts(Path(env.srcdir))
        counts = [
            (sum(1 for topic in part["topics"] if topic.get("section")), len(part["topics"]))
            for part in parts
        ]
        out = [_progress(sum(done for done, _ in counts), sum(total for _, total in counts))]
        for part, count in zip(parts, counts, strict=True):
            name = part_name(part["part"])
            section = nodes.section(names=[nodes.fully_normalize_name(name)])
            section += [nodes.title("", name), _progress(*count), CoverageTable(part=part)]
            document.note_implicit_target(section, section)
            out.append(section)
        return out


def _fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    def link_to(chapter: str, anchor: str) -> tuple[str, str] | None:
        if chapter not in app.env.titles:
            logger.warning(
                "%s says that %s covers a topic, but the chapter is not in _toc.yml: "
                "add it there, or take out the topic's `section`",
                *(TOPICS, chapter),
                location=docname,
            )
            return None
        address = app.builder.get_relative_uri(docname, chapter)
        return f"{address}#{anchor}", app.env.titles[chapter].astext()

    for node in list(doctree.findall(CoverageTable)):
        node.replace_self(nodes.raw("", table_html(node["part"], link_to), format="html"))


def setup(app: Sphinx) -> None:
    app.add_node(CoverageTable)
    app.add_directive("coverage", Coverage)
    app.connect("doctree-resolved", _fill)

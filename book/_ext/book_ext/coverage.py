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


def _bar(done: int, total: int) -> str:
    return (
        f'<span class="coverage-count">{done} of {total}</span>'
        f'<progress max="{total}" value="{done}" aria-label="{done} of {total} topics covered">'
        "</progress>"
    )


def coverage_html(parts: list[dict], link_to) -> str:
    """Return the page's HTML; `link_to(chapter, anchor)` gives an address and a chapter's title."""
    done = sum(1 for part in parts for topic in part["topics"] if topic.get("section"))
    total = sum(len(part["topics"]) for part in parts)
    out = [
        '<div class="coverage-total">',
        f"<p><strong>{done} of {total} topics</strong> are taught so far; the rest is planned.</p>",
        _bar(done, total),
        "</div>",
    ]
    for part in parts:
        topics = part["topics"]
        covered = sum(1 for topic in topics if topic.get("section"))
        name = html.escape(part_name(part["part"]))
        out.append(
            f'<div class="coverage-part"><table class="coverage table"><caption>{name} '
            f"{_bar(covered, len(topics))}</caption>"
            '<thead><tr><th scope="col">Topic</th><th scope="col">Where</th>'
            '<th scope="col">How</th></tr></thead><tbody>'
        )
        for topic in topics:
            text, how = html.escape(topic["topic"]), HOW[topic["how"]]
            if topic.get("section"):
                address, title = link_to(topic["chapter"], topic["section"])
                where = f'<a class="reference internal" href="{address}">{html.escape(title)}</a>'
                state = "covered"
            else:
                where, state = '<span class="coverage-planned">planned</span>', "planned"
            out.append(f'<tr class="{state}"><td>{text}</td><td>{where}</td><td>{how}</td></tr>')
        out.append("</tbody></table></div>")
    return "".join(out)


class CoverageTable(nodes.General, nodes.Element):
    """Stands for the table until every page has been read and its title is known."""


class Coverage(Directive):
    """The `{coverage}` directive."""

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        env.note_dependency(str(TOPICS))
        return [CoverageTable()]


def _fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for node in list(doctree.findall(CoverageTable)):
        parts = read_parts(Path(app.srcdir))

        def link_to(chapter: str, anchor: str) -> tuple[str, str]:
            if chapter not in app.env.titles:
                raise ValueError(
                    f"{TOPICS} says that {chapter} covers a topic, but it is not in _toc.yml: "
                    "add it there, or take out the topic's `section`"
                )
            address = app.builder.get_relative_uri(docname, chapter)
            return f"{address}#{anchor}", app.env.titles[chapter].astext()

        node.replace_self(nodes.raw("", coverage_html(parts, link_to), format="html"))


def setup(app: Sphinx) -> None:
    app.add_node(CoverageTable)
    app.add_directive("coverage", Coverage)
    app.connect("doctree-resolved", _fill)

"""Chapters by name, written or planned: the `{chapter}` role and the `{path-map}` directive.

`` {chapter}`04_attention/02_multi_head` `` becomes a link with the chapter's number and title once
`_toc.yml` has it, and "5.3 GPT (planned)" until then, so that a page may name what is to come.

`{path-map}` draws the whole path, a stop for every part of `book/roadmap_topics.yml`. Its content
is one line for each stop: `04_attention: what the stop is about`.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.util import logging

from .chapter_numbers import chapter_number
from .coverage import TOPICS, part_name, read_parts

logger = logging.getLogger(__name__)

SPELLINGS = {
    "Bert": "BERT",
    "Clip": "CLIP",
    "Gpt": "GPT",
    "Kv": "KV",
    "Llama": "Llama",
    "Lora": "LoRA",
    "Nlp": "NLP",
    "Ppo": "PPO",
    "Dpo": "DPO",
    "Qlora": "QLoRA",
    "Pytorch": "PyTorch",
    "Python": "Python",
    "Rag": "RAG",
    "Rl": "RL",
    "T5": "T5",
}


def planned_title(docname: str) -> str:
    """Return what a chapter that is not written is called, from its file name.

    >>> planned_title("notebooks/05_transformer/06_llama")
    '5.6 Llama'
    >>> planned_title("notebooks/08_inference/01_kv_cache")
    '8.1 KV cache'
    """
    words = re.sub(r"^\d+_", "", docname.rpartition("/")[2]).split("_")
    words = [words[0].capitalize(), *words[1:]]
    words = [SPELLINGS.get(word.capitalize(), word) for word in words]
    number = chapter_number(docname)
    return " ".join([".".join(map(str, number))] * bool(number) + words)


def chapter_link(app: Sphinx, origin: str, docname: str) -> str:
    """Return HTML: a link to the chapter, or its planned title."""
    if docname not in app.env.titles:
        return f'<span class="planned">{html.escape(planned_title(docname))}</span>'
    number = chapter_number(docname)
    title = html.escape(app.env.titles[docname].astext())
    text = f"{number[0]}.{number[1]} {title}" if number else title
    address = app.builder.get_relative_uri(origin, docname)
    return f'<a class="reference internal" href="{address}">{text}</a>'


class ChapterReference(nodes.Inline, nodes.Element):
    """Stands for a link until every page has been read."""


class PathMap(nodes.General, nodes.Element):
    """Stands for the map until every page has been read."""


def _chapter_role(name, rawtext, text, lineno, inliner, options=None, content=()):
    docname = text if text.startswith("book/") else f"notebooks/{text}"
    return [ChapterReference(docname=docname)], []


class PathMapDirective(Directive):
    """The `{path-map}` directive."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.state.document.settings.env.note_dependency(str(TOPICS))
        lines = [line for line in self.content if line.strip()]
        if any(":" not in line for line in lines):
            raise self.error("each line of a path map is a part, a colon and what it is about")
        stops = dict(line.split(":", 1) for line in lines)
        return [PathMap(stops={part.strip(): about.strip() for part, about in stops.items()})]


def chapters_of(part: dict) -> list[str]:
    """Return the chapters that a part of the list of topics names, in order."""
    names = {topic["chapter"] for topic in part["topics"]}
    # a topic may be taught in another part's chapter; it belongs to that part's stop
    own = f"notebooks/{part['part']}/"
    return sorted(name for name in names if name.startswith(own))


def _map_html(app: Sphinx, docname: str, stops: dict[str, str]) -> str:
    parts = {part["part"]: part for part in read_parts(Path(app.srcdir))}
    for name in sorted(set(stops) - set(parts)):
        logger.warning("the path map names %s, which %s lacks", name, TOPICS, location=docname)
    out = ['<ol class="path-map">']
    for name, about in stops.items():
        if name not in parts:
            continue
        chapters = chapters_of(parts[name])
        written = [chapter for chapter in chapters if chapter in app.env.titles]
        number, _, title = part_name(name).partition(" ")
        items = "".join(f"<li>{chapter_link(app, docname, c)}</li>" for c in chapters)
        state = "begun" if written else "planned"
        count = f"{len(chapters)} chapters, {len(written) or 'none'} written so far"
        opened = " open" if written else ""
        out.append(
            f'<li class="path-stop {state}"><span class="path-number">{number}</span>'
            f'<p class="path-title">{html.escape(title)}</p><p>{html.escape(about)}</p>'
            f"<details{opened}><summary>{count}</summary><ul>{items}</ul></details>"
            "</li>"
        )
    return "".join([*out, "</ol>"])


def _resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for node in list(doctree.findall(ChapterReference)):
        link = chapter_link(app, docname, node["docname"])
        node.replace_self(nodes.raw("", link, format="html"))
    for node in list(doctree.findall(PathMap)):
        node.replace_self(nodes.raw("", _map_html(app, docname, node["stops"]), format="html"))


def setup(app: Sphinx) -> None:
    app.add_node(ChapterReference)
    app.add_node(PathMap)
    app.add_role("chapter", _chapter_role)
    app.add_directive("path-map", PathMapDirective)
    app.connect("doctree-resolved", _resolve)

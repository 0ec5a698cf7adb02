"""The coverage page tells the truth: a topic that counts as covered is really taught there."""

import json
import re
from pathlib import Path

import pytest
import yaml
from docutils.nodes import make_id

ROOT = Path(__file__).resolve().parents[2]
TOPICS = [
    topic
    for part in yaml.safe_load((ROOT / "book" / "roadmap_topics.yml").read_text(encoding="utf-8"))
    for topic in part["topics"]
]
FIELDS = {"topic", "roadmaps", "chapter", "how", "section"}


def headings(text):
    """(level, title) of every heading in Markdown, leaving out what stands in code blocks."""
    fence = None
    for line in text.splitlines():
        mark = re.match(r"\s*(`{3,}|~{3,}|:{3,})", line)
        if fence:
            fence = None if mark and line.strip() == fence else fence
        elif mark and mark[1][0] != ":":
            fence = mark[1]
        else:
            found = re.match(r"(#{1,6})\s+(.*?)\s*$", line)
            if found:
                yield len(found[1]), found[2]


def section_of(cells, identifier):
    """The cells of the section that a heading's cell opens, up to the next heading of its level."""
    start = next(i for i, cell in enumerate(cells) if cell["id"] == identifier)
    level = next(headings("".join(cells[start]["source"])))[0]
    for end in range(start + 1, len(cells)):
        found = (
            headings("".join(cells[end]["source"])) if cells[end]["cell_type"] == "markdown" else ()
        )
        if any(other <= level for other, _ in found):
            return cells[start:end]
    return cells[start:]


def complaint(topic, root):
    """What is wrong with a covered topic, in one sentence; None where nothing is."""
    chapter, section = topic["chapter"], topic["section"]
    if chapter not in re.findall(r"(?:file|root):\s*(\S+)", (root / "_toc.yml").read_text()):
        return f"{chapter} is not in _toc.yml"
    page = root / f"{chapter}.md"
    if page.exists():
        if section not in {make_id(title) for _, title in headings(page.read_text("utf-8"))}:
            return f"{chapter}.md has no heading with the anchor {section!r}"
        return "a page runs nothing: its topics are `how: page`" if topic["how"] == "run" else None
    notebook = root / f"{chapter}.ipynb"
    if not notebook.exists():
        return f"{chapter} does not exist"
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    cell = next((cell for cell in cells if cell["id"] == section), None)
    if cell is None:
        return f"{chapter}.ipynb has no cell {section!r}"
    if cell["cell_type"] != "markdown" or not "".join(cell["source"]).startswith("#"):
        return f"cell {section!r} of {chapter}.ipynb is not a heading"
    code = [c for c in section_of(cells, section) if c["cell_type"] == "code"]
    if topic["how"] == "run" and not any(c["execution_count"] and c["outputs"] for c in code):
        return f"section {section!r} of {chapter}.ipynb has no executed cell with an output"
    return None


def test_every_topic_is_complete():
    for topic in TOPICS:
        assert FIELDS - {"section"} <= topic.keys() <= FIELDS, topic
        assert topic["how"] in {"run", "page"}, topic
    names = [topic["topic"] for topic in TOPICS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "topic", [topic for topic in TOPICS if "section" in topic], ids=lambda topic: topic["topic"]
)
def test_covered_topic_is_taught(topic):
    assert complaint(topic, ROOT) is None


# --- the test of the test ---------------------------------------------------------------------


def _cell(identifier, source, outputs=None):
    if outputs is None:
        return {"id": identifier, "cell_type": "markdown", "source": [source]}
    count = 1 if outputs else None
    cell = {"id": identifier, "cell_type": "code", "source": [source]}
    return cell | {"outputs": outputs, "execution_count": count}


@pytest.fixture
def book(tmp_path):
    (tmp_path / "_toc.yml").write_text("root: book/intro\nchapters:\n- file: notebooks/a\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "intro.md").write_text("# Intro\n\n```python\n# no heading\n```\n")
    cells = [
        _cell("goals", "## Goals"),
        _cell("words", "not a heading"),
        _cell("masks", "## Masks"),
        _cell("causal", "### Causal"),
        _cell("causal-code", "print(1)", [{"output_type": "stream", "text": "1"}]),
        _cell("summary", "## Summary"),
        _cell("silent", "x = 1", []),
    ]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "a.ipynb").write_text(json.dumps({"cells": cells}))
    return tmp_path


def _topic(section, chapter="notebooks/a", how="run"):
    return {"chapter": chapter, "section": section, "how": how}


@pytest.mark.parametrize(
    "topic",
    [
        _topic("masks"),
        _topic("causal"),
        _topic("goals", how="page"),
        _topic("intro", "book/intro", "page"),
    ],
)
def test_true_claims_pass(book, topic):
    assert complaint(topic, book) is None


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        (_topic("goals"), "no executed cell"),
        (_topic("summary"), "no executed cell"),
        (_topic("words"), "not a heading"),
        (_topic("causal-code"), "not a heading"),
        (_topic("nowhere"), "no cell"),
        (_topic("goals", "notebooks/b"), "not in _toc.yml"),
        (_topic("no-heading", "book/intro", "page"), "no heading"),
        (_topic("intro", "book/intro", "run"), "runs nothing"),
    ],
)
def test_false_claims_are_found(book, topic, words):
    assert words in complaint(topic, book)

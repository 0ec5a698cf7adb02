"""The book's Sphinx extension, on a book of three pages."""

import doctest
import importlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from book_ext.api_names import documented_as  # noqa: E402
from book_ext.moving_figures import figure_html  # noqa: E402

MODULES = sorted(path.stem for path in (ROOT / "book" / "_ext" / "book_ext").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"book_ext.{name}")).failed == 0


class _Elements(HTMLParser):
    """The attributes of every element, and the text in scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.lasttag == "script" and data.strip():
            self.scripts.append(data)


def test_figure_survives_hostile_text():
    spec = {"data": [{"name": "</script><b>"}], "layout": {"meta": {"alt": 'a "b" <c>'}}}
    elements = _Elements(figure_html(spec))
    assert json.loads(elements.scripts[0]) == spec
    assert [tag for tag, _ in elements.found] == ["div", "script", "div", "noscript", "p"]
    assert elements.found[2][1]["aria-label"] == 'a "b" <c>'


def test_figure_without_text_has_a_name_all_the_same():
    assert 'aria-label="Interactive figure"' in figure_html({"data": []})


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("causal_mask", "llmlib.nn.causal_mask"),
        ("llmlib.nn.attention.causal_mask", "llmlib.nn.causal_mask"),
        ("llmlib.viz.causal_mask", None),
        ("fit", None),
        ("nothing", None),
    ],
)
def test_names_in_docstrings(target, name):
    there = ["llmlib.nn.causal_mask", "llmlib.text.A.fit", "llmlib.text.B.fit"]
    assert documented_as(target, there) == name


# --- a small book ------------------------------------------------------------------------------

FIGURE = {
    "data": [{"type": "bar", "y": [1]}],
    "layout": {"meta": {"alt": "one bar"}},
    "frames": [],
}


def _markdown(identifier, source):
    return {"cell_type": "markdown", "id": identifier, "metadata": {}, "source": source}


def _code(identifier, source, data=None, tags=()):
    outputs = [{"output_type": "display_data", "metadata": {}, "data": data}] if data else []
    return {
        "cell_type": "code",
        "id": identifier,
        "metadata": {"tags": list(tags)},
        "execution_count": 1,
        "source": source,
        "outputs": outputs,
    }


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "cells": [
        _markdown(
            "title",
            "# Multi-head\n\nWhat you can do.\n\n"
            "[![Open in Colab](../../book/assets/colab-badge.svg)](https://example.org)\n\n"
            "*40 minutes*",
        ),
        _markdown("question", "## A question of one's own\n\n$$a$$ (eq-a)"),
        _code(
            "figure",
            "show(figure)",
            {"application/vnd.plotly.v1+json": FIGURE, "text/html": "<i>other</i>"},
        ),
        _markdown("exercises", "## Exercises\n\n### 1 First"),
        _code("ex-first", "def f(): ...", tags=["exercise"]),
        _code("ex-first-solution", "def f(): return 1", tags=["solution", "hide-cell"]),
    ],
}
TOPICS = """\
- part: 04_attention
  topics:
    - {topic: "Heads", chapter: notebooks/04_attention/02_multi_head, how: run, section: question}
    - {topic: "Nowhere", chapter: notebooks/04_attention/09_nowhere, how: run, section: question}
    - {topic: "Later", chapter: notebooks/05_transformer/03_gpt, how: run}
"""
INTRO = """\
# Intro

{chapter}`04_attention/02_multi_head` and {chapter}`05_transformer/03_gpt`

```{path-map}
04_attention: About heads.
```

```{moving-figure} no_such_figure.json
```
"""
SPEED = {
    "rounds": 3,
    "machine": {"processor": "p9", "instructions": "none", "torch": "2"},
    "matmul_peak_gflops": 7.4,
    "models": {
        "GPT": {
            "seconds": {"transformers": 0.3, "llmlib": 0.2},
            "share_of_peak": {"transformers": 0.31, "llmlib": 0.47},
        }
    },
}


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """A book with one chapter: the built folder and the log."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "book").mkdir()
    for name in ("_ext", "assets"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name)
    shutil.copy(ROOT / "_config.yml", folder)
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n"
        "- file: notebooks/04_attention/02_multi_head\n- file: book/coverage\n- file: book/proof\n"
        "- file: book/speed\n"
    )
    (folder / "book" / "references.bib").write_text("")
    (folder / "book" / "roadmap_topics.yml").write_text(TOPICS)
    (folder / "book" / "intro.md").write_text(INTRO)
    (folder / "book" / "coverage.md").write_text("# Coverage\n\n```{coverage}\n```\n")
    (folder / "book" / "proof.md").write_text("# Proof\n\n```{parity-table}\n```\n")
    (folder / "book" / "speed.md").write_text("# Speed\n\n```{speed-table} models\n```\n")
    results = folder / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "models.json").write_text(json.dumps(SPEED))
    notebook = folder / "notebooks" / "04_attention" / "02_multi_head.ipynb"
    notebook.parent.mkdir(parents=True)
    notebook.write_text(json.dumps(NOTEBOOK))
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "--keep-going"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "_build" / "html", done.stderr


@pytest.fixture(scope="module")
def chapter(small_book):
    return (small_book[0] / "notebooks/04_attention/02_multi_head.html").read_text("utf-8")


def test_chapter_is_numbered_by_its_file_name(chapter):
    assert "<title>4.2 Multi-head" in chapter
    assert "(4.2.1)" in chapter or "4.2.1" in re.sub(r"<[^>]*>", "", chapter)


def test_cells_have_anchors(chapter):
    for identifier in ("title", "question", "figure", "exercises", "ex-first"):
        assert f'id="{identifier}"' in chapter


def test_opening_and_exercise_are_marked(chapter):
    for name in ("chapter-promise", "chapter-badge", "chapter-budget"):
        assert chapter.count(f'class="{name}"') == 1
    assert len(re.findall(r'<section class="exercise', chapter)) == 1


def test_solution_is_folded_and_named(chapter):
    assert "Show solution</span>" in chapter
    assert chapter.count('<details class="folded">') == 1


def test_figure_is_drawn_by_the_page(small_book, chapter):
    assert 'class="moving-figure"' in chapter
    assert "<i>other</i>" not in chapter
    plotly = small_book[0] / "_static" / "plotly.min.js"
    assert plotly.stat().st_size > 1_000_000
    assert "plotly.min.js" not in chapter  # fetched by the script, when a figure comes near


def test_no_page_names_another_host_in_a_script(small_book):
    for page in small_book[0].rglob("*.html"):
        for tag, attributes in _Elements(page.read_text("utf-8")).found:
            if tag in ("script", "img"):
                assert "//" not in (attributes.get("src") or ""), page
        assert "unpkg.com" not in page.read_text("utf-8")


def test_planned_chapters_have_no_link(small_book):
    intro = (small_book[0] / "book" / "intro.html").read_text("utf-8")
    assert '<span class="planned">5.3 GPT</span>' in intro
    assert '02_multi_head.html">4.2 Multi-head</a>' in intro
    assert "2 chapters, 1 written so far" in intro


def test_coverage_counts_and_links(small_book):
    page = (small_book[0] / "book" / "coverage.html").read_text("utf-8")
    assert "2 of 3 topics" in page
    assert "04_attention/02_multi_head.html#question" in page
    assert page.count("<td>planned</td>") == 2


def test_what_is_missing_is_said_in_one_line(small_book):
    log = small_book[1]
    assert "covers a topic, but the chapter is not in _toc.yml" in log
    assert "no_such_figure.json does not exist" in log
    assert "Traceback" not in log


def test_numbers_that_are_not_there_are_not_invented(small_book):
    page = (small_book[0] / "book" / "proof.html").read_text("utf-8")
    assert "The numbers are not in this build" in page


def test_speed_is_shown_beside_the_peer(small_book):
    page = (small_book[0] / "book" / "speed.html").read_text("utf-8")
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "GPT transformers 1.00\u00d7 300 ms 31%" in text
    assert "GPT llmlib 1.50\u00d7 200 ms 47%" in text
    assert "Medians of 3 rounds" in text
    assert "7 GFLOP/s" in text
    assert "--share: 67%" in page

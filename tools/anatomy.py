"""What every chapter has: its sections in order, and the set-up cell."""

from __future__ import annotations

# id of the cell -> what the author writes there. `title` and `setup` have a fixed form; every other
# one is a Markdown cell that begins with a heading of the second level, in the author's words.
SECTIONS = {
    "title": "title, one sentence, Colab badge, budget",
    "goals": "three to five things the reader can do afterwards",
    "setup": "the set-up cell, the same in every notebook",
    "question": "an experiment that fails or a puzzle, which the chapter answers",
    "build-up": "a toy input small enough to check by hand; loop, then matrix form, then module",
    "library": "the version in llmlib, its source shown, asserted equal to the reader's",
    "equal": "the same numbers from the library that practitioners use, with the tolerance",
    "experiment": "trained or run for real in at most 30 seconds: curves, maps, samples",
    "invariants": "the two or three facts that would catch a wrong implementation",
    "paper-and-code": "where paper, common libraries and our code differ, and why",
    "in-practice": "the real API on a tiny example, and what a thousand times more data changes",
    "goes-wrong": "two or three real bugs with the symptom each causes, shown",
    "exercises": "four to six, with stars, minutes, stub, check and hidden solution",
    "summary": "five lines",
    "further-reading": "two or three citations and what to look for in each; what comes next",
}

# Stands in a new chapter wherever the author has to write; the lint finds what is left of it.
TO_WRITE = "*To write:*"


def setup_cell(repository_url: str) -> str:
    """The source of the set-up cell, word for word the same in every notebook."""
    return f"""\
# Set-up: on Colab this installs the book's library; elsewhere it only imports it.
import importlib.util

if importlib.util.find_spec("llmlib") is None:
    %pip install --quiet "llmlib @ git+{repository_url}"
from llmlib.viz import set_up_notebook

set_up_notebook(seed=0)"""


def badge(colab_url: str) -> str:
    """The Colab badge of the title cell; its picture is local, so a page asks no other host."""
    return f"[![Open in Colab](../../book/assets/colab-badge.svg)]({colab_url})"

"""The book's own Sphinx extension.

`_config.yml` names it under `sphinx.local_extensions`, so it needs no installation.

| module | what it adds |
|---|---|
| `library` | the reference of a package of `llmlib`, made from its source |
| `moving_figures` | draws Plotly outputs with the page's own script and a local copy of Plotly |
| `notebook_pages` | anchors from cell ids, the chapter's opening, exercise cards, "Show solution" |
| `bibliography` | the bibliography as a list to be looked up by author and year |
| `chapter_numbers` | numbers a chapter by its file name: `04_attention/02_multi_head` is 4.2 |
| `coverage` | the table of topics, made from `book/roadmap_topics.yml` |
| `path` | chapters by name, written or planned; the map of the path |
| `proof_tables` | the tables of parity, of notebook costs and of speed, made from measurements |
| `api_names` | lets docstrings name a documented thing by its last part |
| `theme` | takes out Thebe and mends what the theme gets wrong |
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

from . import (
    api_names,
    bibliography,
    chapter_numbers,
    coverage,
    library,
    moving_figures,
    notebook_pages,
    path,
    proof_tables,
    theme,
)

PARTS = (
    api_names,
    bibliography,
    chapter_numbers,
    coverage,
    library,
    moving_figures,
    notebook_pages,
    path,
    proof_tables,
    theme,
)

__version__ = "1.0"


def _make_library_importable(app: Sphinx, config) -> None:
    """Let autodoc import `llmlib` from the source tree, where it is not installed."""
    root = str(Path(app.srcdir))
    if root not in sys.path:
        sys.path.insert(0, root)


def setup(app: Sphinx) -> dict:
    """Register every part with Sphinx."""
    app.connect("config-inited", _make_library_importable)
    for part in PARTS:
        part.setup(app)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}

"""Number a chapter by its file name, so that its number never changes.

`notebooks/04_attention/02_multi_head` is chapter 4.2, its third figure is 4.2.3 and its first
equation (4.2.1), whether or not the parts before it have been written. Sections inside a chapter
and the pages in `book/` have no number.

Sphinx numbers sections in one method of its toctree collector, from the order of `_toc.yml`, and
counts figures by what that method stored. sphinx-external-toc puts its own collector in place of
Sphinx's; here that collector's method is replaced.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles

CHAPTER = re.compile(r"notebooks/(\d+)_[^/]+/(\d+)_[^/]+$")


def chapter_number(docname: str) -> tuple[int, int] | None:
    """Return (part, chapter) of a notebook, or None for any other page.

    >>> chapter_number("notebooks/04_attention/02_multi_head")
    (4, 2)
    >>> chapter_number("book/intro") is None
    True
    """
    match = CHAPTER.match(docname)
    return (int(match[1]), int(match[2])) if match else None


def _assign_section_numbers(collector, env: BuildEnvironment) -> list[str]:
    """Number every chapter; return the pages whose numbers are new."""
    before, env.toc_secnumbers = env.toc_secnumbers, {}
    for docname, toc in env.tocs.items():
        number = chapter_number(docname)
        if number is None:
            continue
        headings = list(toc.findall(nodes.reference))
        env.toc_secnumbers[docname] = {heading["anchorname"]: () for heading in headings}
        env.toc_secnumbers[docname][""] = number
        env.titles[docname]["secnumber"] = number
        headings[0]["secnumber"] = number
    return [name for name, new in env.toc_secnumbers.items() if before.get(name) != new]


def setup(app: Sphinx) -> None:
    TocTreeCollectorWithStyles.assign_section_numbers = _assign_section_numbers

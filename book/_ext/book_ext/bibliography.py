"""The bibliography as a list that is looked up by author and year, as the text cites it.

sphinxcontrib-bibtex numbers the entries, while the text says "Vaswani et al., 2017"; and docutils
marks entries up with a role that WAI-ARIA has withdrawn. Here names begin with the family name,
and the entries become an ordinary list.
"""

from __future__ import annotations

from docutils import nodes
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style
from sphinx.application import Sphinx


class FamilyNameFirst(Style):
    """Pybtex's plain style with "Vaswani, Ashish" in place of "Ashish Vaswani"."""

    default_name_style = "lastfirst"


def _list_entries(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for citation in list(doctree.findall(nodes.citation)):
        entry = nodes.list_item("", *citation.children[1:], ids=citation["ids"])  # no label
        before = citation.previous_sibling()
        if isinstance(before, nodes.bullet_list) and "bibliography" in before["classes"]:
            before.append(entry)
            citation.parent.remove(citation)
        else:
            citation.replace_self(nodes.bullet_list("", entry, classes=["bibliography"]))


def setup(app: Sphinx) -> None:
    register_plugin("pybtex.style.formatting", "family-name-first", FamilyNameFirst)
    app.connect("doctree-resolved", _list_entries)

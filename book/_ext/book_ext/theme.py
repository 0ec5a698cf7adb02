"""What the theme and Jupyter Book get wrong for this book, put right.

- sphinx-thebe is always loaded by Jupyter Book 1 and names another host in every page.
- The arrows that open a part of the table of contents have no name for a screen reader.
- `index.html` is a bare redirect to the first page: no title, no icon, no language.
"""

from __future__ import annotations

import html
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx


def _without_thebe(app: Sphinx, pagename, templatename, context, doctree) -> None:
    def is_thebe(script) -> bool:
        body = (getattr(script, "attributes", None) or {}).get("body") or ""
        name = str(getattr(script, "filename", script))
        return "THEBE_JS_URL" in body or name.endswith("sphinx-thebe.js")

    context["script_files"] = [s for s in context.get("script_files", []) if not is_thebe(s)]


def _without_thebe_settings(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for node in list(doctree.findall(nodes.raw)):
        if "text/x-thebe-config" in node.astext():
            node.parent.remove(node)


def _named_toggles(app: Sphinx, pagename, templatename, context, doctree) -> None:
    generate = context.get("generate_toctree_html")
    if generate is None:
        return

    def generate_with_names(*args, **kwargs):
        tree = generate(*args, **kwargs)
        if hasattr(tree, "find_all"):
            for summary in tree.find_all("summary"):
                link = summary.find_parent("li").find("a")
                summary["aria-label"] = f"Pages under {link.get_text(strip=True)}"
        return tree

    context["generate_toctree_html"] = generate_with_names


def _first_page(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html" or app.config.root_doc == "index":
        return
    first = app.builder.get_target_uri(app.config.root_doc)
    title, icon = html.escape(app.config.html_title), Path(app.config.html_favicon).name
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta http-equiv="refresh" content="0; url={first}">
<link rel="canonical" href="{app.config.html_baseurl}{first}">
<link rel="icon" href="_static/{icon}">
</head>
<body><a href="{first}">{title}</a></body>
</html>
"""
    (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", _without_thebe, priority=900)
    app.connect("html-page-context", _named_toggles, priority=900)
    app.connect("doctree-resolved", _without_thebe_settings, priority=900)
    app.connect("build-finished", _first_page, priority=900)

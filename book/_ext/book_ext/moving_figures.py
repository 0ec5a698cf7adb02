"""Plotly outputs, drawn on the page by `book-figures.js` from a local copy of Plotly.

MyST-NB finds renderers of MIME types through entry points of installed distributions, and this
extension is not installed. `load_mime_renders` reads the entry points once and keeps the list
it made (it is an `lru_cache` of no arguments), so adding to that list is registering a renderer.

The figure's JSON stands in the page. `plotly.min.js` comes from the installed plotly wheel,
is copied to `_static/` when the site is built, and is fetched only by pages with a figure.
"""

from __future__ import annotations

import html
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from myst_nb.core.render import load_mime_renders
from sphinx.application import Sphinx

PLOTLY = "application/vnd.plotly.v1+json"
NO_SCRIPT = (
    "This figure moves, and needs JavaScript for it. "
    "Without it, open the chapter as a notebook: the cell above draws the same figure."
)


def figure_html(spec: dict) -> str:
    """Return the HTML that `book-figures.js` turns into a drawn figure.

    Parameters
    ----------
    spec
        A Plotly figure as JSON: `data`, `layout` and, where it moves, `frames`.
        `layout.meta.alt` is read to people who do not see the figure.
    """
    layout = spec.get("layout", {})
    alt = (layout.get("meta") or {}).get("alt") or "Interactive figure"
    height = int(layout.get("height") or 420)
    # "</" would end the script element early.
    body = json.dumps(spec, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    return (
        f'<div class="moving-figure" data-state="waiting" style="--figure-height:{height}px">'
        f'<script type="application/json">{body}</script>'
        f'<div class="moving-figure-plot" role="img" aria-label="{html.escape(alt)}"></div>'
        f'<noscript><p class="moving-figure-note">{NO_SCRIPT}</p></noscript>'
        "</div>"
    )


class PlotlyRenderer:
    """MyST-NB renderer: on HTML pages a Plotly output takes precedence over its other forms."""

    mime_priority_overrides = (("html", PLOTLY, 1), ("dirhtml", PLOTLY, 1))

    @staticmethod
    def handle_mime(renderer, data, inline: bool) -> list[nodes.Node] | None:
        if inline or data.mime_type != PLOTLY:
            return None
        spec = json.loads(data.content) if isinstance(data.content, str) else data.content
        return [nodes.raw("", figure_html(spec), format="html", classes=["output"])]


class MovingFigure(Directive):
    """`{moving-figure} name.json`: a figure stored in `book/data/`, on a page without cells."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        name = Path("book") / "data" / self.arguments[0]
        env.note_dependency(str(name))
        path = Path(env.srcdir) / name
        if not path.exists():
            raise self.error(f"{name} does not exist")
        spec = json.loads(path.read_text(encoding="utf-8"))
        return [nodes.raw("", figure_html(spec), format="html")]


def _copy_plotly(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    source = Path(find_spec("plotly").origin).parent / "package_data" / "plotly.min.js"
    target = Path(app.outdir) / "_static" / "plotly.min.js"
    if not target.exists() or target.stat().st_size != source.stat().st_size:
        shutil.copyfile(source, target)


def setup(app: Sphinx) -> None:
    renderers = load_mime_renders()
    if PlotlyRenderer not in renderers:
        renderers.append(PlotlyRenderer)
    app.add_directive("moving-figure", MovingFigure)
    app.connect("build-finished", _copy_plotly)

"""How a moving figure is stored: one figure in three forms, the same on every run.

========================================  ==================================================
form                                      read by
========================================  ==================================================
``application/vnd.plotly.v1+json``        JupyterLab, VS Code, the pages of the book
``text/html``                             Colab, and whatever else shows stored HTML
``text/plain``                            terminals and diffs: ``<moving figure NAME>``
========================================  ==================================================

Every place takes the form it understands. The element is named after the figure, numbers are
rounded to four significant digits, and arrays are written as lists, so that a fresh run stores
the same text and a diff can be read.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from llmlib.viz.palette import COLORS, CYCLE

__all__ = ["PLOTLY_SCRIPT", "TEMPLATE", "plain", "show"]

#: Where the stored HTML takes Plotly from. The pages of the book serve their own copy.
PLOTLY_SCRIPT = "https://cdn.plot.ly/plotly-4.1.1.min.js"

_GRID = "rgba(107,119,133,0.25)"  # the palette's grey, seen through
_AXIS = {
    "gridcolor": _GRID,
    "zerolinecolor": _GRID,
    "linecolor": _GRID,
    "automargin": True,
    "title": {"font": {"size": 13}},
}

#: The look of every moving figure, in place of Plotly's own template, which is 6 kB. A notebook
#: shows a card of white paper; the pages of the book put their own colours in its place.
TEMPLATE = {
    "layout": {
        "colorway": list(CYCLE),
        "font": {"color": COLORS["ink"], "family": "system-ui, sans-serif", "size": 13},
        "paper_bgcolor": COLORS["paper"],
        "plot_bgcolor": COLORS["paper"],
        "title": {"x": 0, "xref": "paper", "font": {"size": 15}},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
}

_CONFIG = {"displayModeBar": False, "responsive": True}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

# Plotly draws its own slider as a picture that no keyboard reaches, so the page has a native one.
_PAGE = """\
<figure id="{name}" style="margin:0;padding:4px;background:#fff;color:#1f2933;
font:14px system-ui,sans-serif">
<div role="img" aria-label="{alt}"></div></figure>
<noscript>{alt} (This figure moves only where JavaScript is switched on.)</noscript>
<script>
(() => {{
  const figure = {figure};
  const place = document.getElementById("{name}"), plot = place.firstElementChild;
  const {{ sliders = [], updatemenus = [] }} = figure.layout;
  delete figure.layout.sliders;
  delete figure.layout.updatemenus;
  const add = ({{ name, active, steps, buttons }}) => {{
    const stops = steps || buttons, label = document.createElement("label");
    const input = document.createElement(steps ? "input" : "select");
    const now = document.createElement("output");
    if (steps) Object.assign(input, {{ type: "range", min: 0, max: stops.length - 1 }});
    else stops.forEach((stop, i) => input.add(new Option(stop.label, i)));
    input.style.width = steps ? "min(55%, 20em)" : "auto";
    input.value = active || 0;
    const tell = () => {{
      now.value = steps ? stops[input.value].label : "";
      input.setAttribute("aria-valuetext", stops[input.value].label);
    }};
    input.oninput = () => {{
      tell();
      Plotly[stops[input.value].method](plot, ...stops[input.value].args);
    }};
    tell();
    label.append((name || "Show") + " ", input, " ", now);
    place.append(label);
  }};
  const draw = () => Plotly.newPlot(plot, figure).then(() => sliders.concat(updatemenus).map(add));
  if (window.Plotly) {{ draw(); return; }}
  const script = document.createElement("script");
  script.src = "{script}";
  script.onload = draw;
  script.onerror = () => {{ plot.textContent = "Plotly could not be loaded: are you offline?"; }};
  document.head.append(script);
}})();
</script>"""


def show(figure: go.Figure, name: str, *, alt: str | None = None) -> None:
    """Display a moving figure so that it works in a notebook, in Colab and on a static page.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        From :func:`slider` or :func:`selector`, or one of your own with frames. The book's
        template takes the place of the figure's.
    name : str
        Lower-case letters, digits and hyphens; used once per chapter.
    alt : str, optional
        What the figure shows, for a reader who does not see it; the title when left out.

    Raises
    ------
    ValueError
        ``name`` has other characters.
    TypeError
        ``figure`` is not a Plotly figure.
    ImportError
        IPython, which every notebook has, is missing.

    Examples
    --------
    >>> from llmlib.viz import slider
    >>> frames = {n: [go.Scatter(y=[0, n])] for n in (1, 2)}
    >>> show(slider(frames, prefix="slope = "), "two-slopes", alt="A line gets steeper.")
    <moving figure two-slopes>
    """
    try:
        from IPython.display import display
    except ImportError as error:
        raise ImportError(
            "a moving figure is displayed with IPython, which is not installed: run this in a "
            "notebook, or install the extra with pip install 'llmlib[lab]'"
        ) from error
    display(_Moving(_bundle(figure, name, alt)))


class _Moving:
    """A figure as IPython displays it: rich in a notebook, one line elsewhere."""

    def __init__(self, forms: dict[str, Any]) -> None:
        self.forms = forms

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.forms

    def __repr__(self) -> str:
        return self.forms["text/plain"]


def _bundle(figure: go.Figure, name: str, alt: str | None) -> dict[str, Any]:
    """The three stored forms of a figure, by MIME type."""
    if not isinstance(figure, go.Figure):
        raise TypeError(f"figure is a {type(figure).__name__}, but a plotly go.Figure is needed")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name={name!r} may hold lower-case letters, digits and single hyphens only: write "
            "for example 'softmax-temperature'"
        )
    spec = plain(figure.to_plotly_json())
    layout = spec["layout"]
    alt = alt or layout.get("title", {}).get("text") or f"Moving figure {name}"
    layout["template"] = TEMPLATE
    layout["autosize"] = True
    layout["dragmode"] = False  # a finger on the figure scrolls the page
    layout["meta"] = {**layout.get("meta", {}), "alt": alt}
    spec["config"] = _CONFIG
    spec = plain(spec)
    text = json.dumps(spec, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    page = _PAGE.format(name=name, alt=html.escape(alt), figure=text, script=PLOTLY_SCRIPT)
    return {
        "application/vnd.plotly.v1+json": spec,
        "text/html": page,
        "text/plain": f"<moving figure {name}>",
    }


def plain(value: Any) -> Any:
    """Copy of nested data as JSON knows it, with numbers at four significant digits.

    What is left of a sum that should be zero differs from one processor to another, so numbers
    below 1e-12 become 0. Infinity and NaN, which JSON lacks, become null: Plotly leaves a gap.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, torch.Tensor):
        return plain(value.tolist())
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return float(f"{value:.4g}") if abs(value) >= 1e-12 else 0.0
    return value

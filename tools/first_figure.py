"""The moving figure on the book's first page: attention among four words in the plane.

python -m tools.first_figure        writes book/data/first_figure.json

The page has no cells, so its figure is stored as data. `tests/site/test_first_figure.py` makes it
again with the library and compares.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch

from llmlib.nn import scaled_dot_product_attention
from llmlib.viz import COLORS, slider
from llmlib.viz.display import TEMPLATE, plain

FILE = Path("book") / "data" / "first_figure.json"

# Placed by hand: animals to the upper right, vehicles to the left, food below.
WORDS = {"cat": (2.8, 0.8), "dog": (1.9, 2.2), "car": (-2.7, 1.0), "apple": (0.5, -2.6)}
LABELS = ["middle right", "top center", "top center", "bottom center"]  # away from the origin
LENGTH = 2.2  # of the query: long enough for the weights to be decided
STEP = 15  # degrees from one stop of the slider to the next

TITLE = "A query looks at four words and mixes them"
ALT = (
    "Four words are arrows in the plane: cat and dog point to the upper right, car to the left, "
    "apple down. A slider turns a fifth arrow, the query. Words in the query's direction get "
    "large weights and large dots, and the answer, which is the weighted mean of the words, "
    "lies near them. Between two words the answer lies between them."
)


def traces(degrees: int) -> list[dict]:
    """What is drawn when the query points into one direction."""
    angle = math.radians(degrees)
    query = LENGTH * torch.tensor([[math.cos(angle), math.sin(angle)]])
    words = torch.tensor(list(WORDS.values()))
    answer, weights = scaled_dot_product_attention(query, words, words, return_weights=True)
    shares = weights[0].tolist()
    spokes_x = [c for x, _ in WORDS.values() for c in (0, x, None)]
    spokes_y = [c for _, y in WORDS.values() for c in (0, y, None)]
    return [
        {
            "x": spokes_x,
            "y": spokes_y,
            "mode": "lines",
            "line": {"color": COLORS["grey"], "width": 1.5},
            "hoverinfo": "skip",
            "showlegend": False,
        },
        {
            "x": [x for x, _ in WORDS.values()],
            "y": [y for _, y in WORDS.values()],
            "text": [f"{word} {share:.0%}" for word, share in zip(WORDS, shares, strict=True)],
            "mode": "markers+text",
            "textposition": LABELS,
            "marker": {
                "color": COLORS["blue"],
                "size": [10 + 34 * math.sqrt(share) for share in shares],
                "opacity": 0.75,
            },
            "name": "words, as large as their weight",
            "hoverinfo": "text",
        },
        _arrow(query[0].tolist(), COLORS["orange"], "query"),
        _arrow(answer[0].tolist(), COLORS["green"], "answer: the weighted mean"),
    ]


def _arrow(tip: list[float], colour: str, name: str) -> dict:
    return {
        "x": [0, tip[0]],
        "y": [0, tip[1]],
        "mode": "lines+markers",
        "line": {"color": colour, "width": 4},
        "marker": {"color": colour, "size": 14, "symbol": "arrow", "angleref": "previous"},
        "name": name,
        "hoverinfo": "skip",
    }


def first_figure() -> dict:
    """Return the figure as the page reads it."""
    figure = slider(
        {f"{degrees}°": traces(degrees) for degrees in range(0, 360, STEP)},
        prefix="direction of the query: ",
        title=TITLE,
        xrange=(-3.6, 4.2),
        yrange=(-3.4, 3.2),
        start=3,
        height=430,
    )
    axis = {"visible": False, "fixedrange": True}
    figure.update_layout(xaxis=axis, yaxis={**axis, "scaleanchor": "x"}, dragmode=False)
    spec = plain(figure.to_plotly_json())
    spec["layout"]["template"] = plain(TEMPLATE)
    spec["layout"]["meta"] = {"alt": ALT}
    return spec


def main() -> int:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(first_figure(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    FILE.write_text(text + "\n", encoding="utf-8")
    print(f"{FILE}: {len(text) // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

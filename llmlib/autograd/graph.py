"""Draw the expression behind a value: boxes for numbers, arrows for local derivatives.

The picture is an SVG text made here, so no drawing program is needed. Rows go from the leaves at
the top down to the result; each box shows the number and, after ``backward``, its gradient; each
arrow carries the local derivative, so that a path multiplied along its arrows and summed over
paths gives the gradient in the box it starts from.

Layout: a value stands one row above its nearest child (longest path first), an arrow that skips a
row bends between that row's boxes, and the order inside a row follows the mean place of the
neighbours (Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
structures", IEEE Trans. SMC 11, 1981, in its simplest form).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from .value import Value, topological_order

__all__ = ["graph_svg"]

BOX_WIDTH, BOX_HEIGHT, BOX_GAP, ROW_GAP, BEND_WIDTH, MARGIN = 92, 64, 16, 52, 8, 16
# The book's palette; a test compares it with llmlib.viz, which this floor may not import.
INK, GREY, PAPER, BLUE, ORANGE = "#1f2933", "#6b7785", "#ffffff", "#2f6fb0", "#d9772b"

_Item: TypeAlias = "Value | _Bend"
_Places: TypeAlias = "dict[_Item, tuple[float, float]]"
_Routes: TypeAlias = "dict[tuple[Value, int], list[_Bend]]"


def graph_svg(
    root: Value,
    *,
    decimals: int = 2,
    show_gradients: bool = True,
    show_derivatives: bool = True,
    title: str = "Expression graph",
    max_values: int = 120,
) -> str:
    """Return the expression graph of ``root`` as an SVG document.

    Parameters
    ----------
    root : Value
        The result. Blue boxes are leaves, grey ones lie between, the orange one is the result.
    decimals : int
        Digits after the point.
    show_gradients : bool
        Write the gradient into each box (call ``backward`` first).
    show_derivatives : bool
        Write the local derivative beside each arrow.
    title : str
        Read aloud by screen readers.
    max_values : int
        Refuse larger graphs, which nobody could read.

    Examples
    --------
    >>> a = Value(2.0, label="a")
    >>> b = a * 3
    >>> b.backward()
    >>> svg = graph_svg(b)
    >>> svg.startswith("<svg") and "grad 3.00" in svg
    True
    """
    order = topological_order(root)
    if len(order) > max_values:
        raise ValueError(
            f"the graph has {len(order)} values, more than the {max_values} that fit a drawing; "
            "draw a smaller expression or raise max_values"
        )
    places, routes, width, height = _layout(order)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" font-size="14">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="10" fill="{PAPER}"/>',
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{GREY}"/></marker></defs>',
    ]
    for value in order:
        for i, (parent, local) in enumerate(zip(value.parents, value.local_gradients, strict=True)):
            text = _number(local, decimals) if show_derivatives else ""
            stops = [places[item] for item in (parent, *routes[value, i], value)]
            parts.append(_arrow(stops, text))
    for value in order:
        colour = ORANGE if value is root else GREY if value.parents else BLUE
        parts.append(_box(value, places[value], colour, decimals, show_gradients))
    return "\n".join([*parts, "</svg>"])


@dataclass(eq=False)
class _Bend:
    """Where an arrow that skips a row passes through it, between the boxes."""


def _layout(order: list[Value]) -> tuple[_Places, _Routes, int, int]:
    """Place the boxes; route each arrow; return width and height of the drawing too.

    ``places`` holds the middle of the upper edge of every box and bend; ``routes`` the bends,
    from top to bottom, of the arrow into ``value`` from its i-th parent.
    """
    row_of: dict[Value, int] = {}
    nearest_child: dict[Value, int] = {}
    for value in order:
        row_of[value] = 1 + max((row_of[parent] for parent in value.parents), default=-1)
    for value in reversed(order):  # pull leaves next to where they are used
        row_of[value] = nearest_child.get(value, row_of[value] + 1) - 1
        for parent in value.parents:
            nearest_child[parent] = min(nearest_child.get(parent, row_of[value]), row_of[value])

    rows: list[list[_Item]] = [[] for _ in range(row_of[order[-1]] + 1)]
    neighbours: dict[_Item, list[_Item]] = {value: [] for value in order}
    routes: _Routes = {}
    for value in order:
        rows[row_of[value]].append(value)
        for i, parent in enumerate(value.parents):
            bends = [_Bend() for _ in range(row_of[parent] + 1, row_of[value])]
            routes[value, i] = bends
            for bend, row in zip(bends, rows[row_of[parent] + 1 :], strict=False):
                row.append(bend)
                neighbours[bend] = []
            for above, below in itertools.pairwise([parent, *bends, value]):
                neighbours[above].append(below)
                neighbours[below].append(above)
    places, width = _spread(rows, neighbours)
    height = 2 * MARGIN + len(rows) * (BOX_HEIGHT + ROW_GAP) - ROW_GAP
    return places, routes, width, height


def _spread(rows: list[list[_Item]], neighbours: dict[_Item, list[_Item]]) -> tuple[_Places, int]:
    """Order every row by the mean place of each item's neighbours, four times over."""

    def room(item: _Item) -> int:
        return (BEND_WIDTH if isinstance(item, _Bend) else BOX_WIDTH) + BOX_GAP

    widest = max(sum(map(room, row)) for row in rows)
    middle: dict[_Item, float] = {}
    for sweep in range(5):
        for row in rows:
            if sweep:
                near = {item: [middle[n] for n in neighbours[item]] for item in row}
                means = {item: sum(m) / len(m) if m else middle[item] for item, m in near.items()}
                row.sort(key=means.__getitem__)
            left = (widest - sum(map(room, row))) / 2  # centre short rows
            for item in row:
                middle[item] = MARGIN + left + (room(item) - BOX_GAP) / 2
                left += room(item)
    places = {
        item: (middle[item], MARGIN + i * (BOX_HEIGHT + ROW_GAP))
        for i, row in enumerate(rows)
        for item in row
    }
    return places, 2 * MARGIN + widest - BOX_GAP


def _arrow(points: list[tuple[float, float]], text: str) -> str:
    """Draw an arrow through ``points``, each the upper edge of a box or bend."""
    (x, y), *rest = points
    y += BOX_HEIGHT
    # The label stands near the start, where arrows into one box have not yet met.
    label_x, label_y = x + 0.32 * (rest[0][0] - x), y + 0.4 * ROW_GAP + 4
    path = f"M{x:.0f} {y:.0f}"
    for i, (next_x, next_y) in enumerate(rest):
        last = i == len(rest) - 1
        middle = y + ROW_GAP / 2
        end = next_y - 2 * last
        path += f"C{x:.0f} {middle:.0f} {next_x:.0f} {middle:.0f} {next_x:.0f} {end:.0f}"
        if not last:
            path += f"V{next_y + BOX_HEIGHT:.0f}"
        x, y = next_x, next_y + BOX_HEIGHT
    line = (
        f'<path d="{path}" fill="none" stroke="{GREY}" stroke-width="1.4" marker-end="url(#tip)"/>'
    )
    room = 8 * len(text) + 4
    label = (
        f'<rect x="{label_x - room / 2:.0f}" y="{label_y - 12:.0f}" width="{room}" height="16" '
        f'fill="{PAPER}" class="slope"/><text x="{label_x:.0f}" y="{label_y:.0f}" '
        f'text-anchor="middle" fill="{INK}" font-size="13">{text}</text>'
    )
    return line + label if text else line


def _box(
    value: Value, place: tuple[float, float], colour: str, decimals: int, show_gradient: bool
) -> str:
    middle, top = place
    name = " = ".join(part for part in (value.label, value.operation) if part)
    lines = [(escape(name), "bold"), (_number(value.data, decimals), "normal")]
    if show_gradient:
        lines.append((f"grad {_number(value.grad, decimals)}", "normal"))
    lines = [line for line in lines if line[0]]
    first = top + BOX_HEIGHT / 2 - 9.5 * (len(lines) - 1) + 5
    texts = "".join(
        f'<text x="{middle:.0f}" y="{first + 19 * i:.0f}" text-anchor="middle" '
        f'font-weight="{weight}" fill="{INK}">{text}</text>'
        for i, (text, weight) in enumerate(lines)
    )
    return (
        f'<rect x="{middle - BOX_WIDTH / 2:.0f}" y="{top:.0f}" width="{BOX_WIDTH}" '
        f'height="{BOX_HEIGHT}" rx="8" fill="{PAPER}" stroke="{colour}" stroke-width="2"/>{texts}'
    )


def _number(number: float, decimals: int) -> str:
    return f"{round(number, decimals) + 0.0:.{decimals}f}"

"""Draw the expression behind a value: boxes for numbers, arrows for local derivatives.

The picture is an SVG text made here, so no drawing program is needed. Columns go from the leaves
on the left to the result on the right; each box shows the number and, after ``backward``, its
gradient; each arrow carries the local derivative, so that a path multiplied along its arrows and
summed over paths gives the gradient in the box it starts from.

Layout: a value stands one column left of its nearest child (longest path first), and the order
inside a column follows the mean height of its neighbours (Sugiyama, Tagawa and Toda, "Methods for
visual understanding of hierarchical system structures", IEEE Trans. SMC 11, 1981, in its simplest
form).
"""

from __future__ import annotations

from html import escape

from .value import Value, topological_order

__all__ = ["graph_svg"]

BOX_WIDTH, BOX_HEIGHT, COLUMN_GAP, ROW_GAP, MARGIN = 104, 58, 66, 22, 16
# The book's palette; a test compares it with llmlib.viz, which this floor may not import.
INK, GREY, PAPER, BLUE, ORANGE = "#1f2933", "#6b7785", "#ffffff", "#2f6fb0", "#d9772b"


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
    places, width, height = _layout(order)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="10" fill="{PAPER}"/>',
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{GREY}"/></marker></defs>',
    ]
    for value in order:
        for parent, local in zip(value.parents, value.local_gradients, strict=True):
            text = _number(local, decimals) if show_derivatives else ""
            parts.append(_arrow(places[parent], places[value], text))
    for value in order:
        colour = ORANGE if value is root else GREY if value.parents else BLUE
        parts.append(_box(value, places[value], colour, decimals, show_gradients))
    return "\n".join([*parts, "</svg>"])


def _layout(order: list[Value]) -> tuple[dict[Value, tuple[float, float]], int, int]:
    """Place the top left corner of every box; also return width and height of the drawing."""
    depth: dict[Value, int] = {}
    children: dict[Value, list[Value]] = {value: [] for value in order}
    for value in order:
        depth[value] = 1 + max((depth[parent] for parent in value.parents), default=-1)
        for parent in value.parents:
            children[parent].append(value)
    for value in reversed(order):  # pull leaves next to where they are used
        if children[value]:
            depth[value] = min(depth[child] for child in children[value]) - 1
    columns: list[list[Value]] = [[] for _ in range(max(depth.values()) + 1)]
    for value in order:
        columns[depth[value]].append(value)

    tallest = max(len(column) for column in columns)
    rank = {value: float(i) for column in columns for i, value in enumerate(column)}
    for _ in range(4):
        for column in columns:
            near = {v: [rank[n] for n in (*v.parents, *children[v])] or [rank[v]] for v in column}
            column.sort(key=lambda v, near=near: sum(near[v]) / len(near[v]))
            offset = (tallest - len(column)) / 2  # centre short columns
            for i, value in enumerate(column):
                rank[value] = i + offset
    places = {
        value: (
            MARGIN + depth[value] * (BOX_WIDTH + COLUMN_GAP),
            MARGIN + rank[value] * (BOX_HEIGHT + ROW_GAP),
        )
        for value in order
    }
    width = 2 * MARGIN + len(columns) * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP
    height = 2 * MARGIN + tallest * (BOX_HEIGHT + ROW_GAP) - ROW_GAP
    return places, width, height


def _arrow(start: tuple[float, float], end: tuple[float, float], text: str) -> str:
    x1, y1 = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT / 2
    x2, y2 = end[0] - 2, end[1] + BOX_HEIGHT / 2
    bend = COLUMN_GAP / 2
    path = (
        f'<path d="M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} '
        f'{x2:.0f} {y2:.0f}" fill="none" stroke="{GREY}" stroke-width="1.4" '
        f'marker-end="url(#tip)"/>'
    )
    # Near the start of the arrow, where arrows into one box have not yet met.
    x, y = x1 + 0.42 * COLUMN_GAP, y1 + 0.36 * (y2 - y1) - 5
    label = (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" fill="{INK}" stroke="{PAPER}" '
        f'stroke-width="3" paint-order="stroke" font-size="11">{text}</text>'
    )
    return path + label if text else path


def _box(
    value: Value, place: tuple[float, float], colour: str, decimals: int, show_gradient: bool
) -> str:
    x, y = place
    name = " = ".join(part for part in (value.label, value.operation) if part)
    lines = [(escape(name), "bold"), (_number(value.data, decimals), "normal")]
    if show_gradient:
        lines.append((f"grad {_number(value.grad, decimals)}", "normal"))
    lines = [line for line in lines if line[0]]
    first = y + BOX_HEIGHT / 2 - 8.5 * (len(lines) - 1) + 4
    texts = "".join(
        f'<text x="{x + BOX_WIDTH / 2:.0f}" y="{first + 17 * i:.0f}" text-anchor="middle" '
        f'font-weight="{weight}" fill="{INK}">{text}</text>'
        for i, (text, weight) in enumerate(lines)
    )
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" '
        f'fill="{PAPER}" stroke="{colour}" stroke-width="2"/>{texts}'
    )


def _number(number: float, decimals: int) -> str:
    return f"{round(number, decimals) + 0.0:.{decimals}f}"

"""Still figures that many chapters need: an attention map and a line plot.

Both draw into given axes or make their own, and return the axes, so that a chapter can add to
them. The page needs a text alternative as well; it goes into the metadata of the cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from llmlib.viz.palette import COLORS, CYCLE
from llmlib.viz.style import SEQUENTIAL_MAP

__all__ = ["attention_map", "line_plot"]

_MOST_CELLS_WITH_NUMBERS = 64
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))


def attention_map(
    weights: Sequence[Sequence[float]],
    query_labels: Sequence[str],
    key_labels: Sequence[str],
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw attention weights as a heat map: a row per query, a column per key.

    The colours always run from 0 to 1, so that maps can be compared with one another. Up to
    64 cells also carry their number.

    Parameters
    ----------
    weights : Tensor or array
        ``(T, S)``, numbers from 0 to 1.
    query_labels, key_labels : sequence of str
        T labels for the rows and S for the columns, for example tokens.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure when left out.
    title : str
        Heading above the map.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn into.

    Raises
    ------
    ValueError
        ``weights`` is not a matrix, or the number of labels differs from its sides.

    Examples
    --------
    >>> ax = attention_map([[1.0, 0.0], [0.25, 0.75]], ["the", "cat"], ["the", "cat"])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('key', 'query')
    """
    grid = _to_array(weights)  # (T, S)
    if grid.shape != (len(query_labels), len(key_labels)):
        raise ValueError(
            f"weights has shape {grid.shape}, but there are {len(query_labels)} query labels and "
            f"{len(key_labels)} key labels: pass one (T, S) matrix with T and S labels"
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(1.6 + 0.5 * grid.shape[1], 1.2 + 0.45 * grid.shape[0]))
    ax.imshow(grid, cmap=SEQUENTIAL_MAP, vmin=0.0, vmax=1.0, aspect="auto")
    ax.set_xticks(range(grid.shape[1]), key_labels, rotation=45 if grid.shape[1] > 6 else 0)
    ax.set_yticks(range(grid.shape[0]), query_labels)
    ax.set(xlabel="key", ylabel="query", title=title)
    ax.grid(False)
    if grid.size <= _MOST_CELLS_WITH_NUMBERS:
        for (row, column), weight in np.ndenumerate(grid):
            colour = COLORS["paper"] if weight > 0.5 else COLORS["ink"]
            text = f"{weight:.2f}"
            ax.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    return ax


def line_plot(
    series: Mapping[str, Sequence[float] | tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    ax: Axes | None = None,
    floor: float | None = None,
    floor_label: str = "floor",
) -> Axes:
    """Draw one or more curves, told apart by colour and by dash.

    Parameters
    ----------
    series : mapping of str to sequence
        Label of each curve, and its heights (drawn over 0, 1, 2, …) or a pair ``(xs, ys)`` given
        as a tuple.
    xlabel, ylabel : str
        What the axes show, with the unit.
    title : str
        Heading above the plot.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure when left out.
    floor : float, optional
        Height of a dotted grey line that the curves are to be compared with, for example the
        loss of a uniform guess.
    floor_label : str
        Name of that line in the legend.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn into.

    Raises
    ------
    ValueError
        There is no curve, or a curve has different numbers of xs and ys.

    Examples
    --------
    >>> ax = line_plot({"loss": [2.0, 1.5, 1.2]}, xlabel="step", ylabel="loss (nats)", floor=0.7)
    >>> [line.get_label() for line in ax.lines]
    ['loss', 'floor']
    """
    if not series:
        raise ValueError("series is empty, but a plot needs a curve: pass {label: heights}")
    if ax is None:
        _, ax = plt.subplots()
    for index, (label, curve) in enumerate(series.items()):
        ys = _to_array(curve[1] if isinstance(curve, tuple) else curve)
        xs = _to_array(curve[0]) if isinstance(curve, tuple) else np.arange(len(ys))
        if xs.shape != ys.shape or ys.ndim != 1:
            raise ValueError(
                f"curve {label!r} has xs of shape {xs.shape} and ys of shape {ys.shape}, but "
                "needs two lists of one length: pass heights, or a tuple (xs, ys)"
            )
        ax.plot(
            xs,
            ys,
            label=label,
            color=CYCLE[index % len(CYCLE)],
            linestyle=_DASHES[index % len(_DASHES)],
        )
    if floor is not None:
        ax.axhline(floor, color=COLORS["grey"], linestyle=(0, (1, 2)), label=floor_label)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if len(ax.lines) > 1:
        ax.legend()
    return ax


def _to_array(numbers: Sequence) -> np.ndarray:
    """Turn a tensor (with or without gradient), an array or nested lists into floats."""
    detached = numbers.detach().cpu() if isinstance(numbers, torch.Tensor) else numbers
    return np.asarray(detached, dtype=float)

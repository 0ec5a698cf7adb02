"""Moving figures: a Plotly figure with a slider or a menu whose frames are computed here.

Nothing is computed while the reader moves the slider, so the figure needs no kernel. A frame
stores only what changes from frame to frame. :func:`llmlib.viz.show` displays the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType

from llmlib.viz.display import TEMPLATE, plain
from llmlib.viz.palette import DIVERGING, SEQUENTIAL

__all__ = ["selector", "slider"]

_STEP = {
    "mode": "immediate",
    "frame": {"duration": 0, "redraw": True},  # without a redraw heat maps stay as they are
    "transition": {"duration": 0},
}


def slider(
    frames: Mapping[Any, Sequence[Any]],
    *,
    prefix: str,
    title: str = "",
    xaxis: str = "",
    yaxis: str = "",
    xrange: tuple[float, float] | None = None,
    yrange: tuple[float, float] | None = None,
    start: int = 0,
    height: int = 420,
) -> go.Figure:
    """Figure in which a slider walks through frames computed beforehand.

    Axes and colour range cover all frames, so that what moves is the data and not the scale. A
    heat map is drawn as a matrix is written: first row on top.

    Parameters
    ----------
    frames : mapping of label to traces
        What to draw at each stop, in order. All stops have the same number of traces, of the
        same types and with the same properties. Labels are turned into text.
    prefix : str
        What the slider changes, written before the label: ``"temperature = "``.
    title, xaxis, yaxis : str
        Heading, and what the axes show, with the unit. About 40 characters fit on a phone.
    xrange, yrange : pair of float, optional
        Ends of an axis, where the ones found in the frames do not suit.
    start : int
        Index of the stop shown first.
    height : int
        Height in pixels. The width is that of the page.

    Returns
    -------
    plotly.graph_objects.Figure
        Hand it to :func:`show`.

    Raises
    ------
    ValueError
        There are fewer than two frames, two have one label, their traces differ in number, type
        or properties, or ``start`` is not one of them.

    Examples
    --------
    >>> frames = {t: [go.Bar(x=["a", "b"], y=[t, 1 - t])] for t in (0.1, 0.5, 0.9)}
    >>> figure = slider(frames, prefix="share of a = ", yaxis="probability")
    >>> [frame.name for frame in figure.frames]
    ['0.1', '0.5', '0.9']
    """
    figure = _with_frames(frames, start, title, xaxis, yaxis, xrange, yrange, height)
    steps = [_step(frame.name, frame.name) for frame in figure.frames]
    figure.update_layout(
        sliders=[
            {
                "active": start,
                "name": prefix.strip(" =:"),
                "currentvalue": {"prefix": prefix, "xanchor": "left"},
                "pad": {"t": 64 if xaxis else 40, "b": 8},  # below the labels of the axis
                "steps": steps,
            }
        ],
    )
    return figure


def selector(
    frames: Mapping[Any, Sequence[Any]],
    *,
    prefix: str,
    title: str = "",
    xaxis: str = "",
    yaxis: str = "",
    xrange: tuple[float, float] | None = None,
    yrange: tuple[float, float] | None = None,
    start: int = 0,
    height: int = 420,
) -> go.Figure:
    """Figure with a menu that picks one of several frames: for kinds, where order means nothing.

    ``prefix`` names the menu, for example ``"head"``. Everything else is as in :func:`slider`.

    Examples
    --------
    >>> maps = {"head 1": [[1.0, 0.0], [0.5, 0.5]], "head 2": [[1.0, 0.0], [0.9, 0.1]]}
    >>> frames = {name: [go.Heatmap(z=weights)] for name, weights in maps.items()}
    >>> figure = selector(frames, prefix="weights of", xaxis="key", yaxis="query")
    >>> [button.label for button in figure.layout.updatemenus[0].buttons]
    ['head 1', 'head 2']
    """
    figure = _with_frames(frames, start, title, xaxis, yaxis, xrange, yrange, height)
    figure.update_layout(
        margin={"t": 96},
        updatemenus=[
            {
                "active": start,
                "buttons": [_step(frame.name, frame.name) for frame in figure.frames],
                "name": prefix.strip(" =:"),
                "showactive": True,
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
            }
        ],
    )
    return figure


def _with_frames(
    frames: Mapping[Any, Sequence[Any]],
    start: int,
    title: str,
    xaxis: str,
    yaxis: str,
    xrange: tuple[float, float] | None,
    yrange: tuple[float, float] | None,
    height: int,
) -> go.Figure:
    """Figure that shows one frame and holds them all, on common axes; without a control yet."""
    stops = {str(label): [_trace(t) for t in traces] for label, traces in frames.items()}
    _check_stops(stops, len(frames), start)
    every = list(stops.values())
    _share_colours(every)
    kinds = {trace["type"] for traces in every for trace in traces}
    if xrange is None and kinds <= {"scatter"}:
        xrange = _ends(trace.get("x") for traces in every for trace in traces)
    if yrange is None and kinds <= {"scatter", "bar"}:
        ys = [trace.get("y") for traces in every for trace in traces]
        yrange = _ends([*ys, [0.0]] if "bar" in kinds else ys)
    changing = [
        {key for traces in every for key in traces[i] if traces[i][key] != every[0][i][key]}
        for i in range(len(every[0]))
    ]
    figure = go.Figure(
        data=every[start],
        frames=[
            go.Frame(
                name=label,
                traces=list(range(len(traces))),
                data=[
                    {key: value for key, value in trace.items() if key in keys or key == "type"}
                    for trace, keys in zip(traces, changing, strict=True)
                ],
            )
            for label, traces in stops.items()
        ],
    )
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        margin={"l": 8, "r": 8, "t": 48 if title else 16, "b": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        title={"text": title},
        xaxis={"title": {"text": xaxis}, "range": xrange},
        yaxis={"title": {"text": yaxis}, "range": yrange},
    )
    if "heatmap" in kinds and yrange is None:
        figure.update_yaxes(autorange="reversed")
    return figure


def _step(frame: str, label: str) -> dict[str, Any]:
    """One stop of a slider or one entry of a menu."""
    return {"label": label, "method": "animate", "args": [[frame], _STEP]}


def _trace(trace: Any) -> dict[str, Any]:
    """A trace as plain lists and numbers, whether it came as an object or as a dictionary."""
    given = trace.to_plotly_json() if isinstance(trace, BaseTraceType) else trace
    return {"type": "scatter", **plain(given)}


def _check_stops(stops: Mapping[str, list[dict]], given: int, start: int) -> None:
    if len(stops) < 2 or len(stops) != given:
        raise ValueError(
            f"{given} frames have the labels {list(stops)}, but two or more different labels are "
            "needed: a figure that does not move is a Matplotlib figure"
        )
    # A property that only some frames have would stay as the frame before left it.
    shapes = {
        label: [f"{trace['type']}({', '.join(sorted(trace))})" for trace in traces]
        for label, traces in stops.items()
    }
    first = next(iter(shapes))
    for label, found in shapes.items():
        if found != shapes[first]:
            raise ValueError(
                f"frame {label!r} has traces {found} and frame {first!r} has {shapes[first]}: give "
                "every frame the same traces with the same properties, and hide one with "
                "visible=False"
            )
    if not 0 <= start < len(stops):
        raise ValueError(f"start={start} is not one of the {len(stops)} frames: count from 0")


def _share_colours(every: Sequence[list[dict]]) -> None:
    """Give the heat maps one colour scale that holds all their numbers, unless they have theirs.

    Numbers of one sign run from 0 on paper; with both signs, 0 is in the middle, on paper too.
    """
    maps = [trace for traces in every for trace in traces if trace["type"] == "heatmap"]
    ends = _ends((row for trace in maps for row in trace["z"]), margin=0.0)
    if ends is None:
        return
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    if low < 0:
        low, high = -max(-low, high), max(-low, high)
    colours = DIVERGING if low < 0 else SEQUENTIAL
    scale = [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]
    for trace in maps:
        for key, value in (("zmin", low), ("zmax", high), ("colorscale", scale)):
            trace.setdefault(key, value)


def _ends(columns: Iterable[Any], margin: float = 0.05) -> tuple[float, float] | None:
    """Lowest and highest number of several lists, with a margin; None where there are words."""
    cells = [cell for column in columns if column is not None for cell in column]
    numbers = [cell for cell in cells if isinstance(cell, (int, float))]
    words = [cell for cell in cells if cell is not None and not isinstance(cell, (int, float))]
    if words or not numbers:
        return None
    low, high = min(numbers), max(numbers)
    spare = margin * ((high - low) or 1.0)
    return (low - spare if low != 0 else 0.0, high + spare if high != 0 else 0.0)

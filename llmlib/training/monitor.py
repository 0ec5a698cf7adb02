r"""What to watch while a model trains, besides its loss.

.. math::

   \text{update ratio} = \frac{\lVert W_{t+1} - W_t \rVert_F}{\lVert W_t \rVert_F}

=====================  ==========================================================================
quantity               what it tells
=====================  ==========================================================================
``update_ratio``       whether the learning rate suits the size of the weights
``tokens_per_second``  whether the machine does what it can
spikes of the loss     whether the run is close to its limit, or a batch is broken
=====================  ==========================================================================

A monitor is handed to :class:`~llmlib.training.Trainer` and called around each update; what it
returns goes into the history and the logs.

References
----------
1. Chowdhery et al., *PaLM: Scaling Language Modeling with Pathways*, JMLR 2023, arXiv:2204.02311
   (spikes of the loss, and the share of a machine's arithmetic that is used).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

__all__ = ["Monitor", "Throughput", "UpdateRatio", "find_spikes", "running_mean"]


class Monitor(Protocol):
    """Something that is measured around each update."""

    def before_update(self, model: nn.Module) -> None:
        """The gradients are there, the weights are still the old ones."""

    def after_update(self, model: nn.Module, row: dict[str, float]) -> dict[str, float]:
        """The weights are new; return what to add to the ``row`` of this step."""


class UpdateRatio:
    """By how much of its length an update changes the matrices of a model.

    Vectors (the weights of norms, biases) are left out: they begin at 0 or 1, and a ratio to 0
    says nothing.

    Parameters
    ----------
    each : bool
        Whether to log every matrix by its name too, as ``update_ratio.NAME``.

    Notes
    -----
    It keeps a copy of the matrices from :meth:`before_update` to :meth:`after_update`. Where the
    weights are sharded among processes, give it none: no process has a matrix whole.

    Examples
    --------
    >>> layer = nn.Linear(1, 2, bias=False)
    >>> layer.weight.data = torch.tensor([[3.0], [4.0]])
    >>> monitor = UpdateRatio()
    >>> monitor.before_update(layer)
    >>> layer.weight.data += torch.tensor([[0.0], [0.5]])
    >>> monitor.after_update(layer, {})
    {'update_ratio': 0.1}
    """

    def __init__(self, *, each: bool = False) -> None:
        self.each = each
        self._before: dict[str, Tensor] = {}

    def before_update(self, model: nn.Module) -> None:
        """Keep the old matrices."""
        self._before = {name: weight.detach().clone() for name, weight in _matrices(model)}

    @torch.no_grad()
    def after_update(self, model: nn.Module, row: dict[str, float]) -> dict[str, float]:
        """Compare them with the new ones."""
        moved = {name: float((w - self._before[name]).norm()) for name, w in _matrices(model)}
        length = {name: float(w.norm()) for name, w in self._before.items()}
        self._before = {}
        found = {"update_ratio": _ratio(math.hypot(*moved.values()), math.hypot(*length.values()))}
        if self.each:
            found |= {f"update_ratio.{name}": _ratio(moved[name], length[name]) for name in moved}
        return found


def _matrices(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(n, p) for n, p in model.named_parameters() if p.requires_grad and p.dim() >= 2]


def _ratio(moved: float, length: float) -> float:
    if length == 0:
        return math.inf if moved else 0.0
    return moved / length


class Throughput:
    """Tokens per second, from one update to the next.

    Everything in between counts: data, both passes, the update, and evaluations and checkpoints
    where a step has them. The first step has nothing to be measured from.

    Examples
    --------
    >>> monitor = Throughput()
    >>> monitor.after_update(nn.Linear(1, 1), {"tokens": 100})
    {}
    >>> sorted(monitor.after_update(nn.Linear(1, 1), {"tokens": 200}))
    ['tokens_per_second']
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def before_update(self, model: nn.Module) -> None:
        """Nothing to do."""

    def after_update(self, model: nn.Module, row: dict[str, float]) -> dict[str, float]:
        """Look at the clock and at the tokens read so far."""
        now = (time.perf_counter(), row["tokens"])
        last, self._last = self._last, now
        if last is None:
            return {}
        seconds = max(now[0] - last[0], 1e-9)
        return {"tokens_per_second": (now[1] - last[1]) / seconds}


def running_mean(values: Sequence[float], keep: float = 0.9) -> list[float]:
    r"""Smooth a noisy curve: each value is the mean of all so far, older ones counting less.

    .. math:: s_t = \frac{\sum_{i \le t} k^{t-i}\, x_i}{\sum_{i \le t} k^{t-i}}

    Parameters
    ----------
    values : sequence of float
        The curve.
    keep : float
        :math:`k`: how much of its weight a value keeps from one step to the next.

    Raises
    ------
    ValueError
        ``keep`` is not at least 0 and below 1.

    Examples
    --------
    >>> running_mean([4.0, 1.0], keep=0.5)
    [4.0, 2.0]
    """
    if not 0 <= keep < 1:
        raise ValueError(f"keep={keep}: it must be at least 0 and below 1")
    total = weight = 0.0
    smooth = []
    for value in values:
        total = keep * total + value
        weight = keep * weight + 1
        smooth.append(total / weight)
    return smooth


def find_spikes(values: Sequence[float], *, window: int = 30, height: float = 8.0) -> list[int]:
    """Places where a curve jumps up out of its own noise.

    A value is a spike when it lies over the median of the ``window`` values before it by more than
    ``height`` times their spread: the median distance from the median. Means would follow the
    spike that they are to find.

    Parameters
    ----------
    values : sequence of float
        A loss or a gradient norm, step by step. A value that is not finite is a spike.
    window : int
        Values to compare with; the first ``window`` are judged by none.
    height : float
        How many spreads.

    Returns
    -------
    list of int
        Their places, from 0.

    Raises
    ------
    ValueError
        ``window`` is below 3 or ``height`` not positive.

    Examples
    --------
    >>> calm = [2.0, 2.1, 1.9, 2.0, 2.1, 1.9, 2.0]
    >>> find_spikes([*calm, 3.5, 2.0], window=5)
    [7]
    """
    if window < 3 or not height > 0:
        raise ValueError(f"window={window}, height={height}: at least 3, and above 0")
    found = []
    for place in range(window, len(values)):
        before = [value for value in values[place - window : place] if math.isfinite(value)]
        if not math.isfinite(values[place]) or not before:
            found.append(place)
            continue
        middle = statistics.median(before)
        spread = statistics.median(abs(value - middle) for value in before)
        if values[place] - middle > height * max(spread, 1e-12 * abs(middle)):
            found.append(place)
    return found

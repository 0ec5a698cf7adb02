r"""How far a measured number may lie from the truth: the bootstrap.

A score over 200 questions would come out differently over 200 others. The bootstrap asks how
differently, with no formula for the spread: draw n of the n results **with replacement**, compute
the number again, repeat; the middle 95 % of what comes out is the interval.

References
----------
1. Efron, *Bootstrap Methods: Another Look at the Jackknife*, 1979.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Interval", "bootstrap_interval"]


class Interval(NamedTuple):
    """A number and the ends of its interval."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    statistic: Callable[[np.ndarray], float] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The interval in which a statistic lies for resampled results: the percentile bootstrap.

    Parameters
    ----------
    values : sequence
        One row per question, ``(n,)`` or ``(n, ...)``. To compare two systems on the same
        questions, give the differences: their interval is narrower than the two together.
    statistic : callable, optional
        Resampled rows to a number; the mean when left out.
    level : float
        Share of the resampled numbers between the ends, above 0 and below 1.
    resamples : int
        How often to draw.
    seed : int
        Of the draws.

    Returns
    -------
    Interval
        ``value`` is the statistic of the results themselves.

    Raises
    ------
    ValueError
        There are no values, or ``level`` is out of range.

    Examples
    --------
    180 of 200 right: about 0.9 plus or minus twice the root of 0.9 * 0.1 / 200.

    >>> interval = bootstrap_interval([1] * 180 + [0] * 20)
    >>> interval.value, round(interval.low, 2), round(interval.high, 2)
    (0.9, 0.85, 0.94)
    """
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim == 0 or len(rows) == 0:
        raise ValueError("there are no values to resample: give one for each question")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, 0.95 say")
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be at least 1")
    measure = np.mean if statistic is None else statistic
    generator = np.random.default_rng(seed)
    draws = [measure(rows[generator.integers(len(rows), size=len(rows))]) for _ in range(resamples)]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(measure(rows)), float(low), float(high))

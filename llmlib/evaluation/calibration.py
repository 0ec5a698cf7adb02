r"""Whether probabilities mean what they say.

Of all predictions made with 70 %, seven of ten should come true. Predictions are sorted into bins
by their probability, and in each bin the mean probability is held against the share that came true:

.. math::

   \mathrm{ECE} = \sum_b \frac{n_b}{n} \left| \bar p_b - \bar y_b \right|

==================  ===================  ===========================================
code                symbol               shape
==================  ===================  ===========================================
``probabilities``   :math:`p`            ``(n,)``
``outcomes``        :math:`y`            ``(n,)``, True where it came true
``predicted``       :math:`\bar p_b`     a number for each bin that is not empty
``observed``        :math:`\bar y_b`     the same
``counts``          :math:`n_b`          the same
==================  ===================  ===========================================

References
----------
1. Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["ReliabilityCurve", "expected_calibration_error", "reliability_curve"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """Mean probability, share that came true and number of predictions, of each bin in use."""

    predicted: list[float]
    observed: list[float]
    counts: list[int]


def reliability_curve(
    probabilities: Sequence[float], outcomes: Sequence[bool], *, bins: int = 10
) -> ReliabilityCurve:
    """Predicted against observed, in bins of equal width from 0 to 1.

    Parameters
    ----------
    probabilities : sequence of float
        ``(n,)``, between 0 and 1.
    outcomes : sequence of bool
        ``(n,)``, whether what was predicted came true.
    bins : int
        Number of bins; a border belongs to the bin above it, 1 to the last.

    Raises
    ------
    ValueError
        There is nothing to count, the lengths differ, or a probability is none.

    Examples
    --------
    >>> reliability_curve([0.1, 0.3, 0.8, 0.8, 0.9], [False, True, True, False, True], bins=2)
    ReliabilityCurve(predicted=[0.2, 0.8333333333333334], observed=[0.5, 0.6666666666666666], \
counts=[2, 3])
    """
    p, y = np.asarray(probabilities, dtype=float), np.asarray(outcomes, dtype=float)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise ValueError(
            f"probabilities have shape {p.shape}, outcomes {y.shape}: give one outcome for each "
            "of at least one probability"
        )
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities run from {p.min()} to {p.max()}, not from 0 to 1")
    if bins < 1:
        raise ValueError(f"bins={bins}: at least 1 is needed")
    which = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p, side="right")  # (n,)
    counts = np.bincount(which, minlength=bins)
    used = counts > 0
    return ReliabilityCurve(
        predicted=(np.bincount(which, p, bins)[used] / counts[used]).tolist(),
        observed=(np.bincount(which, y, bins)[used] / counts[used]).tolist(),
        counts=counts[used].tolist(),
    )


def expected_calibration_error(
    probabilities: Sequence[float], outcomes: Sequence[bool], *, bins: int = 10
) -> float:
    """Mean distance between predicted and observed, weighted with the predictions of each bin.

    Parameters
    ----------
    probabilities, outcomes, bins
        As for :func:`reliability_curve`.

    Returns
    -------
    float
        0 for a perfect match in every bin, at most 1.

    Examples
    --------
    >>> round(expected_calibration_error([0.8] * 10, [True] * 8 + [False] * 2), 3)
    0.0
    >>> round(expected_calibration_error([1.0] * 10, [True] * 8 + [False] * 2), 3)
    0.2
    """
    curve = reliability_curve(probabilities, outcomes, bins=bins)
    total = sum(curve.counts)
    return sum(
        count / total * abs(predicted - observed)
        for predicted, observed, count in zip(
            curve.predicted, curve.observed, curve.counts, strict=True
        )
    )

"""The best k of many scores, with ties in a fixed order."""

from __future__ import annotations

import numpy as np

__all__ = ["top_k"]


def top_k(scores: np.ndarray, k: int, keep: np.ndarray | None = None) -> np.ndarray:
    """Numbers of the k highest scores, the highest first; of equal ones the earlier first.

    Parameters
    ----------
    scores : numpy.ndarray
        ``(N,)``.
    k : int
        How many, at least 1; fewer come back when there are fewer.
    keep : numpy.ndarray, optional
        Boolean ``(N,)``; only these take part.

    Notes
    -----
    Sorting costs :math:`N \\log N`. Here the k-th highest score is selected in :math:`O(N)`, and
    only what reaches it is sorted.

    Examples
    --------
    >>> top_k(np.array([1.0, 3.0, 2.0, 3.0]), 3)
    array([1, 3, 2])
    >>> top_k(np.array([1.0, 3.0, 2.0, 3.0]), 3, np.array([True, False, True, True]))
    array([3, 2, 0])
    """
    if k < 1:
        raise ValueError(f"k={k}: ask for at least 1 hit")
    places = None if keep is None else np.flatnonzero(keep)
    considered = scores if places is None else scores[places]
    if k < len(considered):
        least = np.partition(considered, len(considered) - k)[len(considered) - k]
        reached = np.flatnonzero(considered >= least)
    else:
        reached = np.arange(len(considered))
    best = reached[np.argsort(-considered[reached], kind="stable")][:k]
    return best if places is None else places[best]

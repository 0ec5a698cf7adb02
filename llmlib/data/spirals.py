"""Two spirals wound into each other: two classes that no straight line can part."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["two_spirals"]


def two_spirals(
    points_per_class: int = 50,
    *,
    turns: float = 1.0,
    radius: float = 2.5,
    noise: float = 0.05,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Points on two arms that start near the centre, half a turn apart.

    Parameters
    ----------
    points_per_class : int
    turns : float
        How often each arm goes round; 1 is easy for a small network, 2 is hard.
    radius : float
        Where the arms end. At 2.5 the coordinates have a standard deviation near 1, the size of
        input that the usual starting weights of a network are made for.
    noise : float
        Standard deviation of the jitter.
    seed : int

    Returns
    -------
    points : array ``(2 * points_per_class, 2)``
    labels : array of int ``(2 * points_per_class,)``
        0 for the first arm, 1 for the second.

    Examples
    --------
    >>> points, labels = two_spirals(3, noise=0.0)
    >>> points.shape, labels.tolist()
    ((6, 2), [0, 0, 0, 1, 1, 1])
    >>> bool(np.allclose(points[:3], -points[3:]))  # the arms are each other turned by half
    True
    """
    if points_per_class < 1:
        raise ValueError(f"points_per_class is {points_per_class}; it must be at least 1")
    along = (np.arange(points_per_class) + 0.5) / points_per_class  # 0 at the centre, 1 outside
    arms = []
    for start in (0.0, math.pi):
        angle = start + 2 * math.pi * turns * along
        distance = radius * (0.1 + 0.9 * along)
        arms.append(np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1))
    points = np.concatenate(arms)
    points = points + np.random.default_rng(seed).normal(0.0, noise, points.shape)
    return points, np.repeat([0, 1], points_per_class)

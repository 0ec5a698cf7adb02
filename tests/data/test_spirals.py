"""The two spirals: shape, balance, and that no line parts them."""

import numpy as np
import pytest

from llmlib.data import two_spirals


def test_shape_balance_and_seed():
    points, labels = two_spirals(40, seed=1)
    assert 0.8 < points.std() < 1.2
    assert points.shape == (80, 2)
    assert labels.sum() == 40
    assert np.array_equal(points, two_spirals(40, seed=1)[0])
    assert not np.array_equal(points, two_spirals(40, seed=2)[0])


def test_arms_grow_outwards_and_turn_as_often_as_asked():
    points, _ = two_spirals(200, turns=1.5, noise=0.0)
    arm = points[:200]
    radius = np.linalg.norm(arm, axis=1)
    assert np.all(np.diff(radius) > 0)
    turned = np.unwrap(np.arctan2(arm[:, 1], arm[:, 0]))
    assert (turned[-1] - turned[0]) / (2 * np.pi) == pytest.approx(1.5, abs=0.02)


def test_arms_do_not_touch():
    points, labels = two_spirals(100, radius=1.0, noise=0.0)
    gaps = np.linalg.norm(points[labels == 0][:, None] - points[labels == 1][None], axis=2)
    assert gaps.min() > 0.15


def test_no_straight_line_does_much_better_than_half():
    points, labels = two_spirals(100)
    best = 0.0
    for angle in np.linspace(0, np.pi, 60):
        height = points @ np.array([np.cos(angle), np.sin(angle)])
        for cut in height:
            right = ((height > cut) == labels).mean()
            best = max(best, right, 1 - right)
    assert best < 0.75


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="points_per_class is 0"):
        two_spirals(0)

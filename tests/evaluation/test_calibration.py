"""Calibration: bins by hand, a calibrated forecaster, one that is too sure."""

import random

import pytest

from llmlib.evaluation.calibration import expected_calibration_error, reliability_curve


def test_bins_by_hand():
    curve = reliability_curve([0.0, 0.1, 0.5, 0.74, 1.0], [0, 1, 1, 0, 1], bins=4)
    assert curve.predicted == pytest.approx([0.05, 0.62, 1.0])  # 0.5 is in the bin above it
    assert curve.observed == pytest.approx([0.5, 0.5, 1.0])
    assert curve.counts == [2, 2, 1]
    expected = 2 / 5 * 0.45 + 2 / 5 * 0.12
    assert expected_calibration_error(
        [0.0, 0.1, 0.5, 0.74, 1.0], [0, 1, 1, 0, 1], bins=4
    ) == pytest.approx(expected)


def test_a_calibrated_forecaster_and_one_that_is_too_sure():
    rng = random.Random(0)
    p = [rng.random() for _ in range(20_000)]
    y = [rng.random() < chance for chance in p]
    assert expected_calibration_error(p, y) < 0.015
    bold = [chance**3 / (chance**3 + (1 - chance) ** 3) for chance in p]
    assert expected_calibration_error(bold, y) > 0.1
    curve = reliability_curve(bold, y)
    assert curve.observed[0] > curve.predicted[0]
    assert curve.observed[-1] < curve.predicted[-1]


@pytest.mark.parametrize(
    ("p", "y", "named"),
    [([], [], "at least one"), ([0.5], [1, 0], "outcome for each"), ([1.2], [1], "1.2")],
)
def test_what_is_refused(p, y, named):
    with pytest.raises(ValueError, match=named):
        reliability_curve(p, y)
    with pytest.raises(ValueError, match="bins=0"):
        reliability_curve([0.5], [True], bins=0)

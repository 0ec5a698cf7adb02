"""Measures of rankings and answers: known values, bounds, and intervals that cover the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.evaluation import (
    bootstrap_interval,
    cited,
    exact_match,
    faithfulness,
    ndcg_at_k,
    recall_at_k,
    reciprocal_rank,
)

NAMES = list("abcdefgh")


@given(
    ranking=st.permutations(NAMES),
    relevant=st.sets(st.sampled_from(NAMES), min_size=1),
    k=st.integers(1, 8),
)
def test_bounds_and_the_perfect_ranking(ranking, relevant, k):
    values = (recall_at_k(ranking, relevant, k), ndcg_at_k(ranking, relevant, k))
    assert all(0 <= value <= 1 for value in values)
    assert recall_at_k(ranking, relevant, 8) == 1
    assert (reciprocal_rank(ranking, relevant) == 1) == (ranking[0] in relevant)
    perfect = sorted(ranking, key=lambda name: name not in relevant)
    assert ndcg_at_k(perfect, relevant, k) == pytest.approx(1)
    assert recall_at_k(perfect, relevant, k) == min(k, len(relevant)) / len(relevant)


def test_known_values():
    assert recall_at_k(["a", "b"], ["b", "x"], 1) == 0
    assert recall_at_k(["a", "b"], ["b", "x"], 2) == 0.5
    assert reciprocal_rank(["a", "b", "c"], ["c"]) == pytest.approx(1 / 3)
    gains = {"a": 3.0, "b": 2.0, "c": 0.0}
    best = 3 + 2 / math.log2(3)
    assert ndcg_at_k(["b", "a"], gains, 2) == pytest.approx((2 + 3 / math.log2(3)) / best)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="nothing is relevant"):
        recall_at_k(["a"], [], 1)
    with pytest.raises(ValueError, match="twice"):
        reciprocal_rank(["a", "a"], ["a"])
    with pytest.raises(ValueError, match="k=0"):
        ndcg_at_k(["a"], ["a"], 0)
    with pytest.raises(ValueError, match="at least 0"):
        ndcg_at_k(["a"], {"a": -1.0, "b": 1.0}, 1)


def test_exact_match_forgives_form_and_nothing_else():
    assert exact_match(" the Green MILL! [2]", "green mill") == 1
    assert exact_match("green", "green mill") == 0
    assert exact_match("green mill", ["red mill", "a green mill"]) == 1
    assert exact_match("1848", "1849") == 0


def test_citations_and_faithfulness():
    passages = ["Tarobe is a village. Lunika founded it.", "It was built in 1848."]
    assert cited("no citation") == []
    assert faithfulness("Lunika 1848 [1]", passages) == 0.5
    assert faithfulness("Lunika 1848 [1][2]", passages) == 1
    assert faithfulness("Lunika [3]", passages) == 0  # there is no third passage
    assert faithfulness("Lunika [0]", passages) == 0  # and none before the first
    assert faithfulness("", passages) == 0
    assert faithfulness("Luni [1]", passages) == 0  # whole words only
    assert faithfulness("I do not know", passages) == 1


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    covered = 0
    for number in range(200):
        sample = draw.random(100) < 0.8
        interval = bootstrap_interval(sample, resamples=400, seed=number)
        assert interval.low <= interval.value <= interval.high
        covered += interval.low <= 0.8 <= interval.high
    assert 0.90 <= covered / 200 <= 0.99


def test_an_interval_narrows_with_the_root_of_the_number_and_for_paired_differences():
    draw = np.random.default_rng(1)
    widths = []
    for n in (100, 1600):
        found = bootstrap_interval(draw.random(n))
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.2)
    first = draw.random(200)
    second = first + 0.02  # always a little better
    difference = bootstrap_interval(second - first)
    assert difference.low == pytest.approx(0.02)
    alone = bootstrap_interval(first)
    assert alone.high - alone.low > 0.04


def test_other_statistics_and_bad_arguments():
    rows = np.array([[1.0, 2.0], [3.0, 1.0], [2.0, 2.0]])
    ratio = bootstrap_interval(rows, lambda r: r[:, 0].sum() / r[:, 1].sum(), resamples=50)
    assert ratio.value == pytest.approx(6 / 5)
    assert bootstrap_interval([1.0, 0.0], seed=3) == bootstrap_interval([1.0, 0.0], seed=3)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="level=95"):
        bootstrap_interval([1.0], level=95)

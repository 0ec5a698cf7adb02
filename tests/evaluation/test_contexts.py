"""What a reader was shown: known values, bounds, and what order does to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from llmlib.evaluation import answer_f1, context_precision, context_recall, exact_match

WORDS = ["red", "green", "mill", "boat", "the"]


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_context_precision_is_the_average_precision_of_what_was_found(relevant):
    ours = context_precision(relevant)
    if not any(relevant):
        assert ours == 0
        return
    scores = [-rank for rank in range(len(relevant))]
    assert ours == pytest.approx(average_precision_score(relevant, scores))
    assert ours <= context_precision(sorted(relevant, reverse=True)) == 1


def test_one_relevant_passage_counts_one_over_its_rank():
    for rank in range(1, 6):
        assert context_precision([False] * (rank - 1) + [True]) == pytest.approx(1 / rank)


def test_context_recall_is_a_share():
    assert context_recall([True, True, False, False]) == 0.5
    with pytest.raises(ValueError, match="leave the question out"):
        context_recall([])


@given(
    st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join),
)
def test_overlap_is_symmetric_and_whole_only_for_the_same_words(one, other):
    assert answer_f1(one, other) == answer_f1(other, one)
    assert 0 <= answer_f1(one, other) <= 1
    if exact_match(one, other) and answer_f1(other, other):
        assert answer_f1(one, other) == 1


def test_a_word_twice_counts_twice():
    assert answer_f1("red red", "red") == pytest.approx(2 / 3)
    assert answer_f1("I do not know.", "Lunika") == 0

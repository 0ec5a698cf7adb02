"""The table of words and numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.text.vocabulary import Vocabulary

words = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=40)


@given(words)
def test_round_trip_and_order(tokens):
    vocabulary = Vocabulary(tokens)
    assert vocabulary.decode(vocabulary.encode(tokens)) == tokens
    assert sorted(vocabulary) == sorted(set(tokens))
    assert vocabulary.counts.sum() == len(tokens)
    assert all(a >= b for a, b in zip(vocabulary.counts, vocabulary.counts[1:], strict=False))
    assert list(Vocabulary(reversed(tokens))) == list(vocabulary)


@given(words)
def test_unknown_gathers_what_was_left_out(tokens):
    vocabulary = Vocabulary(tokens, min_count=2, unknown="?")
    assert vocabulary.counts.sum() == len(tokens)
    assert vocabulary["?"] == 0 == vocabulary["never seen"]
    assert "never seen" not in vocabulary


def test_skipping_unknown_tokens():
    vocabulary = Vocabulary("abc")
    assert vocabulary.encode("axbx", skip_unknown=True) == [0, 1]
    with pytest.raises(KeyError, match="'x' is not among the 3 tokens"):
        vocabulary.encode("ax")


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(ValueError, match="occurs 3 times or more"):
        Vocabulary("abab", min_count=3)

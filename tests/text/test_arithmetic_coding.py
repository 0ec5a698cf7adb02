"""Arithmetic coding: back to the message, and never more than two bits over its information."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.data import load_text
from llmlib.text import arithmetic_coding as ac
from llmlib.text.ngram import NGramModel


def adaptive(size, seed):
    """A model whose probabilities depend on everything so far, some of them tiny or zero."""

    def next_distribution(prefix):
        generator = np.random.default_rng([seed, len(prefix), *prefix[-3:]])
        weights = generator.random(size) ** generator.integers(1, 40)
        weights[generator.integers(size)] += 1e-3
        return weights / weights.sum()

    return next_distribution


messages = st.integers(1, 12).flatmap(
    lambda size: st.tuples(
        st.just(size), st.lists(st.integers(0, size - 1), max_size=60), st.integers(0, 10**6)
    )
)


@settings(max_examples=200, deadline=None)
@given(messages)
def test_round_trip_and_length(message):
    size, symbols, seed = message
    model = adaptive(size, seed)
    code = ac.encode(symbols, model)
    assert ac.decode(code, model, length=len(symbols)) == symbols
    assert len(code) <= ac.total_bits(symbols, model) + 2


@settings(max_examples=200, deadline=None)
@given(messages)
def test_whole_numbers_against_exact_fractions(message):
    size, symbols, seed = message
    model = adaptive(size, seed)
    symbols = symbols[:3]  # at most 72 bits, so that rounding at the 60th bit is all that differs
    low, width = ac.interval(symbols, model)
    assert -math.log2(width) == pytest.approx(ac.total_bits(symbols, model), abs=1e-6)
    code = ac.encode(symbols, model)
    start = Fraction(int(code or "0", 2), 2 ** len(code))
    slack = Fraction(1, 2**58)
    assert low - slack <= start
    assert start + Fraction(1, 2 ** len(code)) <= low + width + slack
    exact = ac.code_point(low, width)
    assert len(exact) <= len(code) <= len(exact) + 2
    assert ac.decode(exact, model, length=len(symbols)) == symbols


def test_a_long_message_and_the_middle_of_the_interval():
    """Thirds keep the interval around one half, where bits stay undecided longest."""

    def thirds(prefix):
        return np.array([1 / 3, 1 / 3, 1 / 3])

    symbols = [1] * 5000
    code = ac.encode(symbols, thirds)
    assert ac.decode(code, thirds, length=5000) == symbols
    assert len(code) <= ac.total_bits(symbols, thirds) + 2
    assert len(code) == pytest.approx(5000 * math.log2(3), abs=3)


def test_what_follows_the_code_does_not_matter():
    """Codes can stand one after the other: the decoder needs no mark where one ends."""
    model = adaptive(5, 7)
    code = ac.encode([0, 3, 1, 4, 2], model)
    for tail in ("", "0" * 70, "1" * 70, "10" * 40):
        assert ac.decode(code + tail, model, length=5) == [0, 3, 1, 4, 2]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_code_length_equals_the_cross_entropy_of_a_character_model(language):
    text = "\n".join(load_text(f"river-town-{language}"))[:1500]
    model = NGramModel(3).fit([text])
    numbers = model.vocabulary.encode(text)
    code = ac.encode(numbers, model.next_distribution)
    cross_entropy = model.bits_per_token([text]) * len(text)
    assert cross_entropy - 1 < len(code) < cross_entropy + 3
    decoded = ac.decode(code, model.next_distribution, length=len(numbers))
    assert "".join(model.vocabulary.decode(decoded)) == text
    assert len(code) < 8 * len(text.encode()) / 3


def test_a_wrong_model_pays_the_divergence():
    """Coding with q what p produces costs H(p) + KL(p, q) bits a symbol."""
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])
    symbols = np.repeat([0, 1, 2], [700, 200, 100]).tolist()
    lengths = [len(ac.encode(symbols, lambda _, d=d: d)) / 1000 for d in (p, q)]
    entropy = -(p * np.log2(p)).sum()
    divergence = (p * np.log2(p / q)).sum()
    assert lengths[0] == pytest.approx(entropy, abs=0.003)
    assert lengths[1] == pytest.approx(entropy + divergence, abs=0.003)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50).filter(lambda p: sum(p) > 1e-3))
def test_integer_frequencies(weights):
    p = np.array(weights) / sum(weights)
    frequencies = ac.integer_frequencies(p)
    assert frequencies.sum() == ac.TOTAL
    assert frequencies.min() >= 1
    assert np.abs(frequencies / ac.TOTAL - p).max() < 2 * len(p) / ac.TOTAL


def test_empty_and_certain_messages_cost_nothing_or_two_bits():
    def certain(prefix):
        return np.array([1.0])

    assert ac.encode([], certain) == ""
    assert ac.decode("", certain, length=0) == []
    assert len(ac.encode([0] * 100, certain)) <= 2


def test_errors_say_what_to_do():
    def coin(prefix):
        return np.array([0.5, 0.5])

    with pytest.raises(ValueError, match="symbol 2 at place 1 is outside 0 to 1"):
        ac.encode([0, 2], coin)
    with pytest.raises(ValueError, match="only 0 and 1"):
        ac.decode("012", coin, length=2)
    with pytest.raises(ValueError, match="too short for 500 symbols"):
        ac.decode("01", coin, length=500)
    with pytest.raises(ValueError, match=r"sum to 1, not 0\.9"):
        ac.integer_frequencies(np.array([0.5, 0.4]))
    with pytest.raises(ValueError, match="not be negative"):
        ac.integer_frequencies(np.array([1.5, -0.5]))
    with pytest.raises(ValueError, match="give one row"):
        ac.integer_frequencies(np.ones((2, 2)) / 4)

"""N-gram models: worked examples, probabilities that sum to one, and what smoothing must do."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.data import english_word_world, load_text
from llmlib.text.ngram import AddK, Interpolated, KneserNey, NGramModel, WittenBell
from llmlib.text.vocabulary import Vocabulary

SMOOTHINGS = [AddK(0.5), AddK(0), Interpolated(0.6), WittenBell(), KneserNey(0.7)]
THREE = [line.split() for line in ("the cat sat", "the cat ran", "the dog sat")]


@pytest.mark.parametrize("smoothing", SMOOTHINGS, ids=lambda s: type(s).__name__)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_distribution_sums_to_one(smoothing, data):
    text = data.draw(st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=4))
    order = data.draw(st.integers(1, 4))
    model = NGramModel(order, smoothing, end="$").fit(text)
    for prefix in itertools.product(range(len(model.vocabulary)), repeat=min(order, 3)):
        distribution = model.next_distribution(prefix)
        assert distribution.sum() == pytest.approx(1.0)
        assert (distribution >= 0).all()


def test_maximum_likelihood_is_relative_frequency():
    model = NGramModel(2, AddK(0)).fit(THREE)
    assert model.probability("cat", ["the"]) == pytest.approx(2 / 3)
    assert model.probability("sat", ["cat"]) == pytest.approx(1 / 2)
    assert model.probability("the") == pytest.approx(1.0)  # every sentence begins with it
    assert model.probability("ran", ["dog"]) == 0.0


def test_laplace_by_hand():
    model = NGramModel(2, AddK(1)).fit(THREE)
    assert len(model.vocabulary) == 5
    assert model.probability("cat", ["the"]) == pytest.approx((2 + 1) / (3 + 5))
    assert model.probability("ran", ["dog"]) == pytest.approx((0 + 1) / (1 + 5))
    assert model.probability("ran", ["sat"]) == pytest.approx(1 / 5)  # nothing ever followed sat


def test_interpolation_by_hand():
    model = NGramModel(2, Interpolated(0.5)).fit(THREE)
    unigram = 0.5 * 2 / 9 + 0.5 * 1 / 5
    assert model.probability("cat", ["the"]) == pytest.approx(0.5 * 2 / 3 + 0.5 * unigram)
    assert model.probability("cat", ["ran"]) == pytest.approx(unigram)


def test_witten_bell_by_hand():
    model = NGramModel(2, WittenBell()).fit(THREE)
    unigram = (2 + 5 * 1 / 5) / (9 + 5)
    assert model.probability("cat", ["the"]) == pytest.approx((2 + 2 * unigram) / (3 + 2))


def test_kneser_ney_by_hand():
    model = NGramModel(2, KneserNey(0.5)).fit(THREE)
    # Bigram types, start included: <s> the, the cat, the dog, cat sat, cat ran, dog sat: 6.
    # cat was seen after 1 different token, sat after 2.
    cat = (1 - 0.5) / 6 + 0.5 * 5 / 6 * 1 / 5
    sat = (2 - 0.5) / 6 + 0.5 * 5 / 6 * 1 / 5
    assert model.probability("cat", ["the"]) == pytest.approx((2 - 0.5) / 3 + 0.5 * 2 / 3 * cat)
    assert model.probability("sat", ["ran"]) == pytest.approx(sat)


def test_kneser_ney_does_not_fall_for_a_frequent_word_with_one_partner():
    text = ["san francisco"] * 20 + ["red tea", "green tea", "cold tea", "my glasses"]
    sentences = [line.split() for line in text]
    for smoothing, foolish in ((WittenBell(), True), (KneserNey(), False)):
        model = NGramModel(2, smoothing).fit(sentences)
        after_a_new_word = [model.probability(w, ["glasses"]) for w in ("francisco", "tea")]
        assert (after_a_new_word[0] > after_a_new_word[1]) is foolish


def test_tables_against_plain_counting():
    text = "a banana band abandons bananas"
    model = NGramModel(3).fit([text])
    padded = ["<"] * 2 + list(text)
    plain = Counter(zip(padded, padded[1:], padded[2:], strict=False))
    assert sum(len(f.tokens) for f in model.tables[2].values()) == len(plain)
    for (one, two, three), count in plain.items():
        context = tuple(-1 if c == "<" else model.vocabulary[c] for c in (one, two))
        seen = model.followers(context)
        assert dict(zip(seen.tokens, seen.counts, strict=True))[model.vocabulary[three]] == count
    number = {**{c: model.vocabulary[c] for c in model.vocabulary}, "<": -1}
    for (context,), seen in model.continuations[1].items():
        for token, count in zip(seen.tokens, seen.counts, strict=True):
            left = {k[0] for k in plain if (number[k[1]], number[k[2]]) == (context, token)}
            assert count == len(left)


def test_sequence_probabilities_sum_to_one_when_sentences_end():
    """All sentences of up to ten tokens together have nearly all the probability."""
    model = NGramModel(2, AddK(0.1), end="$").fit([["a"], ["a", "b"], ["b"]])
    total = 0.0
    for length in range(11):
        for sentence in itertools.product("ab", repeat=length):
            total += math.exp(model.log_probabilities(sentence).sum())
    assert 0.99 < total <= 1 + 1e-9


def test_perplexity_of_a_uniform_text_is_the_number_of_symbols():
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 20_000))
    train, held_out = [text[:15_000]], [text[15_000:]]
    for order in (1, 2, 3):
        model = NGramModel(order).fit(train)
        assert model.perplexity(held_out) > 8 * 0.999  # nobody beats 8 on random letters
    assert NGramModel(1).fit(train).perplexity(held_out) == pytest.approx(8, rel=0.01)
    assert NGramModel(1).fit(train).bits_per_token(held_out) == pytest.approx(3, rel=0.01)


def test_more_context_helps_on_real_text_until_the_counts_run_out():
    lines = list(load_text("river-town-en"))
    train, held_out = lines[:-3], lines[-3:]
    vocabulary = Vocabulary("".join(train), unknown="\N{REPLACEMENT CHARACTER}")
    bits = [
        NGramModel(order, KneserNey()).fit(train, vocabulary=vocabulary).bits_per_token(held_out)
        for order in (1, 2, 3, 4)
    ]
    assert 4 < bits[0] < 4.6
    assert bits[0] > bits[1] > bits[2]
    assert bits[2] < 3.2


def test_lower_orders_beat_added_counts_on_words():
    sentences = english_word_world(3000).sentences
    train, held_out = sentences[:2500], sentences[2500:]
    vocabulary = Vocabulary(itertools.chain(["$"], itertools.chain.from_iterable(sentences)))
    scores = [
        NGramModel(3, smoothing, end="$").fit(train, vocabulary=vocabulary).perplexity(held_out)
        for smoothing in (AddK(1), Interpolated(), WittenBell(), KneserNey())
    ]
    assert scores[0] > 10 * max(scores[1:])


def test_sampling_follows_the_probabilities():
    model = NGramModel(1, AddK(0)).fit(["aaab"])
    drawn = Counter(model.generate(4000, generator=np.random.default_rng(1)))
    assert drawn["a"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_generation_stops_at_the_end_token_and_goes_on_from_a_prefix():
    model = NGramModel(2, AddK(0), end="$").fit([["x", "y", "z"]])
    generator = np.random.default_rng(0)
    assert model.generate(10, generator=generator) == ["x", "y", "z"]
    assert model.generate(10, generator=generator, prefix=["x", "y"]) == ["z"]


def test_unknown_tokens():
    vocabulary = Vocabulary("aab", unknown="?")
    model = NGramModel(2).fit(["aab"], vocabulary=vocabulary)
    assert model.bits_per_token(["axb"]) > model.bits_per_token(["aab"])
    with pytest.raises(KeyError, match="'x' is not among the 2 tokens"):
        NGramModel(2).fit(["aab"]).bits_per_token(["ax"])


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="order 0"):
        NGramModel(0)
    with pytest.raises(ValueError, match="lacks the end token"):
        NGramModel(2, end="$").fit(["ab"], vocabulary=Vocabulary("ab"))
    with pytest.raises(ValueError, match="no tokens"):
        NGramModel(1).fit(["ab"]).cross_entropy([])
    for wrong in (lambda: AddK(-1), lambda: Interpolated(1.0), lambda: KneserNey(0)):
        with pytest.raises(ValueError, match=r"is -1|is 1\.0|is 0"):
            wrong()

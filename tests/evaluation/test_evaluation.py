"""Properties of the measures, and what they refuse."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlib.evaluation import corpus_bleu, perplexity, rouge_l, rouge_n, split_characters

words = st.lists(
    st.sampled_from(["the", "fox", "found", "a", "lost", "key", "near", "mill"]), max_size=12
)
texts = words.map(" ".join)


def test_perplexity_of_an_even_choice_is_the_vocabulary_size():
    assert perplexity(torch.zeros(2, 5, 37), torch.zeros(2, 5, dtype=torch.long)) == pytest.approx(
        37
    )


def test_perplexity_is_the_exponential_of_cross_entropy():
    logits, targets = torch.randn(4, 6, 11), torch.randint(11, (4, 6))
    targets[0, :3] = -100
    mean = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert perplexity(logits, targets) == pytest.approx(float(mean.exp()), rel=1e-5)


def test_perplexity_refuses_what_it_cannot_average():
    with pytest.raises(ValueError, match="at least one token"):
        perplexity(torch.zeros(1, 2, 3), torch.full((1, 2), -100))
    with pytest.raises(ValueError, match="drop the last logits"):
        perplexity(torch.zeros(1, 3, 3), torch.zeros(1, 2, dtype=torch.long))


def test_brevity_penalty_is_the_only_loss_of_a_prefix():
    reference = "the fox found a lost key near the old mill"
    prefix = "the fox found a lost key near"
    assert corpus_bleu([prefix], [[reference]]) == pytest.approx(100 * math.exp(1 - 10 / 7))


def test_an_ngram_counts_no_more_often_than_in_the_reference():
    # The classic of the paper: one "the" of seven matches twice, not seven times.
    repeated = corpus_bleu(["the the the the the the the"], [["the cat is on the mat"]])
    assert repeated < corpus_bleu(["the cat is on it now too"], [["the cat is on the mat"]])


def test_bleu_refuses_references_without_a_stream():
    with pytest.raises(ValueError, match=r"pass \[references\]"):
        corpus_bleu(["one", "two"], [["one"]])
    with pytest.raises(ValueError, match="at least one stream"):
        corpus_bleu(["one"], [])


def test_bleu_on_characters_sees_chinese():
    assert corpus_bleu(
        ["狐狸找到钥匙"], [["狐狸找到钥匙"]], split=split_characters
    ) == pytest.approx(100)
    assert corpus_bleu(["狐狸找到钥匙"], [["乌龟丢了帽子"]], split=split_characters) == 0


@given(texts, texts)
def test_rouge_swaps_precision_and_recall_with_its_arguments(a, b):
    for score in (rouge_l, rouge_n):
        there, back = score(a, b), score(b, a)
        assert (there.precision, there.recall) == (back.recall, back.precision)
        assert there.fmeasure == pytest.approx(back.fmeasure)


@given(texts)
def test_rouge_of_a_text_with_itself_is_one(text):
    assert rouge_l(text, text).fmeasure == (1.0 if text else 0.0)


def test_rouge_n_refuses_an_empty_ngram():
    with pytest.raises(ValueError, match="n=0"):
        rouge_n("a", "a", n=0)

"""BLEU and ROUGE against sacrebleu and rouge-score."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.evaluation import corpus_bleu, rouge_l, rouge_n, split_characters, split_words

sacrebleu = pytest.importorskip("sacrebleu")
rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")

WORDS = [
    "The",
    "fox,",
    "found",
    "a",
    "lost-key",
    "near",
    "mill.",
    "It",
    "cost",
    "3.50",
    "or",
    "1,000!",
    "(why?)",
    "don't",
    "&amp;",
    "7-8",
]
CHINESE = "狐狸在河边找到一把丢了的钥匙。"


def sentences(vocabulary, count, seed, joiner):
    chosen = random.Random(seed)
    return [joiner.join(chosen.choices(vocabulary, k=chosen.randint(0, 15))) for _ in range(count)]


@pytest.mark.parity(component="evaluation.corpus_bleu", peer="sacrebleu.corpus_bleu")
@pytest.mark.parametrize("streams", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_bleu_of_words(streams, seed):
    hypotheses = sentences(WORDS, 8, seed, " ")
    references = [sentences(WORDS, 8, 100 * seed + k, " ") for k in range(streams)]
    peer = sacrebleu.corpus_bleu(hypotheses, references).score
    assert corpus_bleu(hypotheses, references) == pytest.approx(peer)


@pytest.mark.parity(
    component="evaluation.corpus_bleu (characters)", peer="sacrebleu, tokenize=char"
)
@pytest.mark.parametrize("seed", range(5))
def test_bleu_of_characters(seed):
    hypotheses, references = (sentences(CHINESE, 6, seed + k, "") for k in (0, 50))
    peer = sacrebleu.corpus_bleu(hypotheses, [references], tokenize="char").score
    assert corpus_bleu(hypotheses, [references], split=split_characters) == pytest.approx(peer)


@pytest.mark.parity(component="evaluation.split_words", peer="sacrebleu's tokenizer 13a")
@given(text=st.text(st.sampled_from("ab .,-!?&;'\"()[]{}<>/@#$%^*_+=~`|\\019\n é汉"), max_size=30))
@settings(max_examples=300, deadline=None)
def test_words_are_cut_alike(text):
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    assert " ".join(split_words(text)) == Tokenizer13a()(text)


@pytest.mark.parity(component="evaluation.rouge_n, rouge_l", peer="rouge_score.RougeScorer")
@pytest.mark.parametrize("seed", range(20))
def test_rouge(seed):
    target, prediction = sentences(WORDS, 2, seed, " ")
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    peer = scorer.score(target, prediction)
    assert rouge_n(target, prediction, 1) == pytest.approx(tuple(peer["rouge1"]))
    assert rouge_n(target, prediction, 2) == pytest.approx(tuple(peer["rouge2"]))
    assert rouge_l(target, prediction) == pytest.approx(tuple(peer["rougeL"]))

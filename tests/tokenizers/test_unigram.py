"""Unigram: sums and maxima over all ways to cut, and what training promises."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.tokenizers import UnigramTokenizer
from llmlib.tokenizers.lattice import Lattice
from llmlib.tokenizers.normalize import UnicodeNormalizer
from llmlib.tokenizers.unigram_training import maximize, seed_pieces, train_unigram
from tests.tokenizers.samples import CHINESE, ENGLISH, TEXTS, TRAINING_TEXTS

PIECES = ["a", "b", "c", "ab", "bc", "abc", "aa", "ca", "bca"]

words = st.lists(st.text("abc", min_size=1, max_size=7), min_size=1, max_size=5)
score_lists = st.lists(
    st.floats(-9, -0.1, allow_nan=False), min_size=len(PIECES), max_size=len(PIECES)
)


def all_cuts(word):
    """Every way to cut a word, pieces or not."""
    for marks in itertools.product([False, True], repeat=len(word) - 1):
        ends = [0, *(i + 1 for i, mark in enumerate(marks) if mark), len(word)]
        yield [word[a:b] for a, b in itertools.pairwise(ends)]


def cuts_into(word, pieces):
    return [cut for cut in all_cuts(word) if all(piece in pieces for piece in cut)]


@given(words=words, scores=score_lists)
def test_sums_and_maxima_over_all_cuts(words, scores):
    numbers = {piece: i for i, piece in enumerate(PIECES)}
    lattice = Lattice(words, numbers)
    totals = [
        [sum(scores[numbers[p]] for p in cut) for cut in cuts_into(w, numbers)] for w in words
    ]
    expected = [math.log(sum(map(math.exp, total))) for total in totals]
    np.testing.assert_allclose(lattice.log_probabilities(np.array(scores)), expected, rtol=1e-9)
    np.testing.assert_allclose(
        lattice.best_scores(np.array(scores)), [max(total) for total in totals], rtol=1e-9
    )


@given(words=words, scores=score_lists)
def test_expected_counts_over_all_cuts(words, scores):
    numbers = {piece: i for i, piece in enumerate(PIECES)}
    weights = np.arange(1.0, len(words) + 1)
    expected = np.zeros(len(PIECES))
    for word, weight in zip(words, weights, strict=True):
        cuts = cuts_into(word, numbers)
        shares = np.exp([sum(scores[numbers[p]] for p in cut) for cut in cuts])
        for cut, share in zip(cuts, shares / shares.sum(), strict=True):
            for piece in cut:
                expected[numbers[piece]] += weight * share
    found = Lattice(words, numbers).expected_counts(np.array(scores), weights)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-12)


@given(words=words, scores=score_lists, dropped=st.sets(st.integers(3, 8), max_size=5))
def test_dropping_pieces_is_building_without_them(words, scores, dropped):
    kept = np.array([i for i in range(len(PIECES)) if i not in dropped])
    small = {PIECES[i]: n for n, i in enumerate(kept)}
    lattice = Lattice(words, {piece: i for i, piece in enumerate(PIECES)})
    lattice.keep(kept)
    some, weights = np.array(scores)[kept], np.ones(len(words))
    np.testing.assert_array_equal(
        lattice.expected_counts(some, weights), Lattice(words, small).expected_counts(some, weights)
    )


def test_a_word_as_itself_can_be_ruled_out():
    numbers = {"a": 0, "b": 1, "ab": 2}
    scores = np.log([0.1, 0.2, 0.7])
    assert Lattice(["ab"], numbers).best_scores(scores) == pytest.approx(math.log(0.7))
    alone = Lattice(["ab", "a"], numbers, whole=False).best_scores(scores)
    assert alone == pytest.approx([math.log(0.02), -math.inf])


@given(word=st.text("abc", min_size=1, max_size=7), scores=score_lists)
def test_the_cut_is_the_most_probable_one(word, scores):
    vocab = dict(enumerate(["<unk>", *PIECES]))
    tokenizer = UnigramTokenizer.from_vocab(vocab, [0.0, *scores])
    score = dict(zip(PIECES, scores, strict=True))
    found = [piece for piece, _ in tokenizer.cut(word)]
    best = max(sum(map(score.get, cut)) for cut in cuts_into(word, score))
    assert "".join(found) == word
    assert sum(map(score.get, found)) == pytest.approx(best, abs=1e-9)


@given(
    words=st.lists(st.text("abc", min_size=1, max_size=8), min_size=1, max_size=12, unique=True),
    longest=st.integers(2, 6),
)
def test_seed_pieces_are_the_frequent_substrings(words, longest):
    weights = np.arange(1.0, len(words) + 1)
    counts = {}
    for word, weight in zip(words, weights, strict=True):
        for i, j in itertools.combinations(range(len(word) + 1), 2):
            if j - i <= longest:
                counts[word[i:j]] = counts.get(word[i:j], 0) + weight
    expected = {s for s, n in counts.items() if len(s) == 1 or n >= 2}
    found = seed_pieces(words, weights, 10_000, longest)
    assert set(found) == expected
    assert len(found) == len(expected)
    covered = [len(s) * counts[s] for s in found if len(s) > 1]
    assert covered == sorted(covered, reverse=True)


def test_likelihood_never_falls_in_em():
    rng = np.random.default_rng(0)
    vocabulary = sorted({word for word in ENGLISH.split() if word.isascii()})
    weights = rng.integers(1, 20, len(vocabulary)).astype(float)
    pieces = seed_pieces(vocabulary, weights, 200, 6)
    lattice = Lattice(vocabulary, {piece: i for i, piece in enumerate(pieces)})
    scores = np.full(len(pieces), -np.log(len(pieces)))
    likelihoods = []
    for _ in range(15):
        likelihoods.append(weights @ lattice.log_probabilities(scores))
        counts = lattice.expected_counts(scores, weights)
        scores = np.log(np.maximum(counts / counts.sum(), 1e-200))
    assert np.all(np.diff(likelihoods) >= -1e-9)
    assert likelihoods[-1] > likelihoods[0] + 10


def test_maximize_gives_a_distribution_and_spares_characters():
    scores = maximize(np.array([30.0, 10.0, 0.0]))
    assert np.exp(scores).sum() == pytest.approx(1)
    assert np.isfinite(scores).all()


def test_frequent_words_become_pieces():
    learned = train_unigram({"▁the": 100, "▁then": 40, "▁other": 30, "▁q": 1}, 12)
    assert "▁the" in learned
    assert {"▁", "t", "h", "e", "n", "o", "r", "q"} <= set(learned)
    assert len(learned) == 12
    assert sum(map(math.exp, learned.values())) == pytest.approx(1, abs=1e-6)
    assert list(learned.values()) == sorted(learned.values(), reverse=True)


@pytest.fixture(scope="module")
def tokenizer():
    return UnigramTokenizer.train([*TRAINING_TEXTS[:20], ENGLISH, CHINESE], 1000, ["<s>", "</s>"])


def test_vocabulary_order_and_size(tokenizer):
    assert tokenizer.vocab_size == len(tokenizer.vocab) == 1000
    assert [tokenizer.vocab[i] for i in range(3)] == ["<unk>", "<s>", "</s>"]
    scores = [tokenizer.scores[i] for i in range(3, 1000)]
    assert scores == sorted(scores, reverse=True)


def test_text_of_known_characters_comes_back(tokenizer):
    for text in (ENGLISH.strip(), CHINESE, TRAINING_TEXTS[3].strip()):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_training_helps(tokenizer):
    """Fewer tokens than characters by far, and fewer than with fewer pieces."""
    small = UnigramTokenizer.train([*TRAINING_TEXTS[:20], ENGLISH, CHINESE], 500)
    text = TRAINING_TEXTS[5]
    assert len(tokenizer.encode(text)) < len(small.encode(text)) < len(text) / 2


@pytest.mark.parametrize(("score", "cut"), [(-5.0, ["ab", "c"]), (-15.0, ["a", "bc"])])
def test_an_unknown_character_costs_ten_more_than_the_worst_piece(score, cut):
    """Unknown a and bc: -30 - 0.1. Otherwise ab and c: score - 20."""
    vocab = dict(enumerate(["<unk>", "ab", "bc", "c"]))
    tokenizer = UnigramTokenizer.from_vocab(vocab, [0.0, score, -0.1, -20.0])
    assert [piece for piece, _ in tokenizer.cut("abc")] == cut


def test_unknown_characters_are_joined(tokenizer):
    assert tokenizer.encode("𐍈𐌰𐍂 𐍈") == [
        *tokenizer.encode("▁"),
        0,
        *tokenizer.encode("▁"),
        0,
    ]


def test_normalizer_is_used_in_training_and_encoding():
    nfkc = UnicodeNormalizer("NFKC")
    tokenizer = UnigramTokenizer.train(["ﬁne ﬁne fine"], 8, normalizer=nfkc)
    assert tokenizer.encode("ﬁne") == tokenizer.encode("fine")
    assert 0 not in tokenizer.encode("ﬁne")


def test_no_text_gives_no_pieces():
    assert UnigramTokenizer.train([], 10).vocab == {0: "<unk>"}
    assert UnigramTokenizer.train(["", ""], 10, ["<s>"]).vocab == {0: "<unk>", 1: "<s>"}


def test_control_characters_are_characters():
    tokenizer = UnigramTokenizer.train(["a\x00b\x00 a\x00"] * 3, 8)
    assert tokenizer.decode(tokenizer.encode("b\x00a\x00")) == "b\x00a\x00"


def test_long_words_can_be_trained_on():
    learned = train_unigram({CHINESE * 20: 3, "a" * 500: 1}, 150)
    assert all(math.isfinite(score) for score in learned.values())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: UnigramTokenizer.train(["abc"], 4),
            "vocab_size 4 is less than 5: 1 special tokens and 4 characters",
        ),
        (lambda: UnigramTokenizer.train("abc", 40), "texts is one string"),
        (
            lambda: UnigramTokenizer.from_vocab({0: "a"}, [-1.0]),
            "unk_token '<unk>' is not in the vocabulary",
        ),
        (
            lambda: UnigramTokenizer.from_vocab({0: "<unk>", 1: "a"}, [0.0]),
            "2 pieces but 1 scores",
        ),
        (
            lambda: UnigramTokenizer.from_vocab({0: "<unk>", 1: "a"}, {0: 0.0, 2: -1.0}),
            "id 1 has no score",
        ),
        (
            lambda: UnigramTokenizer.from_vocab({0: "a"}, [-1.0], unk_token=None).encode("b"),
            "character '▁' is in no piece of the vocabulary",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_all_sample_texts_encode(tokenizer):
    for text in TEXTS.values():
        assert all(i in tokenizer.vocab for i in tokenizer.encode(text))

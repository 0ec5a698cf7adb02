"""Word vectors: hand-made cases, plain twins, and what training must and must not find."""

import itertools

import numpy as np
import pytest
import torch

from llmlib.data import chinese_word_world, english_word_world
from llmlib.text.vectors import (
    CBOW,
    AdagradTable,
    FastText,
    FullSoftmax,
    GloVe,
    GloVeConfig,
    NegativeSampling,
    SkipGram,
    TokenStream,
    VectorConfig,
    WordVectors,
    character_ngrams,
    count_cooccurrence,
    pmi_matrix,
    skip_gram_pairs,
    svd_vectors,
    windows,
)
from llmlib.text.vectors.word2vec import keep_probability
from llmlib.text.vocabulary import Vocabulary

ENGLISH = english_word_world(8000)
CHINESE = chinese_word_world(6000)
QUICK = VectorConfig(epochs=4, dim=40)


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(word for sentence in ENGLISH.sentences for word in sentence)


def mean_accuracy(vectors, world=ENGLISH):
    return np.mean([vectors.analogy_accuracy(q) for q in world.analogies.values()])


# Reading the text -----------------------------------------------------------------------------


def some_text(seed=0):
    generator = np.random.default_rng(seed)
    return [list(generator.choice(list("abcde"), n)) for n in (1, 4, 2, 7, 3)]


def test_pairs_and_windows_against_plain_loops():
    sentences, window = some_text(), 3
    stream = TokenStream.from_sentences(sentences, Vocabulary("abcde"))
    reach = np.random.default_rng(1).integers(1, window + 1, len(stream.ids))
    plain, bags, place = [], [], 0
    for sentence in sentences:
        ids = Vocabulary("abcde").encode(sentence)
        for i, center in enumerate(ids):
            near = range(max(0, i - reach[place]), min(len(ids), i + reach[place] + 1))
            bag = [ids[j] for j in near if j != i]
            plain += [(center, other) for other in bag]
            bags.append(sorted(bag))
            place += 1
    centers, others = skip_gram_pairs(stream, reach, window)
    assert sorted(zip(centers.tolist(), others.tolist(), strict=True)) == sorted(plain)
    table = windows(stream, reach, window)
    assert [sorted(row[row >= 0].tolist()) for row in table] == bags


@pytest.mark.parametrize("by_distance", [True, False])
def test_cooccurrence_against_plain_loops(by_distance):
    sentences, vocabulary = some_text(3), Vocabulary("abcde")
    plain = np.zeros((5, 5))
    for sentence in sentences:
        ids = vocabulary.encode(sentence)
        for i, j in itertools.permutations(range(len(ids)), 2):
            if abs(i - j) <= 4:
                plain[ids[i], ids[j]] += 1 / abs(i - j) if by_distance else 1
    stream = TokenStream.from_sentences(sentences, vocabulary)
    counts = count_cooccurrence(stream, 5, window=4, by_distance=by_distance)
    np.testing.assert_allclose(counts.dense(), plain, atol=1e-12)
    np.testing.assert_allclose(counts.dense(), counts.dense().T)


def test_unknown_words_are_dropped_and_their_neighbours_move_together():
    stream = TokenStream.from_sentences([list("axb")], Vocabulary("ab"))
    assert stream.ids.tolist() == [0, 1]
    assert skip_gram_pairs(stream, np.array([1, 1]), 1)[0].tolist() == [0, 1]


def test_pmi_of_independent_words_is_zero():
    share = np.array([0.5, 0.3, 0.2])
    counts = 1e4 * np.outer(share, share)
    np.testing.assert_allclose(pmi_matrix(counts, positive=False, smoothing=1.0), 0, atol=1e-12)


def test_pmi_by_hand():
    counts = np.array([[0.0, 2.0], [2.0, 4.0]])
    pmi = pmi_matrix(counts, positive=False, smoothing=1.0)
    assert pmi[0, 1] == pytest.approx(np.log((2 / 8) / ((2 / 8) * (6 / 8))))
    assert pmi[0, 0] == -np.inf
    assert pmi_matrix(counts, smoothing=1.0)[1, 1] == 0.0  # ln(8/9) is negative
    assert np.isfinite(pmi_matrix(np.array([[0.0, 0.0], [0.0, 4.0]]))).all()


def test_svd_vectors_keep_the_products_of_the_best_low_rank_copy():
    matrix = np.random.default_rng(0).normal(size=(6, 6))
    matrix = matrix + matrix.T
    vectors = svd_vectors(matrix, Vocabulary("abcdef"), dim=6, power=1.0).matrix
    np.testing.assert_allclose(vectors @ vectors.T, matrix @ matrix.T, atol=1e-10)
    with pytest.raises(ValueError, match="dim 7"):
        svd_vectors(matrix, Vocabulary("abcdef"), dim=7)


def test_keep_probability():
    counts = np.array([900, 99, 1])
    kept = keep_probability(counts, 0.01)
    assert kept[2] == 1.0
    assert kept[0] == pytest.approx((0.01 / 0.9) ** 0.5 + 0.01 / 0.9)
    assert (keep_probability(counts, 0) == 1).all()


# Learning -------------------------------------------------------------------------------------


def test_adagrad_equals_torch_when_each_row_stands_once():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(4, 3, generator=generator)
    table = AdagradTable(start.clone(), learning_rate=0.1)
    parameter = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.Adagrad([parameter], lr=0.1, eps=0)
    for _ in range(5):
        gradient = torch.randn(4, 3, generator=generator)
        table.descend(torch.arange(4), gradient)
        parameter.grad = gradient
        optimizer.step()
    torch.testing.assert_close(table.values, parameter.data)


def test_adagrad_sums_repeated_rows_and_leaves_the_others():
    table = AdagradTable(torch.zeros(3, 1), learning_rate=1.0)
    table.descend(torch.tensor([2, 0, 2]), torch.tensor([[1.0], [0.0], [-1.0]]))
    assert table.values.flatten().tolist() == [0, 0, 0]
    table.descend(torch.tensor([2, 2]), torch.tensor([[3.0], [1.0]]))
    assert table.squares.flatten().tolist() == [0, 0, 16]
    assert table.values.flatten().tolist() == [0, 0, -1]
    with pytest.raises(ValueError, match="learning_rate 0"):
        AdagradTable(torch.zeros(1, 1), learning_rate=0)


def test_noise_follows_the_counts_to_the_power():
    noise = NegativeSampling(4, power=0.75)
    counts = np.array([1000, 100, 0, 10])
    noise.prepare(counts, torch.Generator().manual_seed(0))
    drawn = torch.bincount(noise.draw(20_000).flatten(), minlength=4).numpy() / 80_000
    np.testing.assert_allclose(drawn, counts**0.75 / (counts**0.75).sum(), atol=0.01)
    assert drawn[2] == 0
    with pytest.raises(ValueError, match="at least 1"):
        NegativeSampling(0)
    with pytest.raises(ValueError, match="all word counts are zero"):
        noise.prepare(np.zeros(3), torch.Generator())


@pytest.mark.parametrize(
    ("model", "start"),
    [
        (SkipGram(QUICK), 6 * np.log(2)),
        (SkipGram(VectorConfig(epochs=2, dim=40), objective=FullSoftmax()), np.log(605)),
        (CBOW(QUICK), 6 * np.log(2)),
        (FastText(QUICK), 6 * np.log(2)),
    ],
    ids=["skip-gram", "skip-gram, full softmax", "cbow", "fasttext"],
)
def test_each_model_finds_the_structure(model, start):
    vectors = model.fit(ENGLISH.sentences)
    assert model.losses[0] < start  # zeros in the output table give exactly this
    assert all(a > b for a, b in itertools.pairwise(model.losses))
    assert vectors.similarity_correlation(ENGLISH.similar_pairs) > 0.7
    assert mean_accuracy(vectors) > 0.6


def test_first_loss_before_any_step_is_that_of_guessing():
    """A learning rate of nearly nothing leaves the output vectors at zero."""
    frozen = VectorConfig(epochs=1, dim=8, learning_rate=1e-12)
    for objective, expected in ((NegativeSampling(3), 4 * np.log(2)), (FullSoftmax(), np.log(605))):
        model = SkipGram(frozen, objective=objective)
        model.fit(ENGLISH.sentences)
        assert model.losses[0] <= expected + 1e-4
        assert model.losses[0] == pytest.approx(expected, rel=0.05)


def test_glove_finds_the_structure_in_paragraphs():
    model = GloVe(GloVeConfig(window=10, epochs=40))
    vectors = model.fit(ENGLISH.paragraphs(4))
    assert all(a > b for a, b in itertools.pairwise(model.losses))
    assert vectors.similarity_correlation(ENGLISH.similar_pairs) > 0.6
    assert mean_accuracy(vectors) > 0.5


def test_counting_finds_the_structure(vocabulary):
    stream = TokenStream.from_sentences(ENGLISH.sentences, vocabulary)
    counts = count_cooccurrence(stream, len(vocabulary)).dense()
    vectors = svd_vectors(pmi_matrix(counts), vocabulary, dim=150)
    assert vectors.similarity_correlation(ENGLISH.similar_pairs) > 0.6
    assert mean_accuracy(vectors) > 0.9


def test_shuffled_text_teaches_nothing():
    """The same words in random order have no company to learn from."""
    words = [word for sentence in ENGLISH.sentences for word in sentence]
    order = np.random.default_rng(0).permutation(len(words))
    shuffled = [[words[i] for i in order[start : start + 10]] for start in range(0, len(order), 10)]
    vectors = SkipGram(QUICK).fit(shuffled)
    assert abs(vectors.similarity_correlation(ENGLISH.similar_pairs)) < 0.2
    assert mean_accuracy(vectors) < 0.05


def test_bias_in_the_text_is_bias_in_the_vectors_and_goes_with_it():
    def slope(world):
        vectors = SkipGram(VectorConfig(epochs=4)).fit(world.sentences)
        direction = vectors.unit[vectors.vocabulary["she"]] - vectors.unit[vectors.vocabulary["he"]]
        jobs = ENGLISH.share_female
        leaning = [vectors.unit[vectors.vocabulary[job]] @ direction for job in jobs]
        return np.polyfit(list(jobs.values()), leaning, 1)[0]

    assert slope(english_word_world(12_000)) > 0.3
    assert abs(slope(english_word_world(12_000, neutral=True))) < 0.15


@pytest.mark.parametrize("kind", [SkipGram, CBOW, FastText])
def test_the_seed_fixes_the_vectors(kind):
    def learned(seed):
        config = VectorConfig(epochs=1, dim=8, seed=seed)
        return kind(config).fit(ENGLISH.sentences[:300]).matrix

    assert np.array_equal(learned(1), learned(1))
    assert not np.array_equal(learned(1), learned(2))


def test_text_without_neighbours_is_refused():
    for model in (SkipGram(), CBOW(), FastText()):
        with pytest.raises(ValueError, match="no two known words"):
            model.fit([["alone"], ["single"]])
    with pytest.raises(ValueError, match="no two words met"):
        GloVe().fit([["alone"], ["single"]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorConfig(dim=0), "dim is 0"),
        (lambda: VectorConfig(subsample=-1), "subsample is -1"),
        (lambda: GloVeConfig(epochs=0), "epochs is 0"),
        (lambda: GloVeConfig(x_max=0), "x_max is 0"),
        (lambda: character_ngrams("a", 3, 2), "from 3 to 2"),
    ],
)
def test_configs_say_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Subwords -------------------------------------------------------------------------------------


def test_ngrams_of_a_word():
    assert character_ngrams("where", 3, 3) == ["<wh", "whe", "her", "ere", "re>"]
    assert character_ngrams("a", 1, 6) == ["a", "<a", "a>", "<a>"]
    assert character_ngrams("aaaa", 2, 2) == ["<a", "aa", "a>"]
    assert character_ngrams("电", 1, 2) == ["电", "<电", "电>"]


def test_unseen_chinese_words_land_in_their_group():
    vectors = FastText(VectorConfig(epochs=4), shortest=1, longest=2).fit(CHINESE.sentences)
    assert not set(CHINESE.unseen) & set(vectors.vocabulary)
    right = 0
    for word, group in CHINESE.unseen.items():
        near = [CHINESE.groups.get(other) for other, _ in vectors.neighbours(word, 3)]
        right += near.count(group) >= 2
    assert right >= 0.8 * len(CHINESE.unseen)
    with pytest.raises(KeyError, match="none of its"):
        vectors.vector("xyz")


def test_a_seen_word_is_the_mean_of_its_pieces():
    model = FastText(VectorConfig(epochs=1, dim=4), shortest=2, longest=2)
    vectors = model.fit(CHINESE.sentences[:200])
    word = vectors.vocabulary.tokens[0]
    pieces = [vectors.ngrams[p] for p in character_ngrams(word, 2, 2)]
    # One more row belongs to the word itself: (row + sum of pieces) / (1 + number) is its vector.
    row = vectors.vector(word) * (1 + len(pieces)) - np.sum(pieces, axis=0)
    assert np.isfinite(row).all()
    assert np.abs(row).max() > 0


# Questions ------------------------------------------------------------------------------------


def test_nearest_sorts_by_cosine_not_by_length():
    vectors = WordVectors(Vocabulary("abc"), np.array([[10.0, 1.0], [1.0, 0.0], [0.0, 5.0]]))
    assert [word for word, _ in vectors.nearest(np.array([3.0, 0.0]), 3)] == ["b", "a", "c"]
    assert [word for word, _ in vectors.neighbours("b", 5)] == ["a", "c"]


def test_accuracy_agrees_with_asking_one_by_one():
    vectors = SkipGram(QUICK).fit(ENGLISH.sentences)
    questions = ENGLISH.analogies["country : capital"][:30] + ENGLISH.analogies["he : she"][:30]
    for exclude in (True, False):
        answers = [
            vectors.analogy(*q[:3], k=1, exclude_questions=exclude)[0][0] == q[3] for q in questions
        ]
        accuracy = vectors.analogy_accuracy(questions, exclude_questions=exclude)
        assert accuracy == pytest.approx(np.mean(answers))
    with pytest.raises(ValueError, match="at least one"):
        vectors.analogy_accuracy([])


def test_leaving_the_question_words_in_lowers_the_score():
    vectors = SkipGram(QUICK).fit(ENGLISH.sentences)
    questions = ENGLISH.analogies["country : capital"]
    honest = vectors.analogy_accuracy(questions, exclude_questions=False)
    assert honest < vectors.analogy_accuracy(questions) - 0.15


def test_a_zero_vector_has_no_neighbours_but_breaks_nothing():
    vectors = WordVectors(Vocabulary("ab"), np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert vectors.similarity("a", "b") == 0.0


def test_save_and_load(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(3, 4))
    vectors = WordVectors(Vocabulary(["火车", "a'b", "é"]), matrix)
    vectors.save(tmp_path / "v.txt")
    again = WordVectors.load(tmp_path / "v.txt")
    for word in vectors.vocabulary:
        assert np.array_equal(again.vector(word), vectors.vector(word))
    text = (tmp_path / "v.txt").read_text(encoding="utf-8")
    (tmp_path / "short.txt").write_text(text.replace("3 4", "4 4"), encoding="utf-8")
    with pytest.raises(ValueError, match="promises 4 words but holds 3"):
        WordVectors.load(tmp_path / "short.txt")
    (tmp_path / "thin.txt").write_text("1 3\na 1.0 2.0\n")
    with pytest.raises(ValueError, match=r"line 2 of .* has 2 numbers, not 3"):
        WordVectors.load(tmp_path / "thin.txt")
    with pytest.raises(ValueError, match="white space"):
        WordVectors(Vocabulary(["a b"]), np.ones((1, 2))).save(tmp_path / "w.txt")


def test_a_matrix_must_fit_its_vocabulary():
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 3 words"):
        WordVectors(Vocabulary("abc"), np.ones((2, 3)))

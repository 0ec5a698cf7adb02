"""Word vectors against torch's autograd, plain numpy, scipy and gensim on the same text."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.data import chinese_word_world, english_word_world
from llmlib.text.vectors import (
    CBOW,
    FastText,
    SkipGram,
    TokenStream,
    VectorConfig,
    WordVectors,
    count_cooccurrence,
    glove_gradients,
    glove_loss,
    negative_sampling_gradients,
    negative_sampling_loss,
    pmi_matrix,
    rank_correlation,
    softmax_gradients,
    softmax_loss,
    svd_vectors,
)
from llmlib.text.vocabulary import Vocabulary

WORLD = english_word_world(8_000)


def scattered(gradients, size):
    """Row gradients as a whole table."""
    table = torch.zeros(size, gradients.output.shape[1], dtype=gradients.output.dtype)
    return table.index_add_(0, gradients.rows, gradients.output)


def batch(seed, size=7, dim=5, examples=9, noise=4):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(examples, dim, generator=generator, dtype=torch.float64)
    output = torch.randn(size, dim, generator=generator, dtype=torch.float64)
    targets = torch.randint(size, (examples,), generator=generator)
    negatives = torch.randint(size, (examples, noise), generator=generator)  # often the target too
    return hidden.requires_grad_(), output.requires_grad_(), targets, negatives


@pytest.mark.parity(
    component="llmlib.text.vectors.negative_sampling_gradients",
    peer="torch.autograd",
    compared="losses and gradients",
)
@pytest.mark.parametrize("seed", range(4))
def test_negative_sampling_gradients(seed):
    hidden, output, targets, negatives = batch(seed)
    losses = negative_sampling_loss(hidden, output, targets, negatives)
    losses.sum().backward()
    ours = negative_sampling_gradients(hidden.detach(), output.detach(), targets, negatives)
    torch.testing.assert_close(ours.losses, losses.detach())
    torch.testing.assert_close(ours.hidden, hidden.grad)
    torch.testing.assert_close(scattered(ours, len(output)), output.grad)


def test_negative_sampling_loss_is_a_binary_cross_entropy():
    """The definition, word by word, from the loss that torch has for yes-or-no questions."""
    hidden, output, targets, negatives = batch(0)
    expected = []
    for h, target, noise in zip(hidden, targets, negatives, strict=True):
        rows = [target, *(n for n in noise if n != target)]
        truth = torch.tensor([1.0] + [0.0] * (len(rows) - 1), dtype=torch.float64)
        scores = torch.stack([output[row] @ h for row in rows])
        expected.append(
            torch.nn.functional.binary_cross_entropy_with_logits(scores, truth, reduction="sum")
        )
    losses = negative_sampling_loss(hidden, output, targets, negatives)
    torch.testing.assert_close(losses, torch.stack(expected))


@pytest.mark.parity(
    component="llmlib.text.vectors.softmax_gradients",
    peer="torch.autograd",
    compared="losses and gradients",
)
@pytest.mark.parametrize("seed", range(4))
def test_full_softmax_gradients(seed):
    hidden, output, targets, _ = batch(seed)
    losses = softmax_loss(hidden, output, targets)
    losses.sum().backward()
    ours = softmax_gradients(hidden.detach(), output.detach(), targets)
    torch.testing.assert_close(ours.losses, losses.detach())
    torch.testing.assert_close(ours.hidden, hidden.grad)
    torch.testing.assert_close(scattered(ours, len(output)), output.grad)


@pytest.mark.parity(
    component="llmlib.text.vectors.glove_gradients",
    peer="torch.autograd",
    compared="losses and gradients",
)
@pytest.mark.parametrize("seed", range(4))
def test_glove_gradients(seed):
    words, contexts, *_ = batch(seed, size=9)
    counts = torch.rand(9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    counts = counts * 20 + 0.1
    losses = glove_loss(words, contexts, counts, x_max=10.0, alpha=0.75)
    losses.sum().backward()
    ours = glove_gradients(words.detach(), contexts.detach(), counts, x_max=10.0, alpha=0.75)
    for mine, theirs in zip(ours, (losses.detach(), words.grad, contexts.grad), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parity(component="llmlib.text.vectors.pmi_matrix", peer="plain loops in numpy")
def test_pmi_against_plain_numpy():
    counts = np.random.default_rng(0).integers(0, 4, (8, 8)).astype(float)
    total = counts.sum()
    smooth = counts.sum(0) ** 0.75 / (counts.sum(0) ** 0.75).sum()
    for i in range(8):
        for j in range(8):
            joint = counts[i, j] / total
            expected = np.log(joint / (counts[i].sum() / total * smooth[j])) if joint else -np.inf
            assert pmi_matrix(counts, positive=False)[i, j] == pytest.approx(expected)
            assert pmi_matrix(counts)[i, j] == pytest.approx(max(expected, 0.0))


@pytest.mark.parity(component="llmlib.text.vectors.svd_vectors", peer="numpy.linalg.eigh")
def test_svd_against_the_eigenvectors():
    """Cosines from the SVD equal those from the eigenvectors of M Mᵀ, signs and all."""
    matrix = np.random.default_rng(1).random((12, 12))
    values, axes = np.linalg.eigh(matrix @ matrix.T)
    expected = axes[:, ::-1][:, :5] * values[::-1][:5] ** 0.25  # Σ^(1/2)
    ours = svd_vectors(matrix, Vocabulary("abcdefghijkl"), dim=5).matrix
    np.testing.assert_allclose(ours @ ours.T, expected @ expected.T, atol=1e-8)


@pytest.mark.parity(component="llmlib.text.vectors.rank_correlation", peer="scipy.stats.spearmanr")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=20))
def test_rank_correlation(pairs):
    stats = pytest.importorskip("scipy.stats")
    first, second = zip(*pairs, strict=True)
    if len(set(first)) == 1 or len(set(second)) == 1:
        with pytest.raises(ValueError, match="single value"):
            rank_correlation(first, second)
    else:
        assert rank_correlation(first, second) == pytest.approx(stats.spearmanr(first, second)[0])


# gensim ---------------------------------------------------------------------------------------


def theirs_as_ours(keyed):
    vocabulary = Vocabulary(keyed.index_to_key)
    return WordVectors(vocabulary, np.array([keyed[word] for word in vocabulary]))


def overlap(ours, theirs, words, k=5):
    """Mean share of the k nearest neighbours on which two models agree."""
    shares = []
    for word in words:
        one, two = ({w for w, _ in v.neighbours(word, k)} for v in (ours, theirs))
        shares.append(len(one & two) / k)
    return np.mean(shares)


@pytest.mark.parity(
    component="llmlib.text.vectors (SkipGram, CBOW, FastText)",
    peer="gensim Word2Vec, FastText",
    compared="neighbours and gold-set scores after training on one text",
    tolerance="overlap of 5 neighbours above chance; scores at most 0.1 lower",
)
@pytest.mark.parametrize("kind", ["skip-gram", "cbow", "fasttext"])
def test_same_text_same_neighbours_comparable_scores(kind):
    models = pytest.importorskip("gensim.models")
    config = VectorConfig(dim=50, window=5, epochs=5)
    same = {
        "vector_size": 50, "window": 5, "epochs": 5, "min_count": 1, "workers": 1, "seed": 0,
    }  # fmt: skip
    if kind == "fasttext":
        ours = FastText(config).fit(WORLD.sentences)
        gensim = models.FastText(WORLD.sentences, sg=1, **same)
    else:
        ours = (SkipGram if kind == "skip-gram" else CBOW)(config).fit(WORLD.sentences)
        gensim = models.Word2Vec(WORLD.sentences, sg=int(kind == "skip-gram"), **same)
    theirs = theirs_as_ours(gensim.wv)

    def accuracy(vectors):
        return np.mean([vectors.analogy_accuracy(q) for q in WORLD.analogies.values()])

    assert accuracy(ours) > accuracy(theirs) - 0.1
    pairs = WORLD.similar_pairs
    assert ours.similarity_correlation(pairs) > theirs.similarity_correlation(pairs) - 0.1
    by_chance = 5 / len(ours.vocabulary)
    assert overlap(ours, theirs, WORLD.groups) > 40 * by_chance


def test_gensim_reads_what_we_save(tmp_path):
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    vectors = CBOW(VectorConfig(dim=8, epochs=1)).fit(WORLD.sentences[:200])
    vectors.save(tmp_path / "vectors.txt")
    theirs = keyed.load_word2vec_format(tmp_path / "vectors.txt")
    assert theirs.most_similar("the", topn=3)[0][0] == vectors.neighbours("the", 3)[0][0]
    for word in vectors.vocabulary:
        np.testing.assert_allclose(theirs[word], vectors.vector(word), rtol=1e-6)
    theirs.save_word2vec_format(tmp_path / "theirs.txt")
    again = WordVectors.load(tmp_path / "theirs.txt")
    np.testing.assert_allclose(again.vector("the"), vectors.vector("the"), rtol=1e-6)


def test_unseen_chinese_words_as_in_gensim():
    """Both place most of the unseen compounds into the group of their characters."""
    models = pytest.importorskip("gensim.models")
    world = chinese_word_world(5000)
    ours = FastText(VectorConfig(), shortest=1, longest=2).fit(world.sentences)
    gensim = models.FastText(
        world.sentences, sg=1, vector_size=50, min_n=1, max_n=2, min_count=1, workers=1, seed=0
    )

    def right(nearest):
        return np.mean([world.groups.get(nearest(w)) == g for w, g in world.unseen.items()])

    us = right(lambda word: ours.neighbours(word, 1)[0][0])
    them = right(lambda word: gensim.wv.most_similar(word, topn=1)[0][0])
    assert us >= them - 0.1
    assert us > 0.7


def test_counts_give_the_vectors_that_the_paper_describes():
    """A whole pipeline in plain numpy: count, PPMI, SVD."""
    sentences = WORLD.sentences[:300]
    vocabulary = Vocabulary(word for sentence in sentences for word in sentence)
    stream = TokenStream.from_sentences(sentences, vocabulary)
    ours = svd_vectors(
        pmi_matrix(count_cooccurrence(stream, len(vocabulary), window=2).dense()),
        vocabulary,
        dim=10,
    )
    counts = np.zeros((len(vocabulary), len(vocabulary)))
    for sentence in sentences:
        ids = vocabulary.encode(sentence)
        for i, a in enumerate(ids):
            for j in range(max(0, i - 2), min(len(ids), i + 3)):
                if i != j:
                    counts[a, ids[j]] += 1 / abs(i - j)
    context = counts.sum(0) ** 0.75 / (counts.sum(0) ** 0.75).sum()
    expected = counts / counts.sum(1, keepdims=True) / context
    ppmi = np.log(np.maximum(expected, 1.0))
    u, s, _ = np.linalg.svd(ppmi)
    plain = u[:, :10] * np.sqrt(s[:10])
    np.testing.assert_allclose(ours.matrix @ ours.matrix.T, plain @ plain.T, atol=1e-8)

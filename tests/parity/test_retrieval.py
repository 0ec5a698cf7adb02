"""Retrieval and its measures beside bm25s, FAISS, LangChain and scikit-learn."""

import random

import numpy as np
import pytest
import torch

from llmlib.data import make_island
from llmlib.evaluation import ndcg_at_k, recall_at_k, reciprocal_rank
from llmlib.retrieval import BM25, DenseIndex, FaissNeighbours, split_headings, split_text
from llmlib.retrieval.bm25 import search_words
from llmlib.retrieval.splitting import SEPARATORS
from tests.parity.models import assert_same_model, draw


@pytest.mark.parity(component="retrieval.BM25", peer="bm25s.BM25")
@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4)])
@pytest.mark.parametrize("seed", range(3))
def test_bm25_scores_and_ranks_alike(seed, k1, b):
    bm25s = pytest.importorskip("bm25s")
    island = make_island(seed=seed, split="test")
    chunks = split_headings(island.text)
    ours = BM25(chunks, k1=k1, b=b)
    theirs = bm25s.BM25(k1=k1, b=b)
    theirs.index([search_words(chunk.text) for chunk in chunks], show_progress=False)
    for asked in random.Random(seed).sample(island.questions(), 60):
        words = search_words(asked.question)
        peer = theirs.get_scores(words)
        assert ours.scores(asked.question) == pytest.approx(peer, rel=1e-5)
        numbers, scores = theirs.retrieve([words], k=10, show_progress=False)
        hits = ours.search(asked.question, 10)
        assert [hit.score for hit in hits] == pytest.approx(scores[0][scores[0] > 0], rel=1e-5)
        # Where scores are distinct, the order is the same; of equal ones theirs is arbitrary.
        rounded = [round(float(score), 4) for score in scores[0]]
        for hit, number, score in zip(hits, numbers[0], rounded, strict=False):
            if rounded.count(score) == 1 and score > min(rounded):
                assert hit.chunk == chunks[number]


@pytest.mark.parity(component="retrieval.DenseIndex", peer="faiss.IndexFlatIP")
def test_dense_search_is_flat_search():
    pytest.importorskip("faiss")
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(500, 32))
    texts = [f"text {n}" for n in range(500)]
    exact = DenseIndex(texts, lambda _: None, vectors=vectors)
    flat = DenseIndex(texts, lambda _: None, vectors=vectors, neighbours=FaissNeighbours)
    for query in draw.normal(size=(50, 32)):
        ours, theirs = exact.search(query, 10), flat.search(query, 10)
        assert [hit.chunk for hit in ours] == [hit.chunk for hit in theirs]
        assert [hit.score for hit in ours] == pytest.approx([h.score for h in theirs], abs=1e-5)


@pytest.mark.parity(
    component="retrieval.split_text", peer="langchain RecursiveCharacterTextSplitter"
)
@pytest.mark.parametrize("overlap", [0, 30])
@pytest.mark.parametrize("size", [50, 300])
@pytest.mark.parametrize("seed", range(3))
def test_text_is_cut_alike(seed, size, overlap):
    splitters = pytest.importorskip("langchain_text_splitters")
    draw = random.Random(seed)
    parts = ["mill", "river", " ", " ", ". ", "\n", "\n\n", "Tarobe", "河边", "\t"]
    text = "".join(draw.choices(parts, k=2000))
    peer = splitters.RecursiveCharacterTextSplitter(
        chunk_size=size, chunk_overlap=overlap, separators=list(SEPARATORS)
    )
    assert [chunk.text for chunk in split_text(text, size, overlap)] == peer.split_text(text)


@pytest.mark.parity(component="evaluation.ndcg_at_k", peer="sklearn.metrics.ndcg_score")
@pytest.mark.parametrize("k", [1, 5, 20])
def test_ndcg(k):
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(k)
    for _ in range(50):
        gains, scores = draw.integers(0, 4, 20), draw.permutation(20)
        gains[draw.integers(20)] += 1  # one at least is relevant
        ranking = np.argsort(-scores).tolist()
        ours = ndcg_at_k(ranking, dict(enumerate(gains.tolist())), k)
        assert ours == pytest.approx(metrics.ndcg_score([gains], [scores], k=k))


@pytest.mark.parity(
    component="evaluation.recall_at_k, reciprocal_rank",
    peer="sklearn.metrics top_k_accuracy_score, label_ranking_average_precision_score",
)
def test_recall_and_reciprocal_rank_of_one_relevant():
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    scores = draw.permuted(np.tile(np.arange(8.0), (100, 1)), axis=1)
    right = draw.integers(0, 8, 100)
    rankings = np.argsort(-scores, axis=1).tolist()
    recall = np.mean([recall_at_k(r, [n], 3) for r, n in zip(rankings, right, strict=True)])
    peer = metrics.top_k_accuracy_score(right, scores, k=3, labels=range(8))
    assert recall == pytest.approx(peer)
    ranks = np.mean([reciprocal_rank(r, [n]) for r, n in zip(rankings, right, strict=True)])
    labels = np.eye(8)[right]
    assert ranks == pytest.approx(metrics.label_ranking_average_precision_score(labels, scores))


@pytest.mark.parity(component="models.Bert (no heads)", peer="transformers.BertModel")
def test_bert_without_heads():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=37, hidden_size=24, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=12, num_hidden_layers=2,
    )  # fmt: skip
    theirs = draw(transformers.BertModel(config))
    ids, mask = torch.randint(0, 37, (3, 9)), torch.arange(9) < torch.tensor([[9], [5], [1]])
    ours = assert_same_model(
        theirs,
        lambda ours: ours.hidden_states(ids, mask),
        lambda theirs: theirs(ids, attention_mask=mask.long()).last_hidden_state,
        counted=mask,
    )
    assert not ours.config.masked_tokens

"""Dense indexes agree with each other, keep what they were given, and fusion adds up ranks."""

import numpy as np
import pytest

from llmlib.retrieval import (
    BM25,
    Chunk,
    DenseIndex,
    FaissNeighbours,
    Hit,
    Hybrid,
    QdrantIndex,
    reciprocal_rank_fusion,
)
from llmlib.retrieval.ranking import top_k


def encode(texts):
    """A fixed random vector for each word, added up."""
    rows = []
    for text in texts:
        seeds = [sum(map(ord, word)) for word in text.split()]
        rows.append(sum(np.random.default_rng(seed).normal(size=16) for seed in seeds))
    return np.array(rows)


@pytest.fixture
def chunks():
    draw = np.random.default_rng(0)
    words = [f"word{chr(97 + i)}" for i in range(26)]
    texts = {" ".join(draw.choice(words, 5)) for _ in range(100)}
    return [
        Chunk(text, f"t{i}", 0, len(text), {"kind": "even" if i % 2 == 0 else "odd"})
        for i, text in enumerate(sorted(texts))
    ]


def sources(hits):
    return [hit.chunk.source for hit in hits]


def test_dense_search_sorts_by_the_cosine(chunks):
    index = DenseIndex(chunks, encode)
    hits = index.search("worda wordb", 10)
    query = encode(["worda wordb"])[0]
    vectors = encode([chunk.text for chunk in chunks])
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    assert sources(hits) == [chunks[i].source for i in np.argsort(-cosines)[:10]]
    assert [hit.score for hit in hits] == pytest.approx(np.sort(cosines)[::-1][:10], abs=1e-5)


def test_length_of_a_vector_does_not_matter(chunks):
    index = DenseIndex(chunks, encode)
    vector = encode(["worda wordb"])[0]
    assert sources(index.search(vector)) == sources(index.search(1000 * vector))


def test_what_is_saved_comes_back(chunks, tmp_path):
    index = DenseIndex(chunks, encode)
    index.save(tmp_path / "index")
    again = DenseIndex.load(tmp_path / "index", encode)
    assert again.chunks == index.chunks
    assert [c.metadata for c in again.chunks] == [c.metadata for c in index.chunks]
    ours, theirs = (i.search("worda wordb") for i in (index, again))
    assert sources(ours) == sources(theirs)
    assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-6)


@pytest.mark.parametrize("where", [None, {"kind": "odd"}])
@pytest.mark.parametrize("recipe", ["Flat", "IVF4,Flat", "HNSW16"])
def test_faiss_finds_the_same(chunks, where, recipe):
    pytest.importorskip("faiss")
    settings = {"nprobe": 4} if recipe.startswith("IVF") else {}
    faiss = DenseIndex(
        chunks, encode, neighbours=lambda rows: FaissNeighbours(rows, recipe, **settings)
    )
    exact = DenseIndex(chunks, encode)
    for query in ("worda wordb", "wordc wordd worde", "wordz"):
        ours, theirs = (index.search(query, 5, where) for index in (exact, faiss))
        assert sources(ours) == sources(theirs)
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-5)
        if where:
            assert {hit.chunk.metadata["kind"] for hit in theirs} == {"odd"}


def test_qdrant_finds_the_same_and_keeps_it_on_disk(chunks, tmp_path):
    pytest.importorskip("qdrant_client")
    exact = DenseIndex(chunks, encode)
    with QdrantIndex(chunks, encode, tmp_path / "db") as index:
        assert len(index) == len(chunks)
        written = index.search("worda wordb", 5)
    with QdrantIndex.load(tmp_path / "db", encode) as index:
        for where in (None, {"kind": "odd"}):
            ours, theirs = (i.search("worda wordb", 5, where) for i in (exact, index))
            assert [hit.chunk for hit in ours] == [hit.chunk for hit in theirs]
            assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-5)
        assert [hit.chunk for hit in index.search("worda wordb", 5)] == [h.chunk for h in written]
    with QdrantIndex(chunks[:3], encode, tmp_path / "db") as index:  # replaces
        assert len(index) == 3
    with pytest.raises(FileNotFoundError, match="no Qdrant database"):
        QdrantIndex.load(tmp_path / "nowhere", encode)


def test_vectors_must_fit_the_chunks(chunks):
    with pytest.raises(ValueError, match="2 vectors for"):
        DenseIndex(chunks, encode, vectors=np.ones((2, 4)))
    with pytest.raises(ValueError, match="k=0"):
        DenseIndex(chunks, encode).search("worda", 0)


def test_top_k_equals_a_full_sort():
    draw = np.random.default_rng(1)
    for _ in range(50):
        scores = draw.integers(0, 6, 40).astype(float)  # many ties
        keep = draw.random(40) < 0.5
        ranked = np.argsort(-scores, kind="stable")
        for k in (1, 7, 40, 60):
            assert top_k(scores, k).tolist() == ranked[:k].tolist()
            assert top_k(scores, k, keep).tolist() == [i for i in ranked if keep[i]][:k]


def test_fusion_adds_up_shares_of_ranks():
    fused = reciprocal_rank_fusion([["a", "b", "c"], ["b", "d"]], constant=1, weights=[1, 2])
    shares = {hit.chunk: hit.score for hit in fused}
    assert shares == pytest.approx({"a": 1 / 2, "b": 1 / 3 + 2 / 2, "c": 1 / 4, "d": 2 / 3})
    assert [hit.chunk for hit in fused] == ["b", "d", "a", "c"]
    assert reciprocal_rank_fusion([[Hit("a", 9.0)], [Hit("a", -1.0)]])[0].score == 2 / 61
    with pytest.raises(ValueError, match="1 weights for 2"):
        reciprocal_rank_fusion([["a"], ["b"]], weights=[1])
    with pytest.raises(ValueError, match="two ranks"):
        reciprocal_rank_fusion([["a", "a"]])


def test_a_hybrid_has_what_either_finds_first(chunks):
    words, vectors = BM25(chunks), DenseIndex(chunks, encode)
    hybrid = Hybrid([words, vectors], depth=20)
    query = chunks[7].text
    assert hybrid.search(query, 1)[0].chunk == chunks[7]
    firsts = {one.search("worda wordq", 1)[0].chunk for one in (words, vectors)}
    assert firsts <= {hit.chunk for hit in hybrid.search("worda wordq", 5)}
    odd = hybrid.search(query, 5, {"kind": "odd"})
    assert {hit.chunk.metadata["kind"] for hit in odd} == {"odd"}

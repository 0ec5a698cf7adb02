"""Shortcuts: they agree with the exact search where they must, and pay with misses elsewhere."""

import numpy as np
import pytest

from llmlib.retrieval import HNSW, IVF, DenseIndex, Exact, ProductQuantized
from llmlib.retrieval.ivf import k_means


@pytest.fixture(scope="module")
def vectors():
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(30, 16))
    rows = centres[draw.integers(0, 30, 1500)] + 0.5 * draw.normal(size=(1500, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors):
    draw = np.random.default_rng(1)
    rows = vectors[:60] + 0.1 * draw.normal(size=(60, 16))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def recall(index, vectors, queries, k=10):
    exact = Exact(vectors)
    shares = [
        len({*index.search(q, k)[0].tolist()} & {*exact.search(q, k)[0].tolist()}) / k
        for q in queries
    ]
    return float(np.mean(shares))


def test_k_means_puts_everything_to_its_nearest_centre(vectors):
    centres, cell = k_means(vectors, 12, rounds=100)
    distances = ((vectors[:, None] - centres[None]) ** 2).sum(-1)
    assert (distances.argmin(1) == cell).all()
    for i in range(12):
        assert np.allclose(centres[i], vectors[cell == i].mean(0), atol=1e-5)


def test_an_inverted_file_with_all_probes_is_exact(vectors, queries):
    index = IVF(vectors, cells=25, probes=25)
    assert recall(index, vectors, queries) == 1.0
    assert sum(map(len, index.members)) == len(vectors)


def test_more_probes_find_more_and_cost_more(vectors, queries):
    found, cost = [], []
    for probes in (1, 4, 12):
        index = IVF(vectors, cells=25, probes=probes)
        found.append(recall(index, vectors, queries))
        cost.append(index.compared)
    assert found == sorted(found)
    assert cost == sorted(cost)
    assert found[0] < 0.98 < 0.995 < found[2]
    assert cost[2] < len(vectors)


def test_the_graph_finds_most_with_a_fraction_of_the_comparisons(vectors, queries):
    index = HNSW(vectors, links=8, ef=40)
    assert recall(index, vectors, queries) > 0.95
    costs = []
    for query in queries:
        index.search(query, 10)
        costs.append(index.compared)
    assert np.mean(costs) < len(vectors) / 3
    index.ef = 5
    narrow = recall(index, vectors, queries, k=5)
    index.ef = 200
    assert narrow < recall(index, vectors, queries, k=5)


def test_layers_thin_out_and_links_are_bounded(vectors):
    index = HNSW(vectors, links=6)
    sizes = [len(layer) for layer in index.graph]
    assert sizes[0] == len(vectors)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] == pytest.approx(len(vectors) / 6, rel=0.3)
    for number, layer in enumerate(index.graph):
        room = 12 if number == 0 else 6
        assert max(map(len, layer.values())) <= room
        for node, neighbours in layer.items():
            assert node not in neighbours
            assert len(set(neighbours)) == len(neighbours)
            assert all(other in layer for other in neighbours)
    steps = index.path(vectors[7])
    assert [layer for layer, _ in steps] == sorted((layer for layer, _ in steps), reverse=True)
    assert steps[0][1] == index.entry
    assert steps[-1][0] == 0


def test_every_vector_finds_itself(vectors):
    few = vectors[:300]
    for index in (IVF(few, probes=1), HNSW(few), Exact(few)):
        assert all(index.search(few[n], 1)[0][0] == n for n in range(300))


def test_product_quantisation_remembers_the_nearest_entry(vectors, queries):
    index = ProductQuantized(vectors, parts=8, codes=64)
    decoded = index.decode()
    for query in queries[:5]:
        numbers, scores = index.search(query, 10)
        assert scores == pytest.approx(np.sort(decoded @ query)[::-1][:10], abs=1e-5)
        assert scores == pytest.approx(decoded[numbers] @ query, abs=1e-5)
    errors = [
        np.square(ProductQuantized(vectors, parts=8, codes=c).decode() - vectors).mean()
        for c in (2, 16, 128)
    ]
    assert errors[0] > errors[1] > errors[2]
    exact = ProductQuantized(vectors[:40], parts=4, codes=40)
    assert np.allclose(exact.decode(), vectors[:40], atol=1e-6)


@pytest.mark.parametrize("kind", [IVF, HNSW, ProductQuantized])
def test_filters_hold(vectors, queries, kind):
    index = kind(vectors)
    keep = np.arange(len(vectors)) % 2 == 0
    for query in queries[:10]:
        numbers, scores = index.search(query, 5, keep)
        assert (numbers % 2 == 0).all()
        assert (np.diff(scores) <= 1e-6).all()


def test_they_stand_behind_the_dense_index(vectors):
    texts = [f"text {n}" for n in range(len(vectors))]
    for kind in (Exact, IVF, HNSW, ProductQuantized):
        index = DenseIndex(texts, lambda _: None, vectors=vectors, neighbours=kind)
        hits = index.search(vectors[3], 3)
        assert len(hits) == 3
        assert "text 3" in {hit.text for hit in hits}


def test_impossible_settings_are_refused(vectors):
    with pytest.raises(ValueError, match="number=0"):
        k_means(vectors, 0)
    with pytest.raises(ValueError, match="links=1"):
        HNSW(vectors, links=1)
    with pytest.raises(ValueError, match="parts=5"):
        ProductQuantized(vectors, parts=5)
    with pytest.raises(ValueError, match="codes=300"):
        ProductQuantized(vectors, codes=300)

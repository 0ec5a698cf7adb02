"""The benchmark of BM25 compares equal rankings, and its stored result keeps the promise."""

import json

import pytest

pytest.importorskip("bm25s", reason="the extra `retrieval` is not installed")

from benchmarks import retrieval


def test_both_sides_are_asked_the_same_and_answer_alike():
    texts = [
        "the green mill on the river",
        "a red boat on the river here",
        "who built the mill of it",
    ]
    queries = retrieval.some_queries(texts)
    assert len(queries) == retrieval.QUERIES
    both = {side: search() for side, search in retrieval.searches(texts, queries, k=1).items()}
    for ours, theirs in zip(both["llmlib"], both["bm25s"], strict=True):
        assert ours[0].chunk.source == str(theirs.documents[0, 0])
        assert ours[0].score == pytest.approx(float(theirs.scores[0, 0]), rel=1e-4)


def test_sides_that_differ_are_not_timed():
    class Other:
        def get_scores(self, words):
            return [1.0, 2.0]

    with pytest.raises(RuntimeError, match="differently"):
        retrieval.check_same(retrieval.BM25(["a mill", "a boat"]), Other(), ["mill"])


def test_the_stored_result_keeps_the_promise():
    stored = json.loads(retrieval.RESULTS.read_text(encoding="utf-8"))
    assert stored["target"] == retrieval.TARGET
    assert len(stored["collections"]) == 3
    for row in stored["collections"]:
        times = row["milliseconds"]
        assert row["ratio"] <= stored["target"]
        assert abs(times["llmlib"] / times["bm25s"] - row["ratio"]) < 0.02
    assert "bm25s" in retrieval.show(stored)

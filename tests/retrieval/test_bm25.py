"""BM25: the fast index equals the formula, and filters, ties and empty results behave."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.retrieval import BM25, Chunk, bm25_score

WORDS = ["mill", "boat", "green", "red", "river", "the", "a", "fox"]
TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12)


@given(
    texts=st.lists(TEXT, min_size=1, max_size=8),
    query=st.lists(st.sampled_from([*WORDS, "unseen"]), max_size=5),
    k1=st.floats(0.1, 3),
    b=st.floats(0, 1),
)
@settings(max_examples=200, deadline=None)
def test_the_index_equals_the_formula(texts, query, k1, b):
    index = BM25([" ".join(text) for text in texts], k1=k1, b=b)
    plain = [bm25_score(query, text, texts, k1=k1, b=b) for text in texts]
    assert index.scores(" ".join(query)).tolist() == pytest.approx(plain, rel=1e-5, abs=1e-6)
    hits = index.search(" ".join(query), k=len(texts))
    assert [hit.score for hit in hits] == sorted(
        (s for s in index.scores(" ".join(query)) if s > 0), reverse=True
    )


def test_a_rare_word_counts_more_and_repetition_saturates():
    texts = ["the mill", "the boat", "the fox", "the mill mill mill mill"]
    index = BM25(texts, b=0.0)
    assert index.idf[index.vocabulary["boat"]] > index.idf[index.vocabulary["mill"]]
    once, four = index.scores("mill")[[0, 3]]
    assert once < four < 2.5 * once / 1  # 1 + k1 times at most, however often it stands there


def test_length_is_held_against_a_text_only_with_b():
    texts = ["mill", "mill and very many other words that say nothing about it"]
    long_loses = BM25(texts, b=0.75).scores("mill")
    alike = BM25(texts, b=0.0).scores("mill")
    assert long_loses[0] > long_loses[1]
    assert alike[0] == alike[1]


def test_nothing_shared_finds_nothing_and_filters_hold():
    chunks = [
        Chunk("green mill", "a", metadata={"kind": "mill"}),
        Chunk("green boat", "b", metadata={"kind": "boat"}),
    ]
    index = BM25(chunks)
    assert index.search("purple whale") == []
    assert index.search("") == []
    assert [hit.chunk.source for hit in index.search("green")] == ["a", "b"]
    assert [hit.chunk.source for hit in index.search("green", where={"kind": "boat"})] == ["b"]
    assert index.search("green", where={"kind": "whale"}) == []


def test_equal_scores_come_in_the_order_of_the_texts():
    index = BM25(["x mill"] * 50 + ["mill mill"])
    sources = [hit.chunk.source for hit in index.search("mill", 4)]
    assert sources == ["50", "0", "1", "2"]


def test_k_below_one_and_an_empty_collection_are_refused():
    with pytest.raises(ValueError, match="k=0"):
        BM25(["mill"]).search("mill", 0)
    with pytest.raises(ValueError, match="nothing to search"):
        BM25([])
    with pytest.raises(ValueError, match="b=2"):
        BM25(["mill"], b=2.0)


def test_texts_without_words():
    assert BM25(["...", "!"]).search("mill") == []
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(0, 3))) for _ in range(20)]
    assert len(BM25(texts).scores("mill")) == 20

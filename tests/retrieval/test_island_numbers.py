"""The encoders that come with the library keep the promise, and the command prints it."""

import re

import pytest

from llmlib.data.island import island_name_split
from llmlib.retrieval.__main__ import main
from llmlib.retrieval.island_numbers import (
    TRAINED,
    held_out_examples,
    island_retrievers,
    load_island_encoder,
    load_island_reranker,
    search_numbers,
    train_encoders,
)
from llmlib.retrieval.island_search import island_chunks


@pytest.fixture(scope="module")
def numbers():
    island, questions = held_out_examples()
    retrievers = island_retrievers(
        island_chunks(island), load_island_encoder(), load_island_reranker()
    )
    return {kind: search_numbers(retrievers, asked) for kind, asked in questions.items()}


def test_no_training_has_seen_a_name():
    island, questions = held_out_examples()
    assert {island_name_split(article.title) for article in island.articles} == {"test"}
    assert [len(asked) for asked in questions.values()] == [200, 100]


def test_the_hybrid_finds_what_is_asked_by_name(numbers):
    found = numbers["by name"]["hybrid"]["recall@5"]
    assert found.value >= 0.95
    assert found.low >= 0.93


def test_each_search_finds_what_the_other_cannot(numbers):
    named, described = numbers["by name"], numbers["by description"]
    assert named["BM25"]["recall@5"].value > 0.95
    assert described["BM25"]["recall@5"].value < 0.1
    assert described["dense"]["recall@5"].value > 0.9
    assert described["hybrid"]["recall@5"].value > 0.75


def test_a_second_look_puts_the_right_one_first(numbers):
    for kind in ("by name", "by description"):
        assert numbers[kind]["reranked"]["MRR"].value > numbers[kind]["hybrid"]["MRR"].value - 0.02
    assert (
        numbers["by description"]["reranked"]["recall@5"].value
        > numbers["by description"]["hybrid"]["recall@5"].value
    )


def test_the_command_prints_every_search(capsys, numbers):
    main(["evaluate"])
    printed = capsys.readouterr().out
    rows = dict(
        re.findall(r"^  (\S+) +recall@5 +([\d.]+) %", printed.split("description")[0], re.M)
    )
    assert list(rows) == ["BM25", "dense", "hybrid", "reranked"]
    assert float(rows["hybrid"]) == pytest.approx(
        100 * numbers["by name"]["hybrid"]["recall@5"].value, abs=0.06
    )


def test_training_writes_what_loading_reads(tmp_path):
    losses = train_encoders(tmp_path, encoder_steps=50, reranker_steps=50)
    assert {name: len(row) for name, row in losses.items()} == {"encoder": 50, "reranker": 50}
    assert sum(losses["encoder"][-10:]) < sum(losses["encoder"][:10])
    for name in ("encoder", "reranker"):
        for folder in (tmp_path, TRAINED):
            assert (folder / name / "model.safetensors").stat().st_size < 1_000_000
            assert (folder / name / "losses.txt").read_text().count("\n") > 0

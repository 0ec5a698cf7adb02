"""Splitters: no letter is lost or changed, sizes are kept, and cuts fall where they should."""

import itertools
from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.data import make_island
from llmlib.retrieval import (
    Document,
    split_fixed,
    split_headings,
    split_sentences,
    split_text,
)
from llmlib.retrieval.splitting import HEADING, SEPARATORS

SPLITTERS = (split_fixed, split_sentences, split_text, split_headings)
LETTERS = st.text(st.sampled_from("ab .!?\n#=*-。！汉é"), max_size=200)


@pytest.mark.parametrize("split", SPLITTERS)
@given(text=LETTERS, size=st.integers(2, 40), share=st.floats(0, 0.9))
@settings(max_examples=150, deadline=None)
def test_spans_point_into_the_text_and_nothing_is_lost(split, text, size, share):
    overlap = int(size * share)
    chunks = split(Document(text, "here", {"kind": "test"}), size, overlap)
    gaps, reached = [], 0
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip() == chunk.text != ""
        assert (chunk.source, chunk.metadata["kind"]) == ("here", "test")
        gaps.append(text[reached : chunk.start])
        reached = max(reached, chunk.end)
        if split is not split_sentences:  # where a long sentence stays whole
            assert len(chunk.text) <= size
    for gap in [*gaps, text[reached:]]:
        if split is split_headings:  # which leaves out a heading with nothing below
            gap = HEADING.sub("", gap)
        assert gap.strip() == ""


def test_fixed_windows_overlap_by_exactly_so_many_characters():
    text = "".join(chr(97 + i % 26) for i in range(1000))
    chunks = split_fixed(text, size=100, overlap=30)
    assert all(a.end - b.start == 30 for a, b in itertools.pairwise(chunks))
    assert chunks[-1].end == 1000
    assert len({chunk.end for chunk in chunks}) == len(chunks)  # none lies inside another


def test_sentences_stay_whole_and_overlap_in_whole_sentences():
    text = "It rains. The mill stands still! Does it? Yes. 下雨了。磨坊停了。"
    singles = [chunk.text for chunk in split_sentences(text, size=2)]
    assert singles == [
        "It rains.", "The mill stands still!", "Does it?", "Yes.", "下雨了。", "磨坊停了。"
    ]  # fmt: skip
    chunks = split_sentences(text, size=42, overlap=12)
    assert [chunk.text for chunk in chunks[:2]] == [
        "It rains. The mill stands still! Does it?",
        "Does it? Yes. 下雨了。磨坊停了。",
    ]


@pytest.mark.parametrize("overlap", [0, 40])
@pytest.mark.parametrize("size", [60, 200, 1000])
def test_recursive_cuts_where_langchain_does(size, overlap):
    splitters = pytest.importorskip("langchain_text_splitters")
    theirs = splitters.RecursiveCharacterTextSplitter(
        chunk_size=size, chunk_overlap=overlap, separators=list(SEPARATORS)
    )
    for text in (make_island(seed=3).text, topics["for"], topics["strings"]):
        ours = [chunk.text for chunk in split_text(text, size, overlap)]
        assert ours == theirs.split_text(text)
        assert len(ours) > 1


def test_headings_know_the_headings_above_them():
    text = (
        "before\n\n# Island\n\n## Villages\n\n### Tarobe\n\nOn a river.\n\n"
        "```\n# a comment, no heading\n```\n\n## Rivers ##\n\nMany."
    )
    chunks = split_headings(text)
    assert [chunk.metadata.get("path") for chunk in chunks] == [
        None, "Island > Villages > Tarobe", "Island > Rivers"
    ]  # fmt: skip
    assert "a comment" in chunks[1].text
    assert chunks[1].text.startswith("### Tarobe")


def test_titles_with_a_line_below_them():
    text = "Loops\n*****\n\nTwo kinds.\n\nFor\n===\n\nEach.\n\nWhile\n=====\n\nAs long as."
    paths = [chunk.metadata["path"] for chunk in split_headings(text)]
    assert paths == ["Loops", "Loops > For", "Loops > While"]


def test_every_article_of_the_island_is_one_chunk():
    island = make_island(seed=4)
    chunks = split_headings(Document(island.text, "island"))
    assert [chunk.metadata["heading"] for chunk in chunks] == [a.title for a in island.articles]
    assert all(a.text in c.text for a, c in zip(island.articles, chunks, strict=True))


def test_a_long_section_is_split_and_each_part_keeps_its_heading():
    text = "## Mill\n\n" + "It is green. " * 100 + "\n\n## Boat\n\nIt is red."
    chunks = split_headings(text, size=200)
    assert {chunk.metadata["heading"] for chunk in chunks} == {"Mill", "Boat"}
    assert max(len(chunk.text) for chunk in chunks) <= 200


def test_pages_are_counted():
    document = Document("one\n\ntwo two\n\nthree", page_starts=(0, 5, 14))
    pages = [chunk.metadata["page"] for chunk in split_text(document, size=8)]
    assert pages == ["1", "2", "3"]


@pytest.mark.parametrize("split", SPLITTERS)
@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_impossible_sizes_are_refused(split, size, overlap):
    with pytest.raises(ValueError, match="size="):
        split("some text", size, overlap)

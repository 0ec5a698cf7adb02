"""Documents into rows: nothing lost, nothing torn, little wasted."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.data.packing import (
    batches_by_length,
    cut_into_blocks,
    document_numbers,
    fill_rows,
    pack_documents,
    pad_documents,
    padding_share,
)

LENGTHS = st.lists(st.integers(1, 20), max_size=40)


@given(LENGTHS, st.integers(20, 50))
def test_each_document_is_in_one_row_and_rows_hold_what_they_can(lengths, room):
    rows = pack_documents(lengths, room)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    filled = [sum(lengths[number] for number in row) for row in rows]
    assert all(0 < tokens <= room for tokens in filled)
    # No two rows could be one: the later one would have been put into the earlier.
    assert not any(a + b <= room for i, a in enumerate(filled) for b in filled[:i])


def test_the_room_that_fits_best_is_taken():
    # 6 leaves 4, 7 leaves 3: the document of 3 goes to the 7, that of 4 to the 6.
    assert pack_documents([6, 7, 3, 4], 10) == [[0, 3], [1, 2]]


@given(st.lists(st.lists(st.integers(1, 9), max_size=8), max_size=12), st.integers(9, 20))
def test_rows_give_the_documents_back(contents, length):
    documents = [[*content, 0] for content in contents]
    groups = pack_documents([len(document) for document in documents], length)
    rows = fill_rows(groups, documents, length, padding_id=99)
    numbers = document_numbers(rows, end_id=0)
    for row, number, group in zip(rows, numbers, groups, strict=True):
        for place, document in enumerate(group):
            here = row[(number == place) & (row != 99)]
            assert here.tolist() == documents[document]
    if documents:
        padding = rows.size - sum(map(len, documents))
        assert padding_share(rows, 99) == padding / rows.size


def test_packing_wastes_less_than_padding():
    rng = np.random.default_rng(0)
    documents = [[1] * n for n in rng.integers(20, 200, 300)]
    padded = pad_documents(documents, 200, padding_id=0)
    packed = fill_rows(pack_documents(list(map(len, documents)), 200), documents, 200, padding_id=0)
    assert padding_share(padded, 0) > 0.4
    assert padding_share(packed, 0) < 0.05


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=12), st.integers(1, 9))
def test_blocks_are_the_joined_text(documents, length):
    joined = [token for document in documents for token in document]
    blocks = cut_into_blocks(documents, length)
    assert blocks.flatten().tolist() == joined[: blocks.size]
    assert len(joined) - blocks.size < length


@given(LENGTHS, st.integers(20, 90), st.integers(0, 3))
def test_batches_by_length_hold_each_document_once_within_the_limit(lengths, limit, seed):
    batches = batches_by_length(lengths, limit, seed=seed)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    spans = []
    for batch in batches:
        sizes = [lengths[number] for number in batch]
        assert max(sizes) * len(sizes) <= limit
        spans.append((min(sizes), max(sizes)))
    spans.sort()
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))


def test_batches_come_in_a_drawn_order():
    lengths = list(range(1, 60))
    first, second = (batches_by_length(lengths, 60, seed=seed) for seed in (0, 1))
    assert first != second
    assert first == batches_by_length(lengths, 60, seed=0)
    longest = [max(lengths[number] for number in batch) for batch in first]
    assert longest != sorted(longest)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: pack_documents([3, 11], 10), "document 1 has 11 tokens"),
        (lambda: pack_documents([3, 0], 10), "document 1 has 0 tokens"),
        (lambda: fill_rows([[0, 1]], [[1, 2], [3]], 2, padding_id=0), "3 tokens"),
        (lambda: cut_into_blocks([[1]], 0), "length=0"),
        (lambda: batches_by_length([5, 9], 8), "9 tokens"),
    ],
)
def test_what_does_not_fit_is_refused(call, named):
    with pytest.raises(ValueError, match=named):
        call()

"""What the pool promises: no block lost, none held twice, none found that is gone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.serving import BlockPool, OutOfBlocksError


def check(pool, held):
    """`held` lists the blocks of every holder."""
    counts = Counter(held)
    assert pool.holders == [counts[block] for block in range(pool.num_blocks)]
    assert set(pool.free) == {block for block in range(pool.num_blocks) if not counts[block]}
    assert pool.num_free + pool.num_used == pool.num_blocks
    assert pool.text_of == {block: text for text, block in pool.found.items()}


@given(
    st.lists(st.tuples(st.sampled_from(["take", "share", "give", "remember"]), st.integers(0, 50)))
)
def test_counts_agree_with_who_holds_what(actions):
    pool, held, texts = BlockPool(5, 2), [], {}
    for number, (action, draw) in enumerate(actions):
        if action == "take" and len(set(held)) < 5:
            held.append(pool.take())
            texts.pop(held[-1], None)
        elif action == "take":
            with pytest.raises(OutOfBlocksError, match="all 5 blocks"):
                pool.take()
        elif held:
            block = held[draw % len(held)]
            if action == "share":
                pool.share(block)
                held.append(block)
            elif action == "give":
                held.remove(block)
                assert pool.give_back(block) == (block not in held)
            elif block not in texts:
                texts[block] = (number, number)
                pool.remember(block, texts[block])
        check(pool, held)
        for block, text in texts.items():
            assert pool.find(text) == [block]


def test_a_block_is_given_back_once():
    pool = BlockPool(2, 4)
    block = pool.take()
    pool.give_back(block)
    with pytest.raises(ValueError, match="free already"):
        pool.give_back(block)


def test_what_was_taken_again_is_not_found():
    pool = BlockPool(1, 2)
    pool.remember(pool.take(), [7, 8])
    pool.give_back(0)
    assert pool.find([7, 8, 9]) == [0]  # given back, and still there
    pool.take()
    assert pool.find([7, 8, 9]) == []


def test_a_free_block_that_is_found_can_be_held_again():
    pool = BlockPool(2, 2)
    pool.remember(pool.take(), [7, 8])
    pool.give_back(0)
    pool.share(0)
    assert pool.take() == 1
    with pytest.raises(OutOfBlocksError):
        pool.take()


def test_the_beginning_counts_and_not_only_the_block():
    pool = BlockPool(4, 2)
    for end in (2, 4):
        pool.remember(pool.take(), [1, 2, 3, 4][:end])
    assert pool.find([1, 2, 3, 4]) == [0, 1]
    assert pool.find([1, 2, 9, 9]) == [0]
    assert pool.find([3, 4]) == []  # the same two tokens, at another place in another text
    assert pool.find([9, 9, 3, 4]) == []


def test_the_block_free_for_longest_is_taken_first():
    pool = BlockPool(3, 2)
    for _ in range(3):
        pool.take()
    for block in (2, 0, 1):
        pool.give_back(block)
    assert [pool.take() for _ in range(3)] == [2, 0, 1]


def test_only_full_blocks_are_remembered():
    pool = BlockPool(2, 4)
    for text in ([], [1, 2, 3]):
        with pytest.raises(ValueError, match="full block"):
            pool.remember(pool.take(), text)


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0)])
def test_sizes_are_checked(sizes):
    with pytest.raises(ValueError, match="at least 1"):
        BlockPool(*sizes)

"""Batches by their number."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlib.training import Batch, TokenBatches


@given(st.integers(5, 60), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3))
def test_every_epoch_reads_each_block_once(length, context, size, seed):
    source = TokenBatches(range(length), context_length=context, batch_size=size, seed=seed)
    count = -(-2 * len(source) // size)
    firsts = torch.cat([source.batch(i).ids[:, 0] for i in range(count)]).tolist()
    starts = [block * context for block in range(len(source))]
    assert sorted(firsts[: len(source)]) == starts
    assert sorted(firsts[len(source) : 2 * len(source)]) == starts


def test_a_batch_depends_on_its_number_only():
    options = {"context_length": 3, "batch_size": 2, "seed": 5}
    forwards, backwards = (TokenBatches(range(50), **options) for _ in range(2))
    there = [forwards.batch(i).ids for i in range(20)]
    back = [backwards.batch(i).ids for i in reversed(range(20))][::-1]
    assert all(torch.equal(one, two) for one, two in zip(there, back, strict=True))
    other = TokenBatches(range(50), **(options | {"seed": 6}))
    assert any(not torch.equal(there[i], other.batch(i).ids) for i in range(20))


def test_epochs_have_different_orders():
    source = TokenBatches(range(101), context_length=1, batch_size=100)
    assert not torch.equal(source.batch(0).ids, source.batch(1).ids)


def test_targets_are_the_next_tokens():
    tokens = torch.randperm(40)
    batch = TokenBatches(tokens, context_length=4, batch_size=9).batch(0)
    following = dict(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))
    assert [following[i] for i in batch.ids.flatten().tolist()] == batch.targets.flatten().tolist()


@pytest.mark.parametrize(
    ("tokens", "options", "named"),
    [
        ([], {}, "0 tokens"),
        ([1, 2, 3], {"context_length": 3}, "3 tokens"),
        ([[1, 2], [3, 4]], {}, "one sequence"),
        ([0.5, 1.0], {}, "integers"),
        (range(9), {"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_cannot_be_cut_into_blocks(tokens, options, named):
    with pytest.raises(ValueError, match=named):
        TokenBatches(tokens, **({"context_length": 2, "batch_size": 1} | options))


def test_what_counts():
    targets = torch.tensor([[1, -100], [2, 3]])
    batch = Batch(ids=torch.ones(2, 2), targets=targets)
    assert batch.counted == 3
    weighted = Batch(ids=torch.ones(2, 2), targets=targets, weights=torch.full((2, 2), 0.5))
    assert weighted.counted == 1.5
    assert weighted.rows(0, 1).counted == 0.5

"""Sums over ranks: the numbers of the real collectives, the volume and time of the formulas."""

import math
import sys

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from llmlib.training import (
    exchange_seconds,
    numbers_sent,
    ring_all_gather,
    ring_all_reduce,
    ring_reduce_scatter,
    run_ranks,
    star_all_reduce,
    tree_all_reduce,
)

WAYS = [ring_all_reduce, star_all_reduce, tree_all_reduce]


def whole_numbers(ranks, size, seed=0):
    """Sums of these are exact in any order."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(-99, 99, (size,), generator=generator).float() for _ in range(ranks)]


@pytest.mark.parametrize("way", WAYS)
@given(ranks=st.integers(1, 9), size=st.integers(1, 20), seed=st.integers(0, 99))
def test_every_rank_gets_the_sum(way, ranks, size, seed):
    vectors = whole_numbers(ranks, size, seed)
    before = [vector.clone() for vector in vectors]
    sums, log = way(vectors)
    assert len(sums) == ranks
    assert all(torch.equal(total, sum(vectors)) for total in sums)
    assert all(torch.equal(*pair) for pair in zip(vectors, before, strict=True))
    assert (log == []) == (ranks == 1)


@given(ranks=st.integers(1, 7), size=st.integers(1, 20))
def test_the_two_rounds_of_the_ring(ranks, size):
    vectors = whole_numbers(ranks, size)
    pieces, first = ring_reduce_scatter(vectors)
    assert [p.tolist() for p in pieces] == [p.tolist() for p in sum(vectors).tensor_split(ranks)]
    whole, second = ring_all_gather(pieces)
    assert all(torch.equal(vector, sum(vectors)) for vector in whole)
    for log in (first, second):
        assert {m.step for m in log} == set(range(ranks - 1))
        assert all(m.receiver == (m.sender + 1) % ranks for m in log)  # neighbours only


def test_other_shapes_are_kept():
    sums, _ = ring_all_reduce([torch.ones(2, 3), torch.ones(2, 3)])
    assert sums[1].tolist() == [[2.0] * 3] * 2
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\)"):
        ring_all_reduce([torch.ones(2), torch.ones(3)])
    with pytest.raises(ValueError, match="shapes"):
        star_all_reduce([])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
def test_the_real_collectives_give_the_same():
    vectors = whole_numbers(3, 6)

    def of_rank(rank, world_size):
        total, piece = vectors[rank].clone(), torch.empty(2)
        dist.all_reduce(total)
        dist.reduce_scatter_tensor(piece, vectors[rank].clone())
        gathered = torch.empty(6)
        dist.all_gather_into_tensor(gathered, piece)
        return total, piece, gathered

    sums, pieces = ring_all_reduce(vectors)[0], ring_reduce_scatter(vectors)[0]
    whole = ring_all_gather(pieces)[0]
    expected = [list(each) for each in zip(sums, pieces, whole, strict=True)]
    for found, wanted in zip(run_ranks(of_rank, 3), expected, strict=True):
        torch.testing.assert_close(list(found), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
def test_volume_and_time_are_those_of_the_formulas(ranks):
    size, latency, bandwidth = 840, 3e-6, 1e9  # numbers of 4 bytes, divided by all of these
    vectors = whole_numbers(ranks, size)
    logs = {way.__name__: way(vectors)[1] for way in WAYS}
    ring = logs["ring_all_reduce"]
    assert all(numbers_sent(ring, r) == 2 * size * (ranks - 1) / ranks for r in range(ranks))
    assert numbers_sent(logs["star_all_reduce"], 0) == (ranks - 1) * size
    steps, whole = 2 * (ranks - 1), latency + 4 * size / bandwidth
    expected = {
        "ring_all_reduce": steps * (latency + 4 * size / ranks / bandwidth),
        "star_all_reduce": steps * whole,
        "tree_all_reduce": 2 * math.ceil(math.log2(ranks)) * whole,
    }
    for name, log in logs.items():
        found = exchange_seconds(log, latency=latency, bandwidth=bandwidth)
        assert found == pytest.approx(expected[name])


def test_a_ring_is_as_fast_as_its_slowest_link():
    _, log = ring_all_reduce(whole_numbers(4, 8))
    one_slow = exchange_seconds(
        log, latency=0.0, bandwidth=lambda a, b: 1.0 if {a, b} == {1, 2} else 100.0
    )
    assert one_slow == pytest.approx(exchange_seconds(log, latency=0.0, bandwidth=1.0))

"""Schedules: bubbles by the formula, activations as promised, gradients of the whole batch."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from llmlib.training import (
    bubble_share,
    gpipe_order,
    one_forward_one_backward_order,
    run_pipeline,
    timetable,
    waiting_activations,
)

ORDERS = [gpipe_order, one_forward_one_backward_order]


@pytest.mark.parametrize("make", ORDERS)
@given(stages=st.integers(1, 6), microbatches=st.integers(1, 9), slots=st.integers(1, 3))
def test_every_schedule_keeps_the_order_of_things(make, stages, microbatches, slots):
    table = timetable(make(stages, microbatches), slots)
    begins = {(s, w): row.index(w) for s, row in enumerate(table) for w in set(row) - {""}}
    for s, row in enumerate(table):
        for i in range(microbatches):
            assert row.count(f"F{i}") == 1
            assert row.count(f"B{i}") == slots
            if s:
                assert begins[s, f"F{i}"] > begins[s - 1, f"F{i}"]
                assert begins[s - 1, f"B{i}"] >= begins[s, f"B{i}"] + slots
        assert begins[s, "B0"] > begins[s, "F0"]


@pytest.mark.parametrize("make", ORDERS)
@given(stages=st.integers(1, 6), more=st.integers(0, 9), slots=st.integers(1, 3))
def test_bubbles_are_those_of_the_formula(make, stages, more, slots):
    microbatches = stages + more
    share = bubble_share(timetable(make(stages, microbatches), slots))
    assert share == pytest.approx((stages - 1) / (microbatches + stages - 1))


def test_who_keeps_how_many_activations():
    assert waiting_activations(gpipe_order(4, 8)) == [8] * 4
    assert waiting_activations(one_forward_one_backward_order(4, 8)) == [4, 3, 2, 1]
    assert waiting_activations(one_forward_one_backward_order(4, 2)) == [2, 2, 2, 1]


@pytest.mark.parametrize("make", ORDERS)
@pytest.mark.parametrize(("count", "microbatches"), [(1, 3), (3, 1), (3, 6)])
def test_gradients_are_those_of_the_whole_batch(make, count, microbatches):
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Linear(5, 5), nn.Tanh()) for _ in range(count)]
    whole = copy.deepcopy(stages)
    x, y = torch.randn(12, 5), torch.randn(12, 5)
    size = 12 // microbatches
    loss, log = run_pipeline(
        stages, make(count, microbatches), x.split(size), y.split(size), nn.functional.mse_loss
    )
    expected = nn.functional.mse_loss(nn.Sequential(*whole)(x), y)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for one, two in zip(stages, whole, strict=True):
        grads = [[p.grad for p in module.parameters()] for module in (one, two)]
        torch.testing.assert_close(*grads)
    assert len(log) == 2 * microbatches * (count - 1)
    for message in log:
        assert message.receiver - message.sender == (1 if message.content[0] == "F" else -1)
        assert message.values.shape == (size, 5)


def test_impossible_orders_are_refused():
    with pytest.raises(ValueError, match="waits for another"):
        timetable([["F0", "B0"], ["B0", "F0"]])
    with pytest.raises(ValueError, match="2 stages and 2 microbatches"):
        run_pipeline([nn.Identity()] * 2, gpipe_order(2, 3), [torch.ones(1)] * 2, [], None)
    with pytest.raises(ValueError, match="stages=0"):
        gpipe_order(0, 2)

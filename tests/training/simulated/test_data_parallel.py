"""Replicas are one model; late gradients cost stability where the formula says."""

import copy

import pytest
import torch

from llmlib.models import GPT, GPTConfig
from llmlib.training import (
    Batch,
    data_parallel_step,
    delayed_descent,
    highest_stable_rate,
    numbers_sent,
)

SIZES = {"vocab_size": 12, "context_length": 8, "dim": 16, "num_layers": 1, "num_heads": 2}


def test_replicas_take_the_step_of_the_whole_batch():
    torch.manual_seed(0)
    alone = GPT(GPTConfig(**SIZES))
    replicas = [copy.deepcopy(alone) for _ in range(3)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.5) for model in replicas]
    by_hand = torch.optim.SGD(alone.parameters(), lr=0.5)
    for _ in range(3):
        ids = torch.randint(0, 12, (6, 8))
        targets = ids.roll(-1, 1)
        targets[0, 1:] = -100  # ranks with different numbers of targets
        targets[4:] = -100  # and one with none
        batches = [Batch(ids=ids[i : i + 2], targets=targets[i : i + 2]) for i in (0, 2, 4)]
        loss, log = data_parallel_step(replicas, optimizers, batches)
        by_hand.zero_grad()
        expected = alone.loss(ids, targets)
        expected.backward()
        by_hand.step()
        assert loss == pytest.approx(expected.item(), rel=1e-5)
    weights = [list(model.parameters()) for model in replicas]
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=0)
    torch.testing.assert_close(weights[0], list(alone.parameters()), rtol=1e-4, atol=1e-5)
    size = alone.num_parameters
    assert numbers_sent(log, 1) == pytest.approx(2 * size * 2 / 3, abs=2)
    with pytest.raises(ValueError, match="3 replicas, 2 optimizers"):
        data_parallel_step(replicas, optimizers[:2], batches)


@pytest.mark.parametrize("delay", [0, 1, 2, 5])
@pytest.mark.parametrize("curvature", [1.0, 4.0])
def test_the_highest_stable_rate_is_the_edge(delay, curvature):
    def last(factor):
        rate = factor * highest_stable_rate(curvature, delay)
        start = torch.tensor(1.0, dtype=torch.float64)
        points = delayed_descent(lambda x: curvature * x, start, lr=rate, delay=delay, steps=4000)
        return max(abs(x.item()) for x in points[-50:])

    assert last(0.98) < 1e-3
    assert last(1.02) > 1e3


def test_without_delay_it_is_gradient_descent():
    points = delayed_descent(lambda x: 2 * x, torch.tensor(1.0), lr=0.1, delay=0, steps=3)
    assert [p.item() for p in points] == pytest.approx([0.8**t for t in range(4)])
    with pytest.raises(ValueError, match="delay=-1"):
        delayed_descent(lambda x: x, torch.tensor(1.0), lr=0.1, delay=-1, steps=3)

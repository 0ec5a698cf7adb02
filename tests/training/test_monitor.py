"""What is watched: the size of an update, the speed, spikes."""

import math
import time

import pytest
import torch
from torch import nn

from llmlib.models import GPT, GPTConfig
from llmlib.training import (
    Throughput,
    TrainConfig,
    Trainer,
    UpdateRatio,
    find_spikes,
    running_mean,
)

SIZES = {"vocab_size": 12, "context_length": 8, "dim": 16, "num_layers": 1, "num_heads": 2}
TEXT = torch.arange(400) % 12


def gpt():
    torch.manual_seed(0)
    return GPT(GPTConfig(**SIZES))


def test_the_ratio_is_that_of_all_matrices_together():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2, bias=False))
    old = [w.detach().clone() for w in (model[0].weight, model[1].weight)]
    monitor = UpdateRatio(each=True)
    monitor.before_update(model)
    with torch.no_grad():
        model[0].weight += 0.3
        model[0].bias += 100.0  # a vector, left out
    found = monitor.after_update(model, {})
    moved, length = math.sqrt(6) * 0.3, math.hypot(*(float(w.norm()) for w in old))
    assert found["update_ratio"] == pytest.approx(moved / length, rel=1e-5)
    assert found["update_ratio.0.weight"] == pytest.approx(moved / float(old[0].norm()), rel=1e-5)
    assert found["update_ratio.1.weight"] == 0
    assert set(found) == {"update_ratio", "update_ratio.0.weight", "update_ratio.1.weight"}


def test_a_frozen_matrix_is_left_out_and_one_of_zeros_has_no_ratio():
    layer = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(layer.weight)
    monitor = UpdateRatio()
    monitor.before_update(layer)
    layer.weight.data += 1
    assert monitor.after_update(layer, {}) == {"update_ratio": math.inf}
    layer.requires_grad_(False)
    monitor.before_update(layer)
    assert monitor.after_update(layer, {}) == {"update_ratio": 0.0}


def test_the_trainer_logs_what_monitors_measure_and_trains_the_same():
    config = TrainConfig(steps=5, batch_size=4, max_lr=1e-2)
    plain = Trainer(gpt(), config, TEXT).fit()
    watched = Trainer(gpt(), config, TEXT, monitors=[UpdateRatio(), Throughput()]).fit()
    assert watched.column("loss") == plain.column("loss")
    assert watched.steps("update_ratio") == [0, 1, 2, 3, 4]
    assert watched.steps("tokens_per_second") == [1, 2, 3, 4]
    assert all(0 < ratio < 1 for ratio in watched.column("update_ratio"))


def test_the_ratio_grows_with_the_rate():
    def first(rate):
        config = TrainConfig(steps=1, batch_size=4, max_lr=rate, weight_decay=0.0)
        return Trainer(gpt(), config, TEXT, monitors=[UpdateRatio()]).fit().rows[0]["update_ratio"]

    # The first step of Adam moves every weight by the rate.
    assert first(2e-3) == pytest.approx(2 * first(1e-3), rel=1e-2)


def test_speed_is_tokens_over_time():
    monitor = Throughput()
    monitor.after_update(nn.Linear(1, 1), {"tokens": 1000})
    time.sleep(0.05)
    speed = monitor.after_update(nn.Linear(1, 1), {"tokens": 1500})["tokens_per_second"]
    assert 0 < speed <= 500 / 0.05


def test_the_running_mean_has_no_bias_at_the_beginning():
    assert running_mean([3.0] * 5, keep=0.9) == pytest.approx([3.0] * 5)
    assert running_mean([1.0, 3.0], keep=0.5) == pytest.approx([1.0, (0.5 + 3) / 1.5])
    assert running_mean([2.0, 7.0], keep=0.0) == [2.0, 7.0]
    with pytest.raises(ValueError, match="keep=1"):
        running_mean([1.0], keep=1)


def noise(count):
    return torch.randn(count, generator=torch.Generator().manual_seed(1)) * 0.05


def test_spikes_are_found_and_nothing_else():
    falling = (4 * torch.exp(-torch.arange(300) / 80) + 1 + noise(300)).tolist()
    assert find_spikes(falling) == []
    falling[150] += 1.0
    falling[220] += 0.6
    assert find_spikes(falling) == [150, 220]


def test_a_spike_does_not_hide_the_next_one():
    values = (2 + noise(100)).tolist()
    for place in (60, 62, 64):
        values[place] = 9.0
    values[80] = math.nan
    assert find_spikes(values) == [60, 62, 64, 80]


def test_a_flat_curve_has_no_spread_and_still_shows_a_jump():
    assert find_spikes([1.0] * 10 + [1.1] + [1.0] * 5, window=5) == [10]
    with pytest.raises(ValueError, match="window=2"):
        find_spikes([1.0], window=2)

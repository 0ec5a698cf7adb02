"""The rate that grows: what it finds, and that the model stays as it is."""

import copy

import pytest
import torch
from torch import nn

from llmlib.models import GPT, GPTConfig
from llmlib.training import Batch, RateTest, TokenBatches, TrainConfig, Trainer, lr_range_test

SIZES = {"vocab_size": 12, "context_length": 8, "dim": 16, "num_layers": 1, "num_heads": 2}
DATA = TokenBatches(torch.arange(400) % 12, context_length=8, batch_size=4)
CONFIG = TrainConfig(steps=1)


def gpt():
    torch.manual_seed(0)
    return GPT(GPTConfig(**SIZES))


def test_rates_grow_by_equal_factors_and_the_model_stays():
    model = gpt()
    before = copy.deepcopy(model.state_dict())
    test = lr_range_test(model, CONFIG, DATA, min_lr=1e-4, max_lr=1e-2, steps=5)
    assert test.rates == pytest.approx([1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2])
    assert len(test.losses) == 5
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_with_one_rate_it_is_the_trainer():
    rate = 1e-3
    found = lr_range_test(gpt(), CONFIG, DATA, min_lr=rate, max_lr=rate * (1 + 1e-9), steps=6)
    config = TrainConfig(steps=6, max_lr=rate, min_lr=rate)
    assert found.losses == pytest.approx(Trainer(gpt(), config, DATA).fit().column("loss"))


def test_it_stops_when_the_loss_explodes_and_tells_where_it_fell():
    test = lr_range_test(gpt(), CONFIG, DATA, min_lr=1e-4, max_lr=100.0, steps=80)
    assert len(test.rates) < 80
    assert 1e-3 < test.steepest <= test.lowest < test.rates[-1]
    assert test.losses[0] > 2.3
    assert min(test.smoothed) < 1.5


class Slope(nn.Module):
    """A loss that falls without end, or is not a number from a place on."""

    def __init__(self, model, precision):
        super().__init__()
        self.model, self.calls = model, 0

    def forward(self, batch):
        self.calls += 1
        loss = self.model.weight.sum() if self.calls < 4 else self.model.weight.sum() * float("nan")
        return loss, {"other": 1.0}


def test_a_loss_that_is_not_a_number_ends_it():
    class Fixed:
        def batch(self, number):
            ids = torch.zeros(1, 1, dtype=torch.int64)
            return Batch(ids=ids, targets=ids)

    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 100.0)
    test = lr_range_test(model, CONFIG, Fixed(), steps=10, loss=Slope)
    assert len(test.losses) == 3


def test_the_rates_it_names():
    rates = [1.0, 2.0, 4.0, 8.0, 16.0]
    test = RateTest(rates, [10.0, 9.9, 5.0, 4.9, 30.0])
    assert test.steepest == 2.0  # the update at rate 2 made the fall
    assert test.lowest == 8.0
    assert RateTest([0.1], [3.0]).steepest == 0.1


def test_a_fall_after_a_rise_does_not_count():
    rates = [float(i) for i in range(1, 13)]
    test = RateTest(rates, [10, 10, 7, 6, 6, 6, 20, 20, 20, 5, 1, 1])
    assert test.steepest in (2.0, 3.0)
    assert test.lowest == 6.0


@pytest.mark.parametrize(
    "options", [{"min_lr": 0.0}, {"min_lr": 1.0, "max_lr": 0.1}, {"steps": 1}, {"stop_at": 1.0}]
)
def test_what_makes_no_test(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        lr_range_test(gpt(), CONFIG, DATA, **options)

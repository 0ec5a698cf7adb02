"""The Trainer with another loss on another kind of batch: pairs of texts that are compared."""

import copy
import sys
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.functional import logsigmoid

from llmlib.models import GPT, GPTConfig
from llmlib.training import (
    Batch,
    CSVLog,
    History,
    TrainConfig,
    Trainer,
    parallel_from_environment,
    run_ranks,
)

SIZES = {"vocab_size": 12, "context_length": 8, "dim": 16, "num_layers": 2, "num_heads": 2}


@dataclass(frozen=True)
class Pairs:
    better: Batch
    worse: Batch
    share: torch.Tensor  # (B,), how much each pair counts

    def rows(self, start, stop):
        return Pairs(
            self.better.rows(start, stop), self.worse.rows(start, stop), self.share[start:stop]
        )

    def to(self, device):
        return Pairs(self.better.to(device), self.worse.to(device), self.share.to(device))

    @property
    def counted(self):
        return self.share.sum()

    @property
    def texts(self):
        return (self.better, self.worse)


class Source:
    """The better text of a pair counts up, the worse one is random; pairs count unequally."""

    def batch(self, number):
        generator = torch.Generator().manual_seed(number)
        starts = torch.randint(0, 12, (8, 1), generator=generator)
        up = (starts + torch.arange(8)) % 12
        noise = torch.randint(0, 12, (8, 6), generator=generator)
        share = torch.rand(8, generator=generator)
        return Pairs(Batch(ids=up, targets=up), Batch(ids=noise, targets=noise), share)


class Comparison(nn.Module):
    """The better text shall have the greater first logit at its end."""

    def __init__(self, model, precision):
        super().__init__()
        self.model = model

    def forward(self, pairs):
        better = self.model(pairs.better.ids)[:, -1, 0]
        worse = self.model(pairs.worse.ids)[:, -1, 0]
        weights = pairs.share / pairs.share.sum()
        right = ((better > worse) * weights).sum()
        return -(logsigmoid(better - worse) * weights).sum(), {
            "accuracy": right,
            "margin": ((better - worse) * weights).sum(),
        }


def make(dropout=0.0, log=None, parallel=None, loss=Comparison, **config):
    torch.manual_seed(0)
    config = TrainConfig(
        **{"steps": 6, "max_lr": 1e-2, "eval_every": 3, "eval_batches": 2} | config
    )
    logs = [] if log is None else [CSVLog(log, names=("step", "loss", "accuracy", "eval_margin"))]
    model = GPT(GPTConfig(**SIZES, dropout=dropout))
    return Trainer(model, config, Source(), Source(), loss=loss, logs=logs, parallel=parallel)


def test_the_loss_is_learned_and_its_other_means_are_logged(tmp_path):
    trainer = make(log=tmp_path / "log.csv", steps=40)
    history = trainer.fit()
    assert history.column("loss")[-1] < 0.3 < 0.6 < history.column("loss")[0]
    assert history.column("accuracy")[-1] > 0.9
    assert history.column("tokens")[:2] == [8 * (8 + 6), 2 * 8 * (8 + 6)]
    assert history.steps("eval_accuracy") == history.steps("eval_loss") == [*range(2, 40, 3), 39]
    read = History.load(tmp_path / "log.csv")
    assert read.column("accuracy") == history.column("accuracy")
    assert read.column("eval_margin") == history.column("eval_margin")


def test_the_means_are_those_computed_by_hand():
    trainer = make(steps=1)
    model = copy.deepcopy(trainer.model).eval()
    with torch.no_grad():
        found = [Comparison(model, "")(Source().batch(number)) for number in range(2)]
    counts = [float(Source().batch(number).counted) for number in range(2)]
    measured = trainer.measure()
    assert measured["eval_loss"] == trainer.evaluate()
    for name, values in (
        ("eval_loss", [float(loss) for loss, _ in found]),
        ("eval_margin", [float(others["margin"]) for _, others in found]),
    ):
        mean = sum(a * b for a, b in zip(values, counts, strict=True)) / sum(counts)
        assert measured[name] == pytest.approx(mean, rel=1e-5)
    first = trainer.fit().rows[0]
    assert first["accuracy"] == pytest.approx(float(found[0][1]["accuracy"]), rel=1e-5)


def same_rows(found, expected):
    assert [set(row) for row in found] == [set(row) for row in expected]
    for one, two in zip(found, expected, strict=True):
        assert one == pytest.approx(two, rel=2e-5)


def test_parts_add_up_to_the_whole_batch():
    whole, parts = make().fit(), make(accumulation=4).fit()
    same_rows(parts.rows, whole.rows)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
@pytest.mark.parametrize("engine", ["ddp", "fsdp"])
def test_two_ranks_train_as_one_process(engine):
    def of_rank(rank, world_size):
        with parallel_from_environment(engine) as parallel:
            return make(parallel=parallel).fit().rows

    one, two = run_ranks(of_rank, 2)
    assert one == two
    same_rows(one, make().fit().rows)


def test_a_resumed_run_is_the_same_run_bit_for_bit(tmp_path):
    whole = make(dropout=0.2)
    whole.fit()
    first = make(dropout=0.2)
    first.fit(until=4)
    first.save(tmp_path)
    torch.manual_seed(99)
    second = make(dropout=0.2).resume(tmp_path)
    second.fit()
    assert second.history.rows == whole.history.rows
    for one, two in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_every_text_of_a_batch_is_checked_before_the_first_step():
    class Long(Source):
        def batch(self, number):
            pairs = super().batch(number)
            long = torch.zeros(8, 9, dtype=torch.int64)
            return Pairs(pairs.better, Batch(ids=long, targets=long), pairs.share)

    trainer = make()
    trainer.train_data = Long()
    with pytest.raises(ValueError, match=r"9 tokens.*context_length=8"):
        trainer.fit()


def test_a_column_of_the_trainer_cannot_be_taken():
    class Taking(Comparison):
        def forward(self, pairs):
            return super().forward(pairs)[0], {"lr": 1.0}

    with pytest.raises(ValueError, match=r"\['lr'\].*rename"):
        make(loss=Taking).fit()

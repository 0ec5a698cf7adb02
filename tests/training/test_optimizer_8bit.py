"""Running means in bytes: the table, the blocks, and how near the updates stay."""

import copy

import pytest
import torch
from torch import nn

from llmlib.models import GPT, GPTConfig
from llmlib.training import (
    AdamW,
    AdamW8bit,
    TrainConfig,
    Trainer,
    dequantize_blocks,
    dynamic_table,
    parameter_groups,
    quantize_blocks,
)

SIZES = {"vocab_size": 64, "context_length": 16, "dim": 32, "num_layers": 1, "num_heads": 2}
TEXT = torch.arange(4000) * 7 % 61


def gpt():
    torch.manual_seed(0)
    return GPT(GPTConfig(**SIZES))


@pytest.mark.parametrize("signed", [True, False])
def test_the_table_has_256_values_and_ends_where_it_should(signed):
    table = dynamic_table(signed)
    assert len(table.unique()) == 256
    assert torch.equal(table, table.sort().values)
    assert table[-1] == 1
    assert 0 in table
    assert table[0] == (-dynamic_table(True)[-2] if signed else 0)
    positive = table[table > 0]
    assert 1e-7 < positive[0] < 1e-6
    inner = table[table.abs() < 1]
    if signed:
        assert torch.equal(inner, -inner.flip(0))


def test_each_value_of_the_table_is_its_own_nearest():
    for signed in (True, False):
        table = dynamic_table(signed)
        codes, scales = quantize_blocks(table * 8, table, 256)
        assert codes.tolist() == list(range(256))
        assert scales.tolist() == [8.0]


def test_the_nearest_value_is_taken():
    table = dynamic_table(True)
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    codes, scales = quantize_blocks(values, table, 64)
    shares = values / scales.repeat_interleave(64)[:1000]
    nearest = (shares[:, None] - table).abs().min(dim=1).values
    torch.testing.assert_close((shares - table[codes.long()]).abs(), nearest, rtol=0, atol=1e-6)


def test_an_outlier_spoils_its_own_block_only():
    table = dynamic_table(True)
    values = torch.rand(512, generator=torch.Generator().manual_seed(0)) + 0.1
    values[3] = 1e6
    back = dequantize_blocks(*quantize_blocks(values, table, 256), table, 256)
    wrong = (back - values).abs() / values
    assert wrong[256:].max() < 0.1
    assert wrong[4:256].mean() > 0.2
    whole = dequantize_blocks(*quantize_blocks(values, table, 512), table, 512)
    assert ((whole - values).abs() / values)[256:].mean() > 0.2


def test_the_scale_is_the_largest_absolute_value():
    values = torch.tensor([-4.0, 1.0, 2.0, -0.5, -3.0, -1.0])
    table = dynamic_table(True)
    codes, scales = quantize_blocks(values, table, 3)
    assert scales.tolist() == [4.0, 3.0]
    back = dequantize_blocks(codes, scales, table, 3)
    torch.testing.assert_close(back, values, rtol=0.05, atol=0)


def test_zeros_and_a_last_block_that_is_short():
    table = dynamic_table(True)
    values = torch.tensor([0.0, 0.0, 0.0, 5.0, -5.0])
    codes, scales = quantize_blocks(values.view(5, 1), table, 3)
    assert scales.tolist() == [0.0, 5.0]
    back = dequantize_blocks(codes, scales, table, 3)
    torch.testing.assert_close(back, values, rtol=0.01, atol=0)
    with pytest.raises(ValueError, match="block_size=0"):
        quantize_blocks(values, table, 0)


def test_small_tensors_are_those_of_adamw():
    ours, theirs = gpt(), gpt()
    for model, kind in ((ours, AdamW8bit), (theirs, AdamW)):
        options = {"min_8bit_size": 10**9} if kind is AdamW8bit else {}
        trainer = Trainer(model, TrainConfig(steps=5, max_lr=1e-2), TEXT)
        trainer.optimizer = kind(parameter_groups(model, 0.1), betas=(0.9, 0.95), **options)
        trainer.fit()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def run(kind, steps=60, **options):
    model = gpt()
    trainer = Trainer(model, TrainConfig(steps=steps, max_lr=1e-2, warmup_steps=1), TEXT)
    trainer.optimizer = kind(parameter_groups(model, 0.1), betas=(0.9, 0.95), **options)
    return trainer, trainer.fit().column("loss")


def test_it_learns_like_adamw():
    _, exact = run(AdamW)
    trainer, rounded = run(AdamW8bit, min_8bit_size=0)
    assert exact[-1] < 0.5 * exact[0]
    assert rounded[0] == exact[0]
    assert rounded[1] == pytest.approx(exact[1], rel=1e-3)
    assert rounded[-1] < exact[-1] + 0.15
    assert rounded != exact
    states = trainer.optimizer.state.values()
    assert all(s["exp_avg"].dtype == s["exp_avg_sq"].dtype == torch.uint8 for s in states)


def test_the_state_takes_a_quarter():
    def bytes_of(kind, **options):
        trainer, _ = run(kind, steps=1, **options)
        states = trainer.optimizer.state.values()
        return sum(t.nbytes for state in states for t in state.values())

    assert bytes_of(AdamW8bit, min_8bit_size=0) < 0.27 * bytes_of(AdamW)


def test_a_saved_state_goes_on_the_same(tmp_path):
    trainer, _ = run(AdamW8bit, steps=4, min_8bit_size=1000)
    saved = copy.deepcopy(trainer.optimizer.state_dict())
    weights = [nn.Parameter(w.detach().clone()) for w in trainer.model.parameters()]
    groups = [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": 0.1},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    other = AdamW8bit(groups, betas=(0.9, 0.95), min_8bit_size=1000)
    other.load_state_dict(saved)
    kinds = {str(t.dtype) for state in other.state.values() for t in state.values()}
    assert kinds == {"torch.uint8", "torch.float32"}
    for ours, theirs in zip(trainer.model.parameters(), weights, strict=True):
        ours.grad = torch.ones_like(ours)
        theirs.grad = torch.ones_like(theirs)
    trainer.optimizer.step()
    other.step()
    for ours, theirs in zip(trainer.model.parameters(), weights, strict=True):
        assert torch.equal(ours, theirs)


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    def fresh():
        model = gpt()
        trainer = Trainer(model, TrainConfig(steps=8, max_lr=1e-2), TEXT)
        trainer.optimizer = AdamW8bit(parameter_groups(model, 0.1), min_8bit_size=1000)
        return trainer

    through = fresh().fit().column("loss")
    first = fresh()
    first.fit(until=4)
    first.save(tmp_path)
    again = fresh().resume(tmp_path).fit().column("loss")
    assert again == through


@pytest.mark.parametrize("options", [{"block_size": 0}, {"min_8bit_size": -1}])
def test_sizes_outside_their_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        AdamW8bit([nn.Parameter(torch.ones(2))], **options)

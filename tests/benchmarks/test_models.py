"""The benchmark compares like with like, counts right, and its stored result keeps the promise."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import models, timing
from llmlib.models import GPT, GPTConfig, Llama, LlamaConfig
from llmlib.nn import plain_attention

SMALL = {"vocab_size": 64, "context_length": 8, "dim": 16, "num_layers": 2, "num_heads": 2}


@pytest.mark.parametrize(
    "model",
    [
        GPT(GPTConfig(**SMALL)),
        Llama(LlamaConfig(**SMALL, num_kv_heads=1, hidden_dim=24)),
    ],
    ids=["gpt", "llama"],
)
def test_operations_are_those_that_pytorch_counts(model):
    for block in model.blocks:
        block.attention.attend = plain_attention  # products that the counter sees
    ids = torch.randint(0, 64, (3, 8))
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
    assert models.operations(model, 3, 8) == counter.get_total_flops()


def test_every_step_computes_the_same_loss(monkeypatch):
    losses = {}

    def record(model, loss):
        losses[len(losses)] = loss().item()
        return lambda: None

    monkeypatch.setattr(models, "training_step", record)

    def make():
        torch.manual_seed(0)
        return GPT(GPTConfig(**SMALL))

    ids = torch.randint(0, 64, (3, 9), generator=torch.Generator().manual_seed(1))
    compared = models.steps(make, ids)
    theirs, *ours = losses.values()
    assert len(ours) == len(compared) - 1
    assert max(ours) - min(ours) < 1e-5
    assert abs(theirs - ours[0]) < 0.1  # one target less, the same model


def test_turns_are_taken_in_order_and_the_first_round_is_forgotten():
    order = []
    seconds = timing.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3
    assert set(seconds) == {"a", "b"}


def test_the_stored_result_keeps_the_promise():
    stored = json.loads(models.RESULTS.read_text(encoding="utf-8"))
    assert set(stored["models"]) == set(models.TARGETS)
    for name, target in models.TARGETS.items():
        model = stored["models"][name]
        assert model["target"] == target
        assert model["ratio"] >= target
        ratio = model["seconds"]["transformers"] / model["seconds"]["llmlib"]
        assert abs(ratio - model["ratio"]) < 0.01
        assert all(0 < share < 1 for share in model["share_of_peak"].values())
    assert "llmlib" in models.show(stored)

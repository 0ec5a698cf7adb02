"""The formulas of cost against what is really there."""

import torch

from llmlib.models import Llama, LlamaConfig
from llmlib.post_training import (
    DoRALinear,
    LoRALinear,
    apply_lora,
    dora_size,
    lora_layers,
    lora_parameters,
    lora_size,
    trainable_share,
    training_bytes,
)
from llmlib.training import AdamW

SIZES = {"vocab_size": 40, "context_length": 16, "dim": 16, "num_layers": 3, "num_heads": 4}


def adapted(layer, rank):
    torch.manual_seed(0)
    model = Llama(LlamaConfig(**SIZES, hidden_dim=28, num_kv_heads=2))
    return apply_lora(model, rank, 8, ["q_proj", "k_proj", "down_proj"], layer=layer)


def count(parameters):
    return sum(p.numel() for p in parameters)


def test_numbers_trained():
    for layer, size in ((LoRALinear, lora_size), (DoRALinear, dora_size)):
        for rank in (1, 3, 8):
            model = adapted(layer, rank)
            shapes = [tuple(module.base.weight.shape) for _, module in lora_layers(model)]
            assert {(16, 16), (8, 16), (16, 28)} == set(shapes)
            assert size(shapes, rank) == count(lora_parameters(model))
            whole = count(model.parameters())
            assert trainable_share(model) == count(lora_parameters(model)) / whole


def test_bytes_held_by_a_training():
    model = adapted(LoRALinear, 3)
    optimizer = AdamW(lora_parameters(model))
    ids = torch.arange(16)[None]
    model.loss(ids, ids).backward()
    optimizer.step()
    weights = list(model.parameters())
    gradients = [p.grad for p in weights if p.grad is not None]
    means = [t for state in optimizer.state.values() for t in state.values() if t.dim()]
    held = sum(t.numel() * t.element_size() for t in [*weights, *gradients, *means])
    assert held == training_bytes(count(weights), count(lora_parameters(model)))


def test_bytes_by_hand():
    # 100 weights of 2 bytes; 10 trained, each with a gradient of 4 and two means of 1.
    assert training_bytes(100, 10, weight=2, mean=1) == 200 + 10 * (4 + 2)

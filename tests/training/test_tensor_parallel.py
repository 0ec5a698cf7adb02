"""Heads and features on two ranks: the outputs and gradients of one."""

import sys

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh

from llmlib.models import GPT, ExpertsConfig, GPTConfig, Llama, LlamaConfig
from llmlib.training import run_ranks, split_layers, split_plan

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")

SIZES = {"vocab_size": 12, "context_length": 8, "dim": 32, "num_layers": 2, "num_heads": 4}
LLAMA = {"num_kv_heads": 2, "hidden_dim": 48, "attention_bias": "all", "window": 5}
MODELS = {
    "gpt": lambda: GPT(GPTConfig(**SIZES)),
    "llama": lambda: Llama(LlamaConfig(**SIZES, **LLAMA)),
    # Products large enough for the other kernel of llmlib.nn.Linear.
    "wide": lambda: Llama(LlamaConfig(**(SIZES | {"dim": 128}), hidden_dim=1024)),
}


def run(model, ids, targets):
    """Logits, losses and gradients of two steps."""
    optimizer, found = torch.optim.SGD(model.parameters(), lr=0.5), []
    for _ in range(2):
        optimizer.zero_grad()
        loss = model.loss(ids, targets)
        loss.backward()
        whole = {
            name: p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad.clone()
            for name, p in model.named_parameters()
        }
        found.append((model(ids).detach(), loss.detach(), whole))
        optimizer.step()
    return found


def of_rank(rank, world_size, make, ids, targets):
    torch.manual_seed(0)
    model = split_layers(make(), init_device_mesh("cpu", (world_size,)))
    block = model.blocks[0]
    held = [
        tuple(block.attention.q_proj.weight.to_local().shape),
        tuple(block.attention.out_proj.weight.to_local().shape),
        tuple(block.feedforward.up_proj.weight.to_local().shape),
    ]
    return held, run(model, ids, targets)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_are_those_of_the_whole_model(name):
    torch.manual_seed(0)
    model = MODELS[name]()
    ids = torch.randint(0, 12, (8, 8))
    targets = ids.roll(-1, 1)
    expected = run(model, ids, targets)
    dim, heads = model.config.dim, model.blocks[0].attention.q_proj.out_features
    for held, found in run_ranks(of_rank, 2, MODELS[name], ids, targets):
        features = model.blocks[0].feedforward.up_proj.out_features
        assert held == [(heads // 2, dim), (dim, heads // 2), (features // 2, dim)]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "world_size", "named"),
    [
        ({"num_kv_heads": 2}, 4, "num_kv_heads=2 .* 4 ranks"),
        ({"hidden_dim": 49}, 2, "hidden_dim=49"),
        ({"qk_norm": True}, 2, "norms of queries"),
        ({"experts": ExpertsConfig(count=2)}, 2, "MixtureOfExperts"),
    ],
)
def test_what_cannot_be_cut_is_refused(options, world_size, named):
    block = Llama(LlamaConfig(**SIZES, **options)).blocks[0]
    with pytest.raises(ValueError, match=named):
        split_plan(block, world_size)
    block.attention = torch.nn.Identity()
    with pytest.raises(ValueError, match="Identity"):
        split_plan(block, world_size)

"""AdamW beside that of PyTorch, and which weights decay."""

import pytest
import torch
from torch import nn

from llmlib.models import Llama, LlamaConfig
from llmlib.training import AdamW, parameter_groups


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)])
def test_equal_to_torch(weight_decay, betas):
    ours, theirs = small_net(), small_net()
    options = {"lr": 3e-2, "betas": betas, "eps": 1e-6}
    one = AdamW(parameter_groups(ours, weight_decay), **options)
    two = torch.optim.AdamW(parameter_groups(theirs, weight_decay), **options)
    for step in range(12):
        x = torch.randn(4, 5)
        for group in (*one.param_groups, *two.param_groups):
            group["lr"] = 3e-2 / (1 + step)
        for net, optimizer in ((ours, one), (theirs, two)):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()))


def test_decay_does_not_pass_through_the_running_means():
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = AdamW([weight], lr=0.1, weight_decay=0.5)
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5))
    assert optimizer.state[weight]["exp_avg"].item() == 0


def test_closure_and_parameters_without_gradient():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = AdamW([used, unused])

    def closure():
        optimizer.zero_grad()
        loss = used.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 2
    assert (unused == 1).all()
    assert not optimizer.state[unused]


@pytest.mark.parametrize(
    ("options", "named"),
    [({"lr": -1.0}, "lr=-1.0"), ({"betas": (0.9, 1.0)}, "betas"), ({"eps": -1e-8}, "eps")],
)
def test_numbers_outside_their_range(options, named):
    with pytest.raises(ValueError, match=named):
        AdamW([nn.Parameter(torch.ones(1))], **options)


def test_groups_hold_each_trainable_parameter_once():
    model = Llama(LlamaConfig(vocab_size=10, dim=8, num_layers=2, num_heads=2, tie_embeddings=True))
    model.blocks[0].requires_grad_(False)
    decayed, kept = parameter_groups(model, 0.1)
    grouped = [id(p) for group in (decayed, kept) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    norms = {id(p) for name, p in model.named_parameters() if "norm" in name and p.requires_grad}
    assert {id(p) for p in kept["params"]} == norms
    assert kept["weight_decay"] == 0

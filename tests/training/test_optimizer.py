"""AdamW beside that of PyTorch, and which weights decay."""

import pytest
import torch
from torch import nn

from llmlib.models import Llama, LlamaConfig
from llmlib.training import AdamW, parameter_groups


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

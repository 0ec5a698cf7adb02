"""What training is made of, against PyTorch."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from llmlib.training import AdamW, clip_grad_norm, cross_entropy, parameter_groups

ADAMW = pytest.mark.parity(
    component="llmlib.training.AdamW",
    peer="torch.optim.AdamW",
    compared="weights after 12 steps, two groups, changing rate",
)
CLIPPING = pytest.mark.parity(
    component="llmlib.training.clip_grad_norm",
    peer="torch.nn.utils.clip_grad_norm_",
    compared="norm and clipped gradients",
)
LOSS = pytest.mark.parity(
    component="llmlib.training.cross_entropy",
    peer="torch.nn.functional.cross_entropy",
    compared="loss and gradient",
)


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))


@ADAMW
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)])
def test_adamw(weight_decay, betas):
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


@CLIPPING
@pytest.mark.parametrize("limit", [0.1, 1e3, float("inf")])
def test_clipping(limit):
    torch.manual_seed(0)
    ours = [
        nn.Parameter(torch.randn(3, 4)),
        nn.Parameter(torch.randn(5)),
        nn.Parameter(torch.ones(2)),
    ]
    for parameter in ours[:2]:
        parameter.grad = torch.randn_like(parameter)
    theirs = copy.deepcopy(ours)
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        other.grad = mine.grad.clone()
    norm = clip_grad_norm(ours, limit)
    torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(theirs, limit))
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def draw(shape, ignored):
    torch.manual_seed(0)
    logits = (5 * torch.randn(*shape, 11)).requires_grad_()
    targets = torch.randint(0, 11, shape)
    targets[torch.rand(shape) < ignored] = -100
    return logits, targets


@LOSS
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("ignored", [0.0, 0.5])
def test_cross_entropy(shape, ignored):
    logits, targets = draw(shape, ignored)
    ours = cross_entropy(logits, targets)
    theirs = F.cross_entropy(logits.flatten(0, -2), targets.flatten())
    torch.testing.assert_close(ours, theirs)
    one, two = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (ours, theirs))
    torch.testing.assert_close(one, two)

"""Sparse experts equal the dense formula; the balance loss measures balance."""

import copy

import pytest
import torch
from torch.testing import assert_close

from llmlib.nn import FeedForward, MixtureOfExperts, SwiGLU, load_balance_loss

D, E = 8, 5


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make(top_k=2, **options):
    return MixtureOfExperts(D, [SwiGLU(D, 16) for _ in range(E)], top_k=top_k, **options)


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("top_k", [1, 2, E])
def test_sparse_equals_dense(top_k, renormalize):
    layer = make(top_k, renormalize=renormalize)
    x = torch.randn(3, 4, D, requires_grad=True)
    leaves = [x, *layer.parameters()]
    results = []
    for forward in (layer.forward, layer.forward_plain):
        output = forward(x)
        grads = torch.autograd.grad(output.square().sum(), leaves, allow_unused=True)
        grads = [
            torch.zeros_like(p) if g is None else g for g, p in zip(grads, leaves, strict=True)
        ]
        results.append((output, *grads))
    assert_close(*results)


def test_one_expert_is_the_expert():
    expert = FeedForward(D, 16)
    x = torch.randn(2, 3, D)
    assert_close(MixtureOfExperts(D, [expert], top_k=1)(x), expert(x))


def test_each_token_is_routed_by_itself():
    layer = make()
    x = torch.randn(1, 6, D)
    order = torch.randperm(6)
    assert_close(layer(x[:, order]), layer(x)[:, order])


def test_an_idle_expert_gets_no_gradient():
    layer = make(top_k=1)
    torch.nn.init.zeros_(layer.router.weight)
    with torch.no_grad():
        layer.router.weight[3] = 1.0
    layer(torch.ones(4, D)).sum().backward()
    busy = [number for number, e in enumerate(layer.experts) if e.up_proj.weight.grad is not None]
    assert busy == [3]


def test_balance_loss_is_lowest_when_experts_are_used_alike():
    even = torch.eye(4).repeat(5, 1) * 20
    skewed = torch.eye(4)[torch.zeros(20, dtype=torch.long)] * 20
    assert_close(load_balance_loss(even, 1), torch.tensor(1.0))
    assert_close(load_balance_loss(skewed, 1), torch.tensor(4.0))


def test_padding_does_not_count_for_the_balance():
    real = torch.randn(6, E)
    padded = torch.cat((real, torch.randn(3, E)))
    mask = torch.arange(9) < 6
    assert_close(load_balance_loss(padded, 2, mask), load_balance_loss(real, 2))


def test_the_balance_loss_spreads_tokens():
    layer = make(top_k=1)
    with torch.no_grad():
        layer.router.weight[0] += 1.0  # tokens around +1 all go to expert 0
    x = torch.randn(64, D) + 1
    optimizer = torch.optim.Adam(layer.router.parameters(), lr=0.02)

    def busiest():
        return layer.route(x)[1].flatten().bincount(minlength=E).max().item()

    before = busiest()
    for _ in range(100):
        layer(x)
        optimizer.zero_grad()
        load_balance_loss(layer.router_logits, 1).backward()
        optimizer.step()
    assert before > 40
    assert busiest() < 30


def test_a_used_layer_can_be_copied():
    layer = make()
    layer(torch.randn(4, D))
    assert copy.deepcopy(layer).router_logits is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(top_k=0), "top_k=0, but there are 5 experts"),
        (lambda: make(top_k=6), "top_k=6"),
        (lambda: load_balance_loss(torch.randn(3, E), 6), "top_k=6"),
        (lambda: load_balance_loss(torch.randn(3, E), 1, torch.ones(3)), "torch.float32"),
        (lambda: load_balance_loss(torch.randn(3, E), 1, torch.ones(2).bool()), "2 entries"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Clipping beside that of PyTorch, and activations computed again."""

import copy

import pytest
import torch
from torch import nn

from llmlib.models import GPT, GPTConfig
from llmlib.training import checkpoint_activations, clip_grad_norm

SIZES = {"vocab_size": 20, "context_length": 8, "dim": 16, "num_layers": 3, "num_heads": 2}


def test_nothing_to_clip():
    assert clip_grad_norm([nn.Parameter(torch.ones(2))], 1.0) == 0


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_that_is_none(limit):
    with pytest.raises(ValueError, match="max_norm"):
        clip_grad_norm([], limit)


def _kept_for_backward(model, ids):
    """Numbers that the forward pass leaves in memory for the backward pass."""
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: sizes.append(t.numel()) or t, lambda t: t
    ):
        model.loss(ids, ids)
    return sum(sizes)


def test_recomputing_changes_no_gradient_and_keeps_less():
    torch.manual_seed(0)
    plain = GPT(GPTConfig(**SIZES, dropout=0.3))
    again = copy.deepcopy(plain)
    checkpoint_activations(again.blocks)
    ids = torch.randint(0, 20, (2, 8))
    for model in (plain, again):
        torch.manual_seed(1)  # the same dropout
        model.loss(ids, ids).backward()
    for one, two in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)
    assert _kept_for_backward(again, ids) < 0.5 * _kept_for_backward(plain, ids)
    assert list(again.state_dict()) == list(plain.state_dict())


def test_nothing_is_recomputed_in_evaluation():
    model = GPT(GPTConfig(**SIZES)).eval()
    ids = torch.randint(0, 20, (2, 8))
    before = model(ids)
    checkpoint_activations(model.blocks)
    assert torch.equal(model(ids), before)

"""Properties of norms and feed-forward layers, and their errors."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from llmlib.nn import (
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    RMSNorm,
    SwiGLU,
    layer_norm,
    make_activation,
    rms_norm,
    swiglu_width,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("bias", [True, False])
def test_fused_layer_norm_equals_the_formula(bias):
    norm = LayerNorm(16, eps=1e-3, bias=bias)
    nn.init.normal_(norm.weight)
    x = torch.randn(4, 16) * 5 + 2
    assert_close(norm(x), layer_norm(x, norm.weight, norm.bias, norm.eps))


def test_layer_norm_forgets_shift_and_scale_and_rms_norm_only_scale():
    x = torch.randn(4, 16)
    weight = torch.ones(16)
    assert_close(layer_norm(3 * x + 7, weight, eps=0.0), layer_norm(x, weight, eps=0.0))
    assert_close(rms_norm(3 * x, weight, eps=0.0), rms_norm(x, weight, eps=0.0))
    assert not torch.allclose(rms_norm(x + 7, weight), rms_norm(x, weight), atol=0.1)


def test_a_constant_vector_stays_finite():
    for norm in (LayerNorm(8), RMSNorm(8)):
        x = torch.zeros(2, 8, requires_grad=True)
        norm(x).sum().backward()
        assert x.grad.isfinite().all()


def test_rms_norm_of_large_half_precision_numbers_does_not_overflow():
    x = torch.full((8,), 300.0, dtype=torch.float16)  # 300 squared is beyond float16
    assert_close(RMSNorm(8).half()(x), torch.ones(8, dtype=torch.float16))


def test_a_closed_gate_lets_nothing_through():
    layer = SwiGLU(8, 16)
    nn.init.zeros_(layer.gate_proj.weight)  # SiLU(0) = 0
    assert_close(layer(torch.randn(3, 8)), torch.zeros(3, 8))


def test_gated_layer_has_the_parameters_of_a_plain_one():
    plain = sum(p.numel() for p in FeedForward(768, bias=False).parameters())
    gated = sum(p.numel() for p in SwiGLU(768, swiglu_width(768, multiple_of=1)).parameters())
    assert gated == plain


def test_dropout_acts_in_training_only():
    layer = FeedForward(8, 512, dropout=0.5)
    x = torch.randn(1, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerNorm(0), "dim=0"),
        (lambda: RMSNorm(-1), "dim=-1"),
        (lambda: FeedForward(8, 0), "hidden_dim=0"),
        (lambda: SwiGLU(0, 8), "dim=0"),
        (lambda: FeedForward(8, 16, dropout=1.0), "dropout=1.0"),
        (lambda: GatedFeedForward(8, 8, activation=nn.SiLU(), dropout=-0.1), "dropout=-0.1"),
        (lambda: make_activation("swish2"), "'swish2' is not known: choose one of .*'gelu_tanh'"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()

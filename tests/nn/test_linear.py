"""Both kernels of the linear layer give one answer, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from llmlib.nn import Linear, TokenEmbedding, linear, read_by_columns
from llmlib.nn.linear_layer import _onednn_built

onednn = pytest.mark.skipif(not _onednn_built(), reason="PyTorch is built without oneDNN")
ROWS, IN, OUT = 64, 256, 256  # large enough for the second kernel


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def nodes(output):
    """Names of the autograd nodes behind an output."""
    return {type(output.grad_fn).__name__} | {
        type(node).__name__ for node, _ in output.grad_fn.next_functions if node
    }


@onednn
def test_large_products_go_through_onednn_and_small_ones_do_not():
    weight = torch.randn(OUT, IN, requires_grad=True)
    assert "_OneDNNLinearBackward" in nodes(linear(torch.randn(ROWS, IN), weight))
    assert "_OneDNNLinearBackward" not in nodes(linear(torch.randn(1, IN), weight))
    half = linear(torch.randn(ROWS, IN).bfloat16(), weight.bfloat16())
    assert "_OneDNNLinearBackward" not in nodes(half)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(torch.randn(ROWS, IN), weight).dtype == torch.bfloat16


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(ROWS,), (4, 16), (2, 4, 8)], ids=str)
def test_equals_the_formula(shape, bias):
    x = torch.randn(*shape, IN, requires_grad=True)
    weight = torch.randn(OUT, IN, requires_grad=True)
    b = torch.randn(OUT, requires_grad=True) if bias else None
    inputs = [x, weight] + ([b] if bias else [])
    ours, plain = linear(x, weight, b), x @ weight.T + (b if bias else 0)
    direction = torch.randn_like(plain)
    assert_close(ours, plain, atol=1e-4, rtol=1e-4)
    assert_close(
        torch.autograd.grad((ours * direction).sum(), inputs),
        torch.autograd.grad((plain * direction).sum(), inputs),
        atol=1e-4,
        rtol=1e-4,
    )


def test_strided_inputs():
    x = torch.randn(IN, ROWS).t()
    weight = torch.randn(IN, OUT).t()
    assert_close(
        linear(x, weight), F.linear(x.contiguous(), weight.contiguous()), atol=1e-4, rtol=0
    )


def test_second_derivative():
    x = torch.randn(ROWS, IN, requires_grad=True)
    weight = torch.randn(OUT, IN, requires_grad=True)

    def penalty(product):
        (grad,) = torch.autograd.grad(product(x, weight).square().sum(), x, create_graph=True)
        return torch.autograd.grad(grad.square().mean(), weight)[0]

    ours, theirs = penalty(linear), penalty(F.linear)
    assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())


def test_gradient_only_where_it_is_needed():
    x = torch.randn(ROWS, IN)
    layer = Linear(IN, OUT)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert_close(layer.bias.grad, torch.full((OUT,), float(ROWS)))


def test_a_wrong_width_is_refused():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Linear(IN, OUT)(torch.randn(ROWS, IN + 1))


@pytest.mark.parametrize("bias", [True, False])
def test_reading_by_columns_changes_nothing_but_the_speed(bias):
    layer, embedding = Linear(64, 96, bias=bias), TokenEmbedding(96, 64)
    x = torch.randn(1, 1, 64)
    with torch.no_grad():
        before, scores = layer(x), embedding.logits(x)
        with read_by_columns([layer, embedding]):
            assert_close(layer(x), before)
            assert_close(embedding.logits(x), scores)
            assert_close(layer(x.expand(2, 3, 64)), before.expand(2, 3, 96))  # more rows: as ever
            layer.columns.zero_()  # it is the copy that is read
            assert not torch.allclose(layer(x), before)
        assert layer.columns is embedding.columns is None
        assert_close(layer(x), before)


def test_long_rows_and_half_precision_are_not_copied():
    long, half = Linear(1024, 8), Linear(64, 8).bfloat16()
    with read_by_columns([long, half]):
        assert long.columns is half.columns is None


def test_copies_are_dropped_when_something_goes_wrong():
    layer = Linear(64, 96)
    with pytest.raises(RuntimeError, match="stop"), read_by_columns([layer]):
        raise RuntimeError("stop")
    assert layer.columns is None
    assert "columns" not in str(list(layer.state_dict()))

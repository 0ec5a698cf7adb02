"""Attention against PyTorch: outputs and gradients, at the default tolerances."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from llmlib.nn import MultiHeadAttention, padding_mask, scaled_dot_product_attention

FUNCTION = pytest.mark.parity(
    component="llmlib.nn.scaled_dot_product_attention",
    peer="torch.nn.functional.scaled_dot_product_attention",
    compared="output and gradients",
)
MODULE = pytest.mark.parity(
    component="llmlib.nn.MultiHeadAttention",
    peer="torch.nn.MultiheadAttention",
    compared="output, weights, gradients of inputs and parameters",
)

# Leading axes, T, S, K, V: one of each size, unequal lengths, values wider than keys.
SIZES = [
    ((), 1, 1, 1, 1),
    ((3,), 4, 4, 8, 8),
    ((2, 3), 5, 5, 16, 16),
    ((2, 3), 4, 7, 8, 12),
    ((2, 1), 7, 3, 5, 2),
    ((2, 2, 2), 3, 6, 4, 4),
]


def later_keys(T, S):
    """True where a key comes after the query, the last of both aligned."""
    return torch.arange(S)[None, :] > torch.arange(T)[:, None] + (S - T)


def draw_mask(kind, leading, T, S):
    generator = torch.Generator().manual_seed(1)
    if kind == "none":
        return None
    if kind == "shared":
        return (torch.rand(T, S, generator=generator) < 0.5) | torch.eye(T, S).bool()
    mask = torch.rand(*leading, T, S, generator=generator) < 0.6
    if kind == "one row empty":
        mask[..., 0, :] = False
    return mask


@FUNCTION
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["none", "causal", "shared", "per head", "one row empty"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_function(sizes, kind, dtype):
    leading, T, S, K, V = sizes
    torch.manual_seed(0)
    query = torch.randn(*leading, T, K, dtype=dtype, requires_grad=True)
    key = torch.randn(*leading, S, K, dtype=dtype, requires_grad=True)
    value = torch.randn(*leading, S, V, dtype=dtype, requires_grad=True)
    causal = kind == "causal"
    if causal:  # PyTorch's own alignment differs when T and S do: hand it ours as a mask
        theirs = {"is_causal": True} if T == S else {"attn_mask": ~later_keys(T, S)}
        mask = None
    else:
        mask = draw_mask(kind, leading, T, S)
        theirs = {"attn_mask": mask}
    ours = scaled_dot_product_attention(query, key, value, mask, causal=causal)
    peer = F.scaled_dot_product_attention(query, key, value, **theirs)
    assert_close(ours, peer)

    direction = torch.randn_like(peer)
    inputs = (query, key, value)
    ours_grad = torch.autograd.grad((ours * direction).sum(), inputs)
    peer_grad = torch.autograd.grad((peer * direction).sum(), inputs)
    assert_close(ours_grad, peer_grad)


def with_weights_of(peer, dim, num_heads, bias):
    """Our module with the weights of a ``torch.nn.MultiheadAttention``."""
    ours = MultiHeadAttention(dim, num_heads, bias=bias).to(peer.out_proj.weight.dtype)
    rows = zip((ours.q_proj, ours.k_proj, ours.v_proj), peer.in_proj_weight.split(dim), strict=True)
    with torch.no_grad():
        for projection, weight in rows:
            projection.weight.copy_(weight)
        ours.out_proj.weight.copy_(peer.out_proj.weight)
        if bias:
            for parameter in (peer.in_proj_bias, peer.out_proj.bias):
                parameter.copy_(torch.randn_like(parameter))  # PyTorch starts them at zero
            parts = peer.in_proj_bias.split(dim)
            for projection, part in zip(
                (ours.q_proj, ours.k_proj, ours.v_proj), parts, strict=True
            ):
                projection.bias.copy_(part)
            ours.out_proj.bias.copy_(peer.out_proj.bias)
    return ours


@MODULE
@pytest.mark.parametrize("with_weights", [True, False])  # written out, and fused
@pytest.mark.parametrize("hidden", ["nothing", "padding", "future", "future and padding"])
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_module(heads, bias, cross, hidden, with_weights):
    torch.manual_seed(0)
    B, T, D = 3, 5, 8
    S = 7 if cross else T
    peer = torch.nn.MultiheadAttention(D, heads, bias=bias, batch_first=True)
    ours = with_weights_of(peer, D, heads, bias)
    x = torch.randn(B, T, D, requires_grad=True)
    context = torch.randn(B, S, D, requires_grad=True) if cross else x
    mask = torch.ones(B, 1, 1, S, dtype=torch.bool)
    if "padding" in hidden:
        mask = padding_mask([S, 2, 4], max_len=S)
    future = "future" in hidden
    our_output = ours(
        x, context if cross else None, mask, causal=future, return_weights=with_weights
    )
    if with_weights:
        our_output, our_weights = our_output
    # PyTorch's masks are the other way round: True hides.
    peer_output, peer_weights = peer(
        x,
        context,
        context,
        key_padding_mask=~mask[:, 0, 0],
        attn_mask=later_keys(T, S) if future else None,
        average_attn_weights=False,
    )
    assert_close(our_output, peer_output)
    if with_weights:
        assert_close(our_weights, peer_weights)

    direction = torch.randn_like(peer_output)
    inputs = (x, context) if cross else (x,)
    our_parameters, peer_parameters = list(ours.parameters()), list(peer.parameters())
    our_grads = torch.autograd.grad((our_output * direction).sum(), (*inputs, *our_parameters))
    peer_grads = torch.autograd.grad((peer_output * direction).sum(), (*inputs, *peer_parameters))
    assert_close(our_grads[: len(inputs)], peer_grads[: len(inputs)])
    names = [name for name, _ in ours.named_parameters()]
    by_name = dict(zip(names, our_grads[len(inputs) :], strict=True))
    peer_names = [name for name, _ in peer.named_parameters()]
    peer_by_name = dict(zip(peer_names, peer_grads[len(inputs) :], strict=True))
    for kind in ("weight", "bias") if bias else ("weight",):
        fused = torch.cat([by_name[f"{part}_proj.{kind}"] for part in "qkv"])
        assert_close(fused, peer_by_name[f"in_proj_{kind}"])
        assert_close(by_name[f"out_proj.{kind}"], peer_by_name[f"out_proj.{kind}"])


@pytest.mark.parity(
    component="llmlib.nn.MultiHeadAttention, grouped queries",
    peer="torch.nn.functional.scaled_dot_product_attention(enable_gqa=True)",
    compared="output and gradients of the input",
)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("causal", [False, True])
def test_grouped_queries(kv_heads, causal):
    torch.manual_seed(0)
    ours = MultiHeadAttention(16, 4, num_kv_heads=kv_heads, bias=False)
    x = torch.randn(2, 5, 16, requires_grad=True)

    def heads(projection, count):
        return projection(x).view(2, 5, count, 4).transpose(1, 2)

    attended = F.scaled_dot_product_attention(
        heads(ours.q_proj, 4),
        heads(ours.k_proj, kv_heads),
        heads(ours.v_proj, kv_heads),
        is_causal=causal,
        enable_gqa=True,
    )
    peer = ours.out_proj(attended.transpose(1, 2).reshape(2, 5, 16))
    output = ours(x, causal=causal)
    assert_close(output, peer)
    (our_grad,) = torch.autograd.grad(output.square().sum(), x)
    (peer_grad,) = torch.autograd.grad(peer.square().sum(), x)
    assert_close(our_grad, peer_grad)

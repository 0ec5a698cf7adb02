"""The fused attention equals the written-out one, whatever is asked of it."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from llmlib.nn import MultiHeadAttention, fused_attention, plain_attention, window_mask

CASES = list(product([(5, 5), (3, 7), (1, 7), (6, 4)], [4, 2, 1], [False, True]))
MASKS = ["none", "shared", "per head", "rows empty"]


def draw_mask(kind, T, S):
    if kind == "none":
        return None
    mask = torch.rand((T, S) if kind == "shared" else (2, 4, T, S)) < 0.6
    if kind == "rows empty":
        mask[0, :, 0] = False
        mask[1] = False
    return mask


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize(("lengths", "kv_heads", "causal"), CASES, ids=str)
def test_fused_equals_plain(lengths, kv_heads, causal, kind, biased, scale):
    torch.manual_seed(0)
    T, S = lengths
    shapes = ((2, 4, T, 8), (2, kv_heads, S, 8), (2, kv_heads, S, 8))
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    bias = torch.randn(4, T, S, dtype=torch.float64, requires_grad=True) if biased else None
    mask = draw_mask(kind, T, S)
    results = []
    for attend in (plain_attention, fused_attention):
        output = attend(*inputs, mask, causal=causal, bias=bias, scale=scale)
        moving = [*inputs, bias] if biased else inputs
        grads = torch.autograd.grad(output.square().sum(), moving)
        results.append((output, *grads))
    assert all(tensor.isfinite().all() for tensor in results[1])
    assert_close(*results)


def test_module_gives_the_same_with_either():
    torch.manual_seed(0)
    fused = MultiHeadAttention(32, 4, num_kv_heads=2)
    plain = MultiHeadAttention(32, 4, num_kv_heads=2, attend=plain_attention)
    plain.load_state_dict(fused.state_dict())
    x = torch.randn(2, 6, 32)
    assert_close(fused(x, causal=True), plain(x, causal=True))
    output, weights = fused(x, causal=True, return_weights=True)
    assert_close(output, fused(x, causal=True))
    assert weights.shape == (2, 4, 6, 6)


def test_a_wrong_mask_is_refused():
    module = MultiHeadAttention(8, 2)
    x = torch.randn(2, 5, 8)
    with pytest.raises(ValueError, match=r"torch\.float32, but torch\.bool is needed"):
        module(x, mask=torch.ones(5, 5))
    with pytest.raises(ValueError, match=r"\(5, 4\), but must broadcast"):
        module(x, mask=torch.ones(5, 4, dtype=torch.bool))


def test_a_window_hides_what_is_far_back():
    torch.manual_seed(0)
    x = torch.randn(1, 8, 32)
    narrow = MultiHeadAttention(32, 4, window=3)
    wide = MultiHeadAttention(32, 4)
    wide.load_state_dict(narrow.state_dict())
    assert_close(narrow(x, causal=True), wide(x, mask=window_mask(8, window=3)))
    assert_close(narrow(x[:, :3], causal=True), wide(x[:, :3], causal=True))
    changed = x.clone()
    changed[:, 2] += 1
    same = narrow(x, causal=True)[:, 5:] == narrow(changed, causal=True)[:, 5:]
    assert same.all()  # position 5 sees 3, 4 and 5
    with pytest.raises(ValueError, match="window=0"):
        window_mask(4, window=0)


def test_rotary_attention_is_for_one_sequence():
    from llmlib.nn import RotaryEmbedding

    module = MultiHeadAttention(8, 2, rotary=RotaryEmbedding(4))
    with pytest.raises(ValueError, match="context is given"):
        module(torch.randn(1, 2, 8), torch.randn(1, 3, 8))

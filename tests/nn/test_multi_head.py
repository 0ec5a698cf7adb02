"""Properties of multi-head attention with any number of key and value heads."""

import pytest
import torch
from torch.testing import assert_close

from llmlib.nn import MultiHeadAttention, padding_mask, scaled_dot_product_attention

B, T, S, D, H = 2, 5, 7, 24, 4


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def repeat_heads(projection, kv_heads, groups):
    """Weights of a projection in which every head is written ``groups`` times."""
    for name, parameter in projection.named_parameters():
        heads = parameter.detach().unflatten(0, (kv_heads, -1))
        yield name, heads.repeat_interleave(groups, dim=0).flatten(0, 1)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_grouped_equals_full_heads_that_are_repeated(kv_heads):
    grouped = MultiHeadAttention(D, H, num_kv_heads=kv_heads)
    full = MultiHeadAttention(D, H)
    state = grouped.state_dict()
    for part in ("k_proj", "v_proj"):
        for name, repeated in repeat_heads(getattr(grouped, part), kv_heads, H // kv_heads):
            state[f"{part}.{name}"] = repeated
    full.load_state_dict(state)
    x = torch.randn(B, T, D)
    assert_close(grouped(x, causal=True), full(x, causal=True))
    assert grouped.k_proj.weight.shape == (kv_heads * D // H, D)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_equals_one_head_after_another(kv_heads):
    module = MultiHeadAttention(D, H, num_kv_heads=kv_heads)
    x, context = torch.randn(B, T, D), torch.randn(B, S, D)
    mask = padding_mask([7, 3], max_len=S)
    output, weights = module(x, context, mask, return_weights=True)
    K = D // H
    total = module.out_proj.bias.expand(B, T, D)
    for head in range(H):
        own = slice(head * K, (head + 1) * K)
        shared = head * kv_heads // H
        theirs = slice(shared * K, (shared + 1) * K)
        heads, seen = scaled_dot_product_attention(
            module.q_proj(x)[..., own],
            module.k_proj(context)[..., theirs],
            module.v_proj(context)[..., theirs],
            mask[:, 0],
            return_weights=True,
        )
        total = total + heads @ module.out_proj.weight[:, own].T
        assert_close(weights[:, head], seen)
    assert_close(output, total)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, T - 2, T, T + 2])
def test_without_weights_the_output_is_the_same(length, causal, masked):
    """Weights are asked for from the plain attention; the output alone comes from the fused."""
    module = MultiHeadAttention(D, H, num_kv_heads=2)
    x, context = torch.randn(B, T, D), torch.randn(B, length, D)
    mask = padding_mask([length, 1], max_len=length) if masked else None
    plain, _ = module(x, context, mask, causal=causal, return_weights=True)
    assert_close(module(x, context, mask, causal=causal), plain)


@pytest.mark.parametrize("kv_heads", [1, 4])
def test_a_later_token_changes_nothing_before_it(kv_heads):
    module = MultiHeadAttention(D, H, num_kv_heads=kv_heads)
    x = torch.randn(B, T, D)
    before = module(x, causal=True)
    for changed in range(1, T):
        other = x.clone()
        other[:, changed:] = torch.randn(B, T - changed, D)
        after = module(other, causal=True)
        assert_close(after[:, :changed], before[:, :changed])
        assert not torch.allclose(after[:, changed], before[:, changed])


def test_permuted_tokens_give_permuted_outputs():
    module = MultiHeadAttention(D, H)
    x = torch.randn(B, T, D)
    order = torch.randperm(T)
    assert_close(module(x[:, order]), module(x)[:, order])


def test_padding_gets_no_gradient_and_changes_nothing():
    module = MultiHeadAttention(D, H)
    x = torch.randn(B, T, D, requires_grad=True)
    context = torch.randn(B, S, D, requires_grad=True)
    mask = padding_mask([4, 0], max_len=S)
    output = module(x, context, mask)
    _, grad = torch.autograd.grad(output.square().sum(), (x, context))
    assert grad[0, :4].abs().sum(dim=-1).min() > 0
    assert not grad[0, 4:].any()
    assert not grad[1].any()
    assert_close(output[:1], module(x[:1], context[:1, :4]))
    assert_close(output[1], module.out_proj.bias.expand(T, D))  # nothing to attend to


def test_dropout_acts_in_training_only():
    module = MultiHeadAttention(D, H, dropout=0.5)
    x = torch.randn(B, T, D)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_runs_in_other_precisions(dtype):
    module = MultiHeadAttention(D, H, num_kv_heads=2).to(dtype)
    output = module(torch.randn(B, T, D, dtype=dtype), causal=True)
    assert output.dtype == dtype
    output.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_without_bias_zero_stays_zero():
    module = MultiHeadAttention(D, H, bias=False)
    assert not any(name.endswith("bias") for name, _ in module.named_parameters())
    assert not module(torch.zeros(B, T, D)).any()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"dim": 10, "num_heads": 4}, "num_heads=4 does not divide dim=10"),
        ({"dim": 8, "num_heads": 4, "num_kv_heads": 3}, "num_kv_heads=3 does not divide"),
        ({"dim": 8, "num_heads": 4, "num_kv_heads": 8}, "num_kv_heads=8 does not divide"),
        ({"dim": 8, "num_heads": 0}, "num_heads=0"),
        ({"dim": 8, "num_heads": 4, "num_kv_heads": 0}, "num_kv_heads=0"),
        ({"dim": 8, "num_heads": 4, "dropout": 1.5}, "dropout=1.5"),
    ],
)
def test_refuses_sizes(sizes, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(**sizes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(B, T, D + 1)}, "x has shape"),
        ({"x": torch.zeros(T, D)}, "x has shape"),
        ({"x": torch.zeros(B, T, D), "context": torch.zeros(B, S, 3)}, "context has shape"),
        ({"x": torch.zeros(B, T, D), "mask": torch.ones(B, T, T).bool()}, "mask has shape"),
        ({"x": torch.zeros(B, T, D), "mask": torch.ones(B, T).bool()}, "mask has shape"),
        ({"x": torch.zeros(B, T, D), "mask": torch.ones(T, T)}, "mask has dtype"),
    ],
)
def test_refuses_inputs(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(D, H)(**arguments)

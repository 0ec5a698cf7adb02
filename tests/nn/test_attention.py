"""Properties that an attention must have, whatever its numbers are."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlib.nn import (
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
)

lengths = st.integers(1, 6)


def normal(*shape, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, **options)


def by_loops(query, key, value, mask):
    """The formula for one head, one number at a time: (T, K), (S, K), (S, V) -> (T, V)."""
    output = torch.zeros(len(query), value.shape[1])
    for t in range(len(query)):
        powers = {}
        for s in range(len(key)):
            if mask[t, s]:
                score = sum(float(q * k) for q, k in zip(query[t], key[s], strict=True))
                powers[s] = math.exp(score / math.sqrt(query.shape[1]))
        for s, power in powers.items():
            output[t] += power / sum(powers.values()) * value[s]
    return output


class TestMasks:
    @given(lengths, lengths)
    def test_last_query_sees_every_key(self, T, S):
        mask = causal_mask(T, S)
        assert mask.shape == (T, S)
        assert mask[-1].all()
        for t in range(T):
            for s in range(S):
                assert mask[t, s] == (s <= t + S - T)

    def test_alignment_differs_from_pytorch_where_lengths_differ(self):
        query, key = normal(1, 2, 4), normal(1, 5, 4, seed=1)
        top_left = torch.nn.functional.scaled_dot_product_attention(query, key, key, is_causal=True)
        ours = scaled_dot_product_attention(query, key, key, causal=True)
        assert_close(top_left[:, 0], key[:, 0])  # PyTorch: the first query sees one key
        assert not torch.allclose(ours, top_left)
        first_four = scaled_dot_product_attention(query[:, :1], key[:, :4], key[:, :4])
        assert_close(ours[:, :1], first_four)  # ours: the first query sees all but the last key

    @given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    def test_padding_mask_counts_real_tokens(self, sizes):
        mask = padding_mask(sizes, max_len=5)
        assert mask.shape == (len(sizes), 1, 1, 5)
        assert mask.sum(dim=-1).flatten().tolist() == sizes
        assert_close(padding_mask(torch.tensor(sizes), 5), mask)

    @pytest.mark.parametrize("sizes", [[6], [-1, 2], [[1, 2]]])
    def test_padding_mask_refuses(self, sizes):
        with pytest.raises(ValueError, match="lengths"):
            padding_mask(sizes, max_len=5)

    def test_causal_mask_refuses_a_negative_length(self):
        with pytest.raises(ValueError, match="-1 queries"):
            causal_mask(-1)


class TestFunction:
    @settings(deadline=None)
    @given(lengths, lengths, lengths, lengths, st.integers(0, 1000), st.booleans())
    def test_equals_the_formula_by_loops(self, T, S, K, V, seed, causal):
        query, key, value = normal(T, K, seed=seed), normal(S, K, seed=seed + 1), normal(S, V)
        mask = normal(T, S, seed=seed + 2) > 0
        output = scaled_dot_product_attention(query, key, value, mask, causal=causal)
        seen = mask & causal_mask(T, S) if causal else mask
        assert_close(output, by_loops(query, key, value, seen))

    @given(lengths, st.integers(1, 5))
    def test_later_positions_change_nothing_before_them(self, T, changed):
        changed = min(changed, T)
        query, key, value = (normal(2, T, 4, seed=seed) for seed in range(3))
        before = scaled_dot_product_attention(query, key, value, causal=True)
        for tensor in (query, key, value):
            tensor[:, changed:] += 10 * normal(2, T - changed, 4, seed=7)
        after = scaled_dot_product_attention(query, key, value, causal=True)
        assert torch.equal(after[:, :changed], before[:, :changed])

    def test_each_later_position_is_reached_by_no_gradient(self):
        value = normal(5, 3).requires_grad_()
        x = normal(5, 4, seed=1)
        output = scaled_dot_product_attention(x, x, value, causal=True)
        for t in range(5):
            (grad,) = torch.autograd.grad(output[t].sum(), value, retain_graph=True)
            reached = grad.abs().sum(dim=-1) > 0
            assert reached.tolist() == [s <= t for s in range(5)]

    def test_newest_queries_over_all_keys_equal_the_whole(self):
        query, key, value = (normal(2, 6, 4, seed=seed) for seed in range(3))
        whole = scaled_dot_product_attention(query, key, value, causal=True)
        newest = scaled_dot_product_attention(query[:, 4:], key, value, causal=True)
        assert_close(newest, whole[:, 4:])

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("dropout", [0.0, 0.5])
    def test_nothing_to_attend_to_gives_zeros_and_finite_gradients(self, dtype, dropout):
        tensors = [normal(2, 3, 4, seed=seed).to(dtype).requires_grad_() for seed in range(3)]
        mask = torch.ones(2, 3, 3, dtype=torch.bool)
        mask[0, 1] = False
        mask[1] = False
        with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
            output, weights = scaled_dot_product_attention(
                *tensors, mask, dropout=dropout, return_weights=True
            )
            grads = torch.autograd.grad(output.float().square().sum(), tensors)
        assert not output[0, 1].any()
        assert not output[1].any()
        assert not weights[1].any()
        for grad in grads:
            assert grad.isfinite().all()
            assert not grad[1].any()

    def test_more_queries_than_keys_leave_the_first_empty(self):
        query, key = normal(5, 4), normal(2, 4)
        output = scaled_dot_product_attention(query, key, key, causal=True)
        assert not output[:3].any()
        assert_close(output[3], key[0])

    def test_no_keys_at_all(self):
        output = scaled_dot_product_attention(normal(3, 4), normal(0, 4), normal(0, 2))
        assert_close(output, torch.zeros(3, 2))

    def test_masked_values_do_not_leak(self):
        query, key, value = normal(3, 4), normal(5, 4), normal(5, 2)
        mask = torch.tensor([True, True, False, True, False]).expand(3, 5)
        before = scaled_dot_product_attention(query, key, value, mask)
        key[2], value[4] = 1e4, -1e4
        assert torch.equal(scaled_dot_product_attention(query, key, value, mask), before)
        kept = [0, 1, 3]
        assert_close(before, scaled_dot_product_attention(query, key[kept], value[kept]))

    @given(st.permutations(range(5)))
    def test_permuting_keys_changes_nothing_and_queries_move_along(self, order):
        query, key, value = normal(5, 4), normal(5, 4, seed=1), normal(5, 3)
        output = scaled_dot_product_attention(query, key, value)
        assert_close(scaled_dot_product_attention(query, key[order], value[order]), output)
        assert_close(scaled_dot_product_attention(query[order], key, value), output[order])

    def test_weights_are_an_average(self):
        query, key = normal(2, 3, 4, 8), normal(2, 3, 6, 8)
        output, weights = scaled_dot_product_attention(query, key, key, return_weights=True)
        assert weights.shape == (2, 3, 4, 6)
        assert_close(weights.sum(dim=-1), torch.ones(2, 3, 4))
        assert_close(weights @ key, output)

    def test_leading_axes_broadcast(self):
        query, key = normal(2, 3, 4, 8), normal(2, 1, 5, 8)
        shared = scaled_dot_product_attention(query, key, key)
        repeated = key.expand(2, 3, 5, 8)
        assert_close(shared, scaled_dot_product_attention(query, repeated, repeated))

    @pytest.mark.parametrize(
        ("dtype", "error"), [(torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)], ids=str
    )
    def test_half_precision_stays_close_to_double(self, dtype, error):
        query, key, value = (normal(2, 3, 64, 32, seed=seed).to(dtype) for seed in range(3))
        output = scaled_dot_product_attention(query, key, value, causal=True)
        exact = scaled_dot_product_attention(
            query.double(), key.double(), value.double(), causal=True
        )
        assert output.dtype == dtype
        assert_close(output.double(), exact, rtol=error, atol=error)

    def test_bfloat16_loses_no_more_than_rounding_the_exact_weights_does(self):
        query, key = (normal(64, 64, seed=seed).bfloat16() for seed in range(2))
        query = query * 8  # scores up to 30, which bfloat16 would round to a multiple of 1/8
        _, weights = scaled_dot_product_attention(query, key, key, return_weights=True)
        exact = (query.double() @ key.double().T / 8).softmax(dim=-1)
        rounded = (exact.bfloat16() - exact).abs().sum()
        assert (weights - exact).abs().sum() < 1.1 * rounded

    def test_half_precision_does_not_overflow_before_scaling(self):
        query = torch.full((2, 64), 40.0, dtype=torch.float16)  # 64 * 40 * 40 is past 65504
        output = scaled_dot_product_attention(query, query, query)
        assert_close(output, query)

    def test_large_scores_neither_overflow_nor_lose_the_winner(self):
        query, key = torch.tensor([[1e4]]), torch.tensor([[1e4], [-1e4]])
        output = scaled_dot_product_attention(query, key, torch.tensor([[3.0], [5.0]]))
        assert_close(output, torch.tensor([[3.0]]))

    def test_dropout_keeps_the_mean_and_spares_the_reported_weights(self):
        torch.manual_seed(0)
        query, key, value = normal(1, 4), normal(3, 4), torch.ones(3, 1)
        options = {"dropout": 0.25, "return_weights": True}
        many = query.expand(20_000, 1, 4)
        output, weights = scaled_dot_product_attention(
            many, key.expand(20_000, 3, 4), value.expand(20_000, 3, 1), **options
        )
        assert_close(weights.sum(dim=-1), torch.ones(20_000, 1))
        # A sum of three weights kept with probability 3/4: standard error below 0.005.
        assert_close(output.mean(), torch.tensor(1.0), atol=0.02, rtol=0.0)
        assert output.std() > 0.1


class TestFunctionRefuses:
    x = torch.zeros(2, 3, 4)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"key": torch.zeros(2, 3, 5)}, "width 4 and key has width 5"),
            ({"value": torch.zeros(2, 2, 4)}, "3 keys and 2 values"),
            ({"query": torch.zeros(4)}, "query has shape"),
            ({"value": torch.zeros(2, 3, 4).double()}, "value has dtype torch.float64"),
            ({"query": torch.zeros(2, 3, 4).int()}, "query has dtype torch.int32"),
            ({"mask": torch.zeros(3, 3)}, "mask has dtype torch.float32"),
            ({"mask": torch.ones(3, 4).bool()}, "mask has shape"),
            ({"mask": torch.ones(1, 2, 3, 3).bool()}, "mask has shape"),
            ({"mask": torch.ones(5, 1, 3).bool()}, "mask has shape"),
            ({"dropout": 1.0}, "dropout=1.0"),
            ({"dropout": -0.1}, "dropout=-0.1"),
        ],
    )
    def test_what_does_not_fit(self, changed, message):
        arguments = {"query": self.x, "key": self.x, "value": self.x, **changed}
        with pytest.raises(ValueError, match=message):
            scaled_dot_product_attention(**arguments)

"""Attention through the cache equals attention without it."""

import pytest
import torch
from torch.testing import assert_close

from llmlib.nn import ALiBi, KeyValueCache, MultiHeadAttention, RMSNorm, RotaryEmbedding

B, T, D, H = 2, 9, 32, 4
VARIANTS = {
    "plain": {},
    "grouped": {"num_kv_heads": 2},
    "rotary": {"rotary": RotaryEmbedding(8), "num_kv_heads": 1},
    "normed": {"rotary": RotaryEmbedding(8), "query_norm": RMSNorm(8), "key_norm": RMSNorm(8)},
    "alibi": {"position_bias": ALiBi(H)},
    "window": {"window": 3, "rotary": RotaryEmbedding(8)},
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def new_cache(attention, max_len=T):
    return KeyValueCache(1, B, attention.num_kv_heads, max_len, attention.head_dim)


@pytest.mark.parametrize("steps", [[1] * T, [T], [4, 1, 1, 3], [1, 8]], ids=str)
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_cached_equals_uncached(variant, steps):
    attention = MultiHeadAttention(D, H, **VARIANTS[variant]).eval()
    x = torch.randn(B, T, D)
    cache = new_cache(attention)
    with torch.no_grad():
        parts = [attention(part, causal=True, cache=cache[0]) for part in x.split(steps, dim=1)]
        assert_close(torch.cat(parts, dim=1), attention(x, causal=True))
    assert cache.length == T


def test_cross_attention_keeps_what_it_reads():
    attention = MultiHeadAttention(D, H)
    x, memory = torch.randn(B, 3, D), torch.randn(B, 5, D)
    cache = new_cache(attention)
    with torch.no_grad():
        first = attention(x, memory, cache=cache[0])
        assert cache.length == 5
        # The second call reads the cache: another memory changes nothing.
        again = attention(x, torch.zeros_like(memory), cache=cache[0])
        assert_close(first, attention(x, memory))
    assert_close(again, first)
    assert cache.length == 5


def test_crop_forgets():
    attention = MultiHeadAttention(D, H)
    x = torch.randn(B, T, D)
    cache = new_cache(attention, max_len=2 * T)
    with torch.no_grad():
        attention(torch.cat((x[:, :4], torch.randn(B, 5, D)), dim=1), causal=True, cache=cache[0])
        cache.crop(4)
        assert_close(
            attention(x[:, 4:], causal=True, cache=cache[0]), attention(x, causal=True)[:, 4:]
        )


def test_reorder_hands_rows_on():
    attention = MultiHeadAttention(D, H)
    x = torch.randn(B, T, D)
    cache = new_cache(attention)
    rows = torch.tensor([1, 1])
    with torch.no_grad():
        attention(x[:, :5], causal=True, cache=cache[0])
        cache.reorder(rows)
        continued = torch.cat((x[rows, :5], x[:, 5:]), dim=1)
        wanted = attention(continued, causal=True)[:, 5:]
        assert_close(attention(x[:, 5:], causal=True, cache=cache[0]), wanted)


def test_memory_is_taken_once():
    cache = KeyValueCache(3, batch_size=2, num_kv_heads=2, max_len=7, head_dim=4)
    assert cache.bytes == 2 * 3 * 2 * 2 * 7 * 4 * 4
    room = cache[1].keys.data_ptr()
    keys, _ = cache[1].append(torch.ones(2, 2, 5, 4), torch.ones(2, 2, 5, 4))
    assert keys.data_ptr() == cache[1].keys.data_ptr() == room


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cache: cache[0].append(*[torch.zeros(2, 2, 8, 4)] * 2), "8 tokens.*room for 7"),
        (lambda cache: cache[0].append(*[torch.zeros(3, 2, 1, 4)] * 2), "batch of 3.*made for 2"),
        (lambda cache: cache.crop(1), "length=1, but 0 slots"),
        (lambda cache: cache.crop(-1), "length=-1"),
        (lambda cache: KeyValueCache(1, 0, 1, 1, 1), "at least 1"),
    ],
)
def test_errors(call, message):
    cache = KeyValueCache(3, batch_size=2, num_kv_heads=2, max_len=7, head_dim=4)
    with pytest.raises(ValueError, match=message):
        call(cache)

"""Exercises of the chapter on multi-head attention."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong
from llmlib.nn import scaled_dot_product_attention

__all__ = ["EXERCISES"]


def _split(projected: Tensor, num_heads: int) -> Tensor:
    """``(B, T, H * K) -> (B, H, T, K)``: head h takes the columns hK to (h + 1)K - 1."""
    return projected.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def _split_by_view(projected: Tensor, num_heads: int) -> Tensor:
    batch, length, width = projected.shape
    return projected.view(batch, num_heads, length, width // num_heads)


def _split_every_hth_column(projected: Tensor, num_heads: int) -> Tensor:
    return projected.unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2)


def _projected_and_heads(g: Generator) -> tuple[Tensor, int]:
    heads = draw.integer(g, 2, 4)
    return draw.normal(g, draw.integer(g, 1, 3), draw.integer(g, 5, 7), heads * 8), heads


def _contributions(heads: Tensor, w_o: Tensor) -> Tensor:
    blocks = w_o.unflatten(0, heads.shape[1::2])  # (H * K, D) -> (H, K, D)
    return torch.einsum("bhtk,hkd->bhtd", heads, blocks)


def _contributions_by_columns(heads: Tensor, w_o: Tensor) -> Tensor:
    return _contributions(heads, w_o.T)


def _contributions_by_strides(heads: Tensor, w_o: Tensor) -> Tensor:
    num_heads, width = heads.shape[1], heads.shape[3]
    return torch.einsum("bhtk,khd->bhtd", heads, w_o.unflatten(0, (width, num_heads)))


def _heads_and_output_matrix(g: Generator) -> tuple[Tensor, Tensor]:
    heads, width = draw.integer(g, 2, 4), draw.integer(g, 5, 6)
    outputs = draw.normal(g, draw.integer(g, 1, 2), heads, draw.integer(g, 2, 3), width)
    return outputs, draw.normal(g, heads * width, heads * width)


def _previous_word_score(weights: Tensor) -> Tensor:
    return weights.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=(0, -1))


def _previous_word_score_over_all(weights: Tensor) -> Tensor:
    before = weights.diagonal(offset=-1, dim1=-2, dim2=-1)  # (B, H, T - 1)
    return before.sum(-1).mean(0) / weights.shape[-1]


def _attention_maps(g: Generator) -> tuple[Tensor]:
    length = draw.integer(g, 4, 7)
    shape = draw.integer(g, 2, 3), draw.integer(g, 4, 5), length, length
    return (draw.normal(g, *shape).mul(2).softmax(-1),)


def _kv_cache_bytes(
    layers: int, dim: int, num_heads: int, num_kv_heads: int, tokens: int, bytes_each: int
) -> int:
    return 2 * layers * tokens * num_kv_heads * (dim // num_heads) * bytes_each


def _one_of_the_two(*sizes: int) -> int:
    return _kv_cache_bytes(*sizes) // 2


def _cache_of_all_heads(
    layers: int, dim: int, num_heads: int, num_kv_heads: int, tokens: int, bytes_each: int
) -> int:
    return _kv_cache_bytes(layers, dim, num_heads, num_heads, tokens, bytes_each)


def _cache_of_one_layer(layers: int, *sizes: int) -> int:
    return _kv_cache_bytes(1, *sizes)


def _model_sizes(g: Generator) -> tuple[int, ...]:
    kv_heads, group, width = draw.integer(g, 1, 8), draw.integer(g, 2, 8), draw.integer(g, 32, 128)
    heads = kv_heads * group
    tokens = draw.integer(g, 1, 9999)
    return draw.integer(g, 2, 80), heads * width, heads, kv_heads, tokens, draw.integer(g, 1, 4)


def _share(heads: Tensor, num_heads: int) -> Tensor:
    return heads.repeat_interleave(num_heads // heads.shape[1], dim=1)


def _share_in_turn(heads: Tensor, num_heads: int) -> Tensor:
    return heads.repeat(1, num_heads // heads.shape[1], 1, 1)


def _merge(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(2)


def _merge_by_view(heads: Tensor) -> Tensor:
    batch, num_heads, length, width = heads.shape
    return heads.contiguous().view(batch, length, num_heads * width)


def _attention(
    x: Tensor,
    w_qkv: Tensor,
    w_o: Tensor,
    num_heads: int,
    num_kv_heads: int,
    *,
    share: Callable[[Tensor, int], Tensor] = _share,
    merge: Callable[[Tensor], Tensor] = _merge,
    causal: bool = True,
    scale_by_dim: bool = False,
    project: bool = True,
) -> Tensor:
    """Causal grouped-query attention; the keywords make the known mistakes."""
    width = w_qkv.shape[1] // (num_heads + 2 * num_kv_heads)
    sizes = [num_heads * width, num_kv_heads * width, num_kv_heads * width]
    q, k, v = (x @ w_qkv).split(sizes, dim=-1)
    q = _split(q, num_heads) * (num_heads**-0.5 if scale_by_dim else 1.0)  # √K · √H = √D
    k, v = share(_split(k, num_kv_heads), num_heads), share(_split(v, num_kv_heads), num_heads)
    merged = merge(scaled_dot_product_attention(q, k, v, causal=causal))
    return merged @ w_o if project else merged


def _fused_weights(g: Generator) -> tuple[Tensor, Tensor, Tensor, int, int]:
    kv_heads, width = draw.integer(g, 2, 3), draw.integer(g, 3, 4)
    heads = 2 * kv_heads
    dim = heads * width
    x = draw.normal(g, draw.integer(g, 1, 2), draw.integer(g, 5, 6), dim)
    w_qkv = draw.normal(g, dim, dim + 2 * kv_heads * width) * dim**-0.5
    return x, w_qkv, draw.normal(g, dim, dim) * dim**-0.5, heads, kv_heads


EXERCISES = (
    Exercise(
        name="multi_head.split_heads",
        reference=_split,
        inputs=_projected_and_heads,
        hint="Cut the last axis into (H, K) first; then two axes have to change places.",
        remark="Every head now has all tokens, and K numbers of each.",
        wrong={
            "view": Wrong(
                _split_by_view,
                "The shape is right and the contents are not: view goes on reading in memory "
                "order, so one head now holds pieces of different tokens.",
            ),
            "no transpose": Wrong(
                lambda projected, num_heads: projected.unflatten(-1, (num_heads, -1)),
                "This is (B, T, H, K). A head needs the token axis next to K: swap axes 1 and 2.",
            ),
            "every H-th column": Wrong(
                _split_every_hth_column,
                "You dealt the columns out in turn. Head h takes K neighbouring columns.",
            ),
        },
    ),
    Choice(
        name="multi_head.predict_more_heads",
        right="c",
        why={
            "a": "Each of the projections stays D × D: twice the heads are half as wide.",
            "b": "A score costs K multiplications. Twice as many scores, each at half the price, "
            "cost the same.",
            "c": "There is one T × T map per head, whatever the head's width: B · H · T · T.",
            "d": "A token keeps one key and one value per head: H · K = D numbers each, as before.",
        },
        hint="Write each of the four as a product of B, T, D, H and K, then put K = D / H.",
    ),
    Exercise(
        name="multi_head.contributions",
        reference=_contributions,
        inputs=_heads_and_output_matrix,
        hint="Head h meets the rows hK to (h + 1)K - 1 of W_O, and no other.",
        remark="Summed over the heads they are concat @ W_O, so a head can be judged by itself.",
        wrong={
            "summed": Wrong(
                lambda heads, w_o: _contributions(heads, w_o).sum(1),
                "This is the sum over the heads, the output itself. Keep the head axis.",
            ),
            "columns": Wrong(
                _contributions_by_columns,
                "You gave each head a block of columns of W_O. The concatenation stands on the "
                "left of W_O, so a head meets a block of rows.",
            ),
            "strided rows": Wrong(
                _contributions_by_strides,
                "You gave head h the rows h, h + H, h + 2H … A head's rows are neighbours.",
            ),
        },
    ),
    Exercise(
        name="multi_head.previous_word_score",
        reference=_previous_word_score,
        inputs=_attention_maps,
        hint="Queries are rows, so the entries (t, t - 1) lie on the diagonal below the main one.",
        wrong={
            "next word": Wrong(
                lambda weights: weights.diagonal(1, -2, -1).mean(dim=(0, -1)),
                "This diagonal is (t, t + 1): how much the head looks at the next word.",
            ),
            "own word": Wrong(
                lambda weights: weights.diagonal(0, -2, -1).mean(dim=(0, -1)),
                "This diagonal is (t, t): how much the head looks at the word itself.",
            ),
            "divided by T": Wrong(
                _previous_word_score_over_all,
                "You divided by T, but the first word has none before it: T - 1 entries count.",
            ),
            "heads averaged": Wrong(
                lambda weights: _previous_word_score(weights).mean(),
                "You averaged the heads too, and with them what they do differently.",
            ),
        },
    ),
    Exercise(
        name="multi_head.kv_cache_bytes",
        reference=_kv_cache_bytes,
        inputs=_model_sizes,
        hint="Count the numbers kept for one token in one layer, then multiply.",
        remark="It grows with every token, and with the key-value heads only.",
        wrong={
            "keys only": Wrong(
                _one_of_the_two, "You counted the keys or the values. Both are kept."
            ),
            "all heads": Wrong(
                _cache_of_all_heads,
                "You counted D numbers per key. A head is D / num_heads wide, and only "
                "num_kv_heads of them are kept.",
            ),
            "one layer": Wrong(
                _cache_of_one_layer, "You counted one layer. Every layer has keys of its own."
            ),
        },
    ),
    Exercise(
        name="multi_head.attention",
        reference=_attention,
        inputs=_fused_weights,
        hint="Six steps, and a shape for each: project, cut into q, k and v, split into heads, "
        "share the keys and values, attend, merge and mix.",
        remark="This is the attention of a decoder with grouped queries, in a few lines.",
        wrong={
            "sees the future": Wrong(
                partial(_attention, causal=False),
                "Every token sees the tokens behind it: pass causal=True.",
            ),
            "groups in turn": Wrong(
                partial(_attention, share=_share_in_turn),
                "You repeated the key-value heads as 0, 1, 0, 1. Neighbouring query heads share "
                "one: 0, 0, 1, 1.",
            ),
            "scaled by the model width": Wrong(
                partial(_attention, scale_by_dim=True),
                "You divided the scores by √D. A score is a sum of K products: divide by √K.",
            ),
            "no output projection": Wrong(
                partial(_attention, project=False),
                "The heads stand side by side, unmixed: W_O is missing.",
            ),
            "merged by view": Wrong(
                partial(_attention, merge=_merge_by_view),
                "You merged (B, H, T, K) without swapping T and H back, which mixes tokens.",
            ),
        },
    ),
)

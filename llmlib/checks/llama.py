"""Exercises of the chapter on Llama."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong
from llmlib.nn import (
    RotaryEmbedding,
    interleaved_to_half,
    layer_norm,
    rms_norm,
    scaled_dot_product_attention,
)

__all__ = ["EXERCISES"]


# --- rms_norm -----------------------------------------------------------------------------------


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return rms_norm(x, weight, eps)


def _rms_norm_centred(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return layer_norm(x, weight, eps=eps)


def _rms_norm_by_length(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.square().sum(-1, keepdim=True) + eps).sqrt()


def _rms_norm_over_all(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.square().mean() + eps).sqrt()


def _rms_norm_without_root(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.square().mean(-1, keepdim=True) + eps)


def _rms_norm_eps_outside(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.square().mean(-1, keepdim=True).sqrt() + eps)


def _small_numbers(g: Generator) -> tuple[Tensor, Tensor, float]:
    """Numbers so small that the place of epsilon shows."""
    width = draw.integer(g, 4, 8)
    x = draw.normal(g, 2, draw.integer(g, 2, 4), width) * 0.1 + 0.05
    return x, draw.uniform(g, width, low=0.5, high=2.0), 1e-3


# --- swiglu -------------------------------------------------------------------------------------


def _swiglu(
    x: Tensor,
    w_gate: Tensor,
    w_up: Tensor,
    w_down: Tensor,
    *,
    bend: Callable[[Tensor], Tensor] = F.silu,
) -> Tensor:
    return (bend(x @ w_gate) * (x @ w_up)) @ w_down


def _swiglu_exchanged(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    return _swiglu(x, w_up, w_gate, w_down)


def _swiglu_added(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    return (F.silu(x @ w_gate) + x @ w_up) @ w_down


def _gated_weights(g: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dim, hidden = draw.integer(g, 3, 5), draw.integer(g, 6, 9)
    x = draw.normal(g, draw.integer(g, 1, 3), dim)
    return x, draw.normal(g, dim, hidden), draw.normal(g, dim, hidden), draw.normal(g, hidden, dim)


# --- count_parameters ---------------------------------------------------------------------------


def _count_parameters(
    vocab: int,
    dim: int,
    layers: int,
    heads: int,
    kv_heads: int,
    hidden: int,
    *,
    matrices: int = 3,
    norms: int = 2,
    last_norm: bool = True,
    ends: int = 2,
) -> int:
    """Parameters of an untied Llama; the keywords make the known mistakes."""
    attention = 2 * dim * dim + 2 * dim * kv_heads * (dim // heads)
    layer = attention + matrices * dim * hidden + norms * dim
    return ends * vocab * dim + layers * layer + last_norm * dim


def _count_all_heads(
    vocab: int, dim: int, layers: int, heads: int, kv_heads: int, hidden: int
) -> int:
    return _count_parameters(vocab, dim, layers, heads, heads, hidden)


def _llama_sizes(g: Generator) -> tuple[int, ...]:
    kv_heads, group, width = draw.integer(g, 1, 8), draw.integer(g, 2, 8), draw.integer(g, 16, 128)
    heads = kv_heads * group
    layers, hidden = draw.integer(g, 2, 80), draw.integer(g, 100, 9999)
    return draw.integer(g, 100, 9999), heads * width, layers, heads, kv_heads, hidden


# --- to_half ------------------------------------------------------------------------------------


def _to_half(weight: Tensor, head_dim: int) -> Tensor:
    return interleaved_to_half(weight, head_dim)


def _to_interleaved(weight: Tensor, head_dim: int) -> Tensor:
    return weight.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)


def _to_half_across_heads(weight: Tensor, head_dim: int) -> Tensor:
    return torch.cat([weight[0::2], weight[1::2]])


def _projection(g: Generator) -> tuple[Tensor, int]:
    head_dim = 2 * draw.integer(g, 3, 5)
    return draw.normal(g, draw.integer(g, 2, 4) * head_dim, 3), head_dim


# --- attention ----------------------------------------------------------------------------------


def _split(projected: Tensor, width: int) -> Tensor:
    return projected.unflatten(-1, (-1, width)).transpose(1, 2)


def _share(heads: Tensor, times: int) -> Tensor:
    return heads.repeat_interleave(times, dim=1)


def _share_in_turn(heads: Tensor, times: int) -> Tensor:
    return heads.repeat(1, times, 1, 1)


def _attention(
    x: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    w_o: Tensor,
    num_heads: int,
    *,
    turned: str = "qk",
    pairing: str = "half",
    share: Callable[[Tensor, int], Tensor] = _share,
    causal: bool = True,
) -> Tensor:
    """Causal, rotary, grouped-query attention; the keywords make the known mistakes."""
    width = w_q.shape[1] // num_heads
    rotary = RotaryEmbedding(width, pairing=pairing)
    heads = {name: _split(x @ w, width) for name, w in (("q", w_q), ("k", w_k), ("v", w_v))}
    q, k, v = (rotary(h) if name in turned else h for name, h in heads.items())
    times = num_heads // k.shape[1]
    merged = scaled_dot_product_attention(q, share(k, times), share(v, times), causal=causal)
    return merged.transpose(1, 2).flatten(2) @ w_o


def _attention_turned_before_the_split(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, num_heads: int
) -> Tensor:
    width = w_q.shape[1] // num_heads
    q, k = (_split(RotaryEmbedding(w.shape[1])(x @ w), width) for w in (w_q, w_k))
    v = _split(x @ w_v, width)
    times = num_heads // k.shape[1]
    merged = scaled_dot_product_attention(q, _share(k, times), _share(v, times), causal=True)
    return merged.transpose(1, 2).flatten(2) @ w_o


def _attention_weights(g: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]:
    kv_heads, width = draw.integer(g, 2, 3), 2 * draw.integer(g, 2, 3)
    heads = 2 * kv_heads
    dim = heads * width
    x = draw.normal(g, draw.integer(g, 1, 2), draw.integer(g, 5, 6), dim)
    w_q, w_o = (draw.normal(g, dim, dim) * dim**-0.5 for _ in range(2))
    w_k, w_v = (draw.normal(g, dim, kv_heads * width) * dim**-0.5 for _ in range(2))
    return x, w_q, w_k, w_v, w_o, heads


EXERCISES = (
    Exercise(
        name="llama.rms_norm",
        reference=_rms_norm,
        inputs=_small_numbers,
        hint="Square, mean over the last axis, add eps, root: divide by that, then scale.",
        remark="No mean is subtracted, so a vector keeps its level; only its size is set.",
        wrong={
            "centred": Wrong(
                _rms_norm_centred,
                "This is LayerNorm: you subtracted the mean. RMSNorm leaves it in.",
            ),
            "length": Wrong(
                _rms_norm_by_length,
                "You divided by the length of the vector. Take the mean of the squares, not "
                "their sum.",
            ),
            "all tokens": Wrong(
                _rms_norm_over_all,
                "You averaged over all tokens. Every token is normalised by itself: keep the "
                "other axes.",
            ),
            "no root": Wrong(
                _rms_norm_without_root, "You divided by the mean square. Its root is missing."
            ),
            "eps outside": Wrong(
                _rms_norm_eps_outside,
                "You added eps to the root. It belongs under the root, to the mean square.",
            ),
        },
    ),
    Choice(
        name="llama.predict_pairing",
        right="c",
        why={
            "a": "A permutation of rows keeps every shape, so nothing can complain.",
            "b": "Every number is finite: angles are only taken from the wrong pair.",
            "c": "At position 0 all angles are 0 and nothing is turned, so the pairing cannot "
            "matter. From the second token on it does.",
            "d": "Scores within one position would agree, but queries and keys at different "
            "positions are turned by the wrong angles.",
        },
        hint="By which angle is the first token turned?",
    ),
    Exercise(
        name="llama.swiglu",
        reference=_swiglu,
        inputs=_gated_weights,
        hint="Two products with x; one of them goes through SiLU; multiply; one more product.",
        remark="Three matrices, so a width of 8/3 D weighs as much as two matrices of 4 D.",
        wrong={
            "exchanged": Wrong(
                _swiglu_exchanged,
                "You put SiLU on the up projection. It belongs on the gate. Trained either way "
                "the layer works, but weights of the one are wrong for the other.",
            ),
            "sigmoid": Wrong(
                partial(_swiglu, bend=torch.sigmoid),
                "You gated with the plain sigmoid: that is GLU. SiLU(a) is a times sigmoid(a).",
            ),
            "gelu": Wrong(
                partial(_swiglu, bend=F.gelu),
                "You gated with GELU: that is GEGLU, the layer of T5 1.1.",
            ),
            "added": Wrong(
                _swiglu_added, "You added the two branches. A gate multiplies what it lets through."
            ),
        },
    ),
    Exercise(
        name="llama.count_parameters",
        reference=_count_parameters,
        inputs=_llama_sizes,
        rtol=0.0,
        atol=0.5,
        hint="Embedding and output; in each layer four projections, three matrices and two "
        "norms; and what stands behind the last layer?",
        remark="Put in the sizes of Llama 3 8B, and you get its 8,030,261,248.",
        wrong={
            "all heads": Wrong(
                _count_all_heads,
                "You counted D columns for keys and values. There are kv_heads heads of them, "
                "each D / heads wide.",
            ),
            "two matrices": Wrong(
                partial(_count_parameters, matrices=2),
                "You counted two feed-forward matrices. A gated layer has three.",
            ),
            "tied": Wrong(
                partial(_count_parameters, ends=1),
                "You counted one matrix of V × D. Embedding and output are two here.",
            ),
            "no last norm": Wrong(
                partial(_count_parameters, last_norm=False),
                "D numbers are missing: the norm behind the last layer.",
            ),
            "no norms": Wrong(
                partial(_count_parameters, norms=0, last_norm=False),
                "You left out the norms: two in each layer and one behind the last.",
            ),
        },
    ),
    Exercise(
        name="llama.to_half",
        reference=_to_half,
        inputs=_projection,
        hint="In each head: first the rows 0, 2, 4 …, then the rows 1, 3, 5 …",
        remark="Queries and keys get the same new order, so that their dot products stay.",
        wrong={
            "the other way": Wrong(
                _to_interleaved,
                "This is the way back, from halves to neighbours.",
            ),
            "across heads": Wrong(
                _to_half_across_heads,
                "You sorted the rows of all heads together. Each head keeps its own rows.",
            ),
            "unchanged": Wrong(
                lambda weight, head_dim: weight,
                "These are the rows as they came: pairs are still neighbours.",
            ),
        },
    ),
    Exercise(
        name="llama.attention",
        reference=_attention,
        inputs=_attention_weights,
        hint="Project, split into heads, turn queries and keys, share keys and values, attend, "
        "merge, mix.",
        remark="With two norms, a SwiGLU and two additions around it, this is a layer of Llama.",
        wrong={
            "not turned": Wrong(
                partial(_attention, turned=""),
                "Nothing is turned: without rotary the layer does not know the order of tokens.",
            ),
            "values turned": Wrong(
                partial(_attention, turned="qkv"),
                "You turned the values too. Positions belong into the scores: queries and keys.",
            ),
            "queries only": Wrong(
                partial(_attention, turned="q"),
                "You turned the queries only. Then a score depends on where the query stands, "
                "not on the distance.",
            ),
            "before the split": Wrong(
                _attention_turned_before_the_split,
                "You turned the whole width before the split. Each head is turned by itself, "
                "with frequencies for its own K features.",
            ),
            "neighbours": Wrong(
                partial(_attention, pairing="interleaved"),
                "You paired features 2i and 2i + 1. Here feature i is paired with i + K/2.",
            ),
            "groups in turn": Wrong(
                partial(_attention, share=_share_in_turn),
                "You repeated the key-value heads as 0, 1, 0, 1. Neighbouring query heads share "
                "one: 0, 0, 1, 1.",
            ),
            "sees the future": Wrong(
                partial(_attention, causal=False),
                "Every token sees the tokens behind it: pass causal=True.",
            ),
        },
    ),
)

"""Exercises of the chapter on the transformer block."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- embed --------------------------------------------------------------------------------------


def _embed(ids: Tensor, segments: Tensor, token: Tensor, place: Tensor, segment: Tensor) -> Tensor:
    return token[ids] + place[: ids.shape[1]] + segment[segments]


def _embed_without_segments(
    ids: Tensor, segments: Tensor, token: Tensor, place: Tensor, segment: Tensor
) -> Tensor:
    return token[ids] + place[: ids.shape[1]]


def _embed_place_of_the_token(
    ids: Tensor, segments: Tensor, token: Tensor, place: Tensor, segment: Tensor
) -> Tensor:
    return token[ids] + place[ids] + segment[segments]


def _embed_place_of_the_text(
    ids: Tensor, segments: Tensor, token: Tensor, place: Tensor, segment: Tensor
) -> Tensor:
    return token[ids] + place[: ids.shape[0], None] + segment[segments]


def _ids_and_tables(g: Generator) -> tuple[Tensor, ...]:
    """Two segments in every row, places to spare, and as many places as tokens at least."""
    batch, length, vocab, dim = 3, draw.integer(g, 5, 7), 7, draw.integer(g, 2, 4)
    first = torch.randint(1, length, (batch, 1), generator=g)
    segments = (torch.arange(length) >= first).long()
    ids = draw.tokens(g, batch, length, vocab_size=vocab)
    tables = (draw.normal(g, rows, dim) for rows in (vocab, length + 3, 2))
    return ids, segments, *tables


# --- swiglu -------------------------------------------------------------------------------------


def _swiglu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    return (F.silu(x @ w_gate) * (x @ w_up)) @ w_down


def _swiglu_gate_and_up_exchanged(
    x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor
) -> Tensor:
    return _swiglu(x, w_up, w_gate, w_down)


def _gated_by_sigmoid(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    return (torch.sigmoid(x @ w_gate) * (x @ w_up)) @ w_down


def _gated_by_gelu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    return (F.gelu(x @ w_gate) * (x @ w_up)) @ w_down


def _gate_added(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    return (F.silu(x @ w_gate) + x @ w_up) @ w_down


def _rows_and_three_matrices(g: Generator) -> tuple[Tensor, ...]:
    dim, hidden = draw.integer(g, 2, 5), draw.integer(g, 6, 9)
    x = draw.normal(g, draw.integer(g, 1, 3), 4, dim)
    return x, draw.normal(g, dim, hidden), draw.normal(g, dim, hidden), draw.normal(g, hidden, dim)


# --- pre_norm -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """A layer or a norm of the exercise, whose printed form says which one it is."""

    name: str
    mix: Tensor  # (T, T) for attention, which mixes tokens
    weight: Tensor  # (D, D) for layers, (D,) for norms

    def __call__(self, x: Tensor) -> Tensor:
        if self.weight.dim() == 1:
            return F.layer_norm(x, x.shape[-1:]) * self.weight
        return torch.tanh(self.mix @ x @ self.weight)

    def __repr__(self) -> str:
        return f"= a {self.name}"


def _pre_norm(x: Tensor, attention: _Part, norm_1: _Part, feedforward: _Part, norm_2: _Part):
    x = x + attention(norm_1(x))
    return x + feedforward(norm_2(x))


def _post_norm(x: Tensor, attention: _Part, norm_1: _Part, feedforward: _Part, norm_2: _Part):
    x = norm_1(x + attention(x))
    return norm_2(x + feedforward(x))


def _overwritten(x: Tensor, attention: _Part, norm_1: _Part, feedforward: _Part, norm_2: _Part):
    x = norm_1(x)
    x = x + attention(x)
    x = norm_2(x)
    return x + feedforward(x)


def _norms_exchanged(x: Tensor, attention: _Part, norm_1: _Part, feedforward: _Part, norm_2: _Part):
    return _pre_norm(x, attention, norm_2, feedforward, norm_1)


def _side_by_side(x: Tensor, attention: _Part, norm_1: _Part, feedforward: _Part, norm_2: _Part):
    return x + attention(norm_1(x)) + feedforward(norm_2(x))


def _no_residual(x: Tensor, attention: _Part, norm_1: _Part, feedforward: _Part, norm_2: _Part):
    return feedforward(norm_2(attention(norm_1(x))))


def _stream_and_parts(g: Generator) -> tuple[Tensor, _Part, _Part, _Part, _Part]:
    length, dim = draw.integer(g, 3, 5), draw.integer(g, 3, 6)
    alone, mixed = torch.eye(length), draw.normal(g, length, length).softmax(-1)
    return (
        3 * draw.normal(g, length, dim),
        _Part("layer of attention", mixed, draw.normal(g, dim, dim)),
        _Part("norm", alone, draw.uniform(g, dim, low=0.5, high=2.0)),
        _Part("feed-forward layer", alone, draw.normal(g, dim, dim)),
        _Part("norm", alone, draw.uniform(g, dim, low=0.5, high=2.0)),
    )


# --- block_parameters ---------------------------------------------------------------------------


def _block_parameters(dim: int, heads: int, kv_heads: int, hidden: int) -> int:
    return 2 * dim * dim + 2 * dim * kv_heads * (dim // heads) + 3 * dim * hidden + 2 * dim


def _parameters_multi_head(dim: int, heads: int, kv_heads: int, hidden: int) -> int:
    return _block_parameters(dim, heads, heads, hidden)


def _parameters_two_matrices(dim: int, heads: int, kv_heads: int, hidden: int) -> int:
    return _block_parameters(dim, heads, kv_heads, hidden) - dim * hidden


def _parameters_no_norms(dim: int, heads: int, kv_heads: int, hidden: int) -> int:
    return _block_parameters(dim, heads, kv_heads, hidden) - 2 * dim


def _parameters_layer_norms(dim: int, heads: int, kv_heads: int, hidden: int) -> int:
    return _block_parameters(dim, heads, kv_heads, hidden) + 2 * dim


def _parameters_no_output(dim: int, heads: int, kv_heads: int, hidden: int) -> int:
    return _block_parameters(dim, heads, kv_heads, hidden) - dim * dim


def _block_sizes(g: Generator) -> tuple[int, int, int, int]:
    kv_heads, group, width = draw.integer(g, 1, 8), draw.integer(g, 2, 8), draw.integer(g, 16, 128)
    heads = kv_heads * group
    return heads * width, heads, kv_heads, draw.integer(g, 1000, 30_000)


# --- rms_norm_backward --------------------------------------------------------------------------


def _rms_norm_backward(upstream: Tensor, x: Tensor, gain: Tensor) -> Tensor:
    rms = x.square().mean(-1, keepdim=True).sqrt()
    x_hat, arriving = x / rms, upstream * gain
    return (arriving - x_hat * (arriving * x_hat).mean(-1, keepdim=True)) / rms


def _rms_as_a_constant(upstream: Tensor, x: Tensor, gain: Tensor) -> Tensor:
    return upstream * gain / x.square().mean(-1, keepdim=True).sqrt()


def _rms_without_gain(upstream: Tensor, x: Tensor, gain: Tensor) -> Tensor:
    return _rms_norm_backward(upstream, x, torch.ones_like(gain))


def _rms_summed(upstream: Tensor, x: Tensor, gain: Tensor) -> Tensor:
    rms = x.square().mean(-1, keepdim=True).sqrt()
    x_hat, arriving = x / rms, upstream * gain
    return (arriving - x_hat * (arriving * x_hat).sum(-1, keepdim=True)) / rms


def _layer_norm_backward(upstream: Tensor, x: Tensor, gain: Tensor) -> Tensor:
    s = x.var(-1, correction=0, keepdim=True).sqrt()
    x_hat, g = (x - x.mean(-1, keepdim=True)) / s, upstream * gain
    return (g - g.mean(-1, keepdim=True) - x_hat * (g * x_hat).mean(-1, keepdim=True)) / s


def _rms_not_divided(upstream: Tensor, x: Tensor, gain: Tensor) -> Tensor:
    return _rms_norm_backward(upstream, x, gain) * x.square().mean(-1, keepdim=True).sqrt()


def _upstream_rows_and_gain(g: Generator) -> tuple[Tensor, Tensor, Tensor]:
    length, dim = draw.integer(g, 2, 4), draw.integer(g, 3, 7)
    x = draw.uniform(g, 1, low=0.5, high=4.0) * draw.normal(g, length, dim) + 1
    return draw.normal(g, length, dim), x, draw.uniform(g, dim, low=0.5, high=2.0)


EXERCISES = (
    Exercise(
        name="blocks.embed",
        reference=_embed,
        inputs=_ids_and_tables,
        hint="Three lookups and two sums. Places are counted from 0 in every row of the batch.",
        remark="Attention can now tell two equal tokens apart.",
        wrong={
            "no segments": Wrong(
                _embed_without_segments,
                "Token and place are there; the vector of the segment is missing.",
            ),
            "place by id": Wrong(
                _embed_place_of_the_token,
                "You looked the place up by the token's id. It goes by where the token stands.",
            ),
            "place by row": Wrong(
                _embed_place_of_the_text,
                "You counted places along the batch. They count along the text, axis 1 of ids.",
            ),
        },
    ),
    Choice(
        name="blocks.predict_stretched_stream",
        right="b",
        why={
            "a": "So it would be without a norm in front, if the layer were linear.",
            "b": "The norm forgets the stretch, so the attention reads, and writes, what it did "
            "before. Beside a stream ten times larger that counts for ten times less.",
            "c": "The division by ten happens inside the norm and undoes the stretch: 10 / 10.",
            "d": "Nothing here is squared twice: scores are products of normalised rows.",
        },
        hint="Write norm(10 x) with the formula, and see what happens to the 10.",
    ),
    Exercise(
        name="blocks.swiglu",
        reference=_swiglu,
        inputs=_rows_and_three_matrices,
        hint="Two products of width F; one goes through SiLU; multiply number by number.",
        remark="This is the feed-forward layer of Llama.",
        wrong={
            "exchanged": Wrong(
                _swiglu_gate_and_up_exchanged,
                "SiLU belongs to the product with w_gate; you gave it the one with w_up.",
            ),
            "sigmoid": Wrong(
                _gated_by_sigmoid,
                "You gated with the logistic function σ(a). SiLU is a · σ(a).",
            ),
            "gelu": Wrong(_gated_by_gelu, "You gated with GELU: that is GEGLU. SwiGLU has SiLU."),
            "added": Wrong(_gate_added, "You added the two. A gate multiplies."),
        },
    ),
    Exercise(
        name="blocks.pre_norm",
        reference=_pre_norm,
        inputs=_stream_and_parts,
        hint="Two lines. In each, the layer reads a normalised copy, and x itself gets the sum.",
        remark="Nothing but two plus signs touches the stream.",
        wrong={
            "post-norm": Wrong(
                _post_norm, "This is post-norm: you normalised the sums. Normalise what is read."
            ),
            "overwritten": Wrong(
                _overwritten,
                "You wrote the norm's result over the stream. Give it to the layer only, and add "
                "what the layer returns to the x from before.",
            ),
            "norms exchanged": Wrong(
                _norms_exchanged, "norm_1 belongs to the attention, norm_2 to the feed-forward."
            ),
            "side by side": Wrong(
                _side_by_side,
                "Your feed-forward layer reads the stream from before the attention. It has to "
                "read the stream that the attention has written to.",
            ),
            "no residual": Wrong(
                _no_residual, "The plus signs are missing: what a layer returns is added to x."
            ),
        },
    ),
    Exercise(
        name="blocks.block_parameters",
        reference=_block_parameters,
        inputs=_block_sizes,
        hint="Four projections, three matrices, two gains. Which projections are narrower?",
        remark="Times the number of layers, plus the embeddings, this is the size on the label.",
        wrong={
            "multi-head": Wrong(
                _parameters_multi_head,
                "You gave keys and values as many heads as the queries. They have kv_heads.",
            ),
            "two matrices": Wrong(
                _parameters_two_matrices, "SwiGLU has three matrices: gate, up and down."
            ),
            "no norms": Wrong(
                _parameters_no_norms, "The two norms are missing: a gain of dim numbers each."
            ),
            "layer norms": Wrong(
                _parameters_layer_norms, "You gave the norms a shift. RMSNorm has a gain only."
            ),
            "no output projection": Wrong(
                _parameters_no_output,
                "Count again: queries and output are dim × dim both; one of them is missing.",
            ),
        },
    ),
    Exercise(
        name="blocks.rms_norm_backward",
        reference=_rms_norm_backward,
        inputs=_upstream_rows_and_gain,
        hint="The root moves as well: its derivative by x_j is x_hat_j / D. Then collect dx_j.",
        remark="Along x itself the gradient is 0: a stretch of the row changes nothing.",
        wrong={
            "root held fixed": Wrong(
                _rms_as_a_constant,
                "You took the root for a constant. It depends on every x_j of the row.",
            ),
            "no gain": Wrong(
                _rms_without_gain, "The gain is missing: what arrives at x_hat is upstream · gain."
            ),
            "sum for mean": Wrong(
                _rms_summed,
                "You summed g · x_hat over the row where its mean belongs: there is a 1/D.",
            ),
            "layer norm": Wrong(
                _layer_norm_backward,
                "This is the gradient of layer norm. RMSNorm does not subtract the mean.",
            ),
            "not divided": Wrong(
                _rms_not_divided, "The bracket is right; divide it by the root of the mean square."
            ),
        },
    ),
)

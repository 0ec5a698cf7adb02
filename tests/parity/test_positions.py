"""Rotary, sinusoidal and relative positions against transformers."""

import pytest
import torch
from torch.testing import assert_close

from llmlib.nn import (
    ALiBi,
    LinearRopeScaling,
    Llama3RopeScaling,
    RelativePositionBias,
    RotaryEmbedding,
    SinusoidalPositions,
    causal_mask,
)
from tests.parity.gradients import assert_same

transformers = pytest.importorskip("transformers")

SCALINGS = {
    "default": (None, {}),
    "linear": (LinearRopeScaling(factor=4.0), {"factor": 4.0}),
    "llama3": (
        Llama3RopeScaling(
            factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context=64
        ),
        {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parity(
    component="llmlib.nn.RotaryEmbedding, halves", peer="transformers LlamaRotaryEmbedding"
)
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("kind", sorted(SCALINGS))
@pytest.mark.parametrize("base", [100.0, 500_000.0])
def test_rotary_halves(base, kind, batched):
    from transformers.models.llama.modeling_llama import (
        LlamaRotaryEmbedding,
        apply_rotary_pos_emb,
    )

    scaling, extra = SCALINGS[kind]
    config = transformers.LlamaConfig(
        hidden_size=64, num_attention_heads=4, max_position_embeddings=512,
        rope_parameters={"rope_theta": base, "rope_type": kind, **extra},
    )  # fmt: skip
    positions = torch.randint(0, 512, (2, 9)) if batched else torch.arange(9) + 300
    ours = RotaryEmbedding(16, base=base, scaling=scaling, max_len=512)
    theirs = LlamaRotaryEmbedding(config)

    def turn(x):
        angles = theirs(x, positions if batched else positions[None])
        return apply_rotary_pos_emb(x, x, *angles)[0]

    assert_same(lambda x: ours(x, positions), turn, [torch.randn(2, 4, 9, 16)])


@pytest.mark.parity(component="llmlib.nn.RotaryEmbedding, interleaved", peer="transformers GPT-J")
def test_rotary_interleaved():
    from transformers.models.gptj.modeling_gptj import (
        apply_rotary_pos_emb,
        create_sinusoidal_positions,
    )

    positions = torch.tensor([0, 1, 5, 100, 511])
    ours = RotaryEmbedding(16, pairing="interleaved", max_len=512)
    sin, cos = create_sinusoidal_positions(512, 16)[positions][None].chunk(2, dim=-1)

    def turn(x):  # their heads stand behind the positions
        return apply_rotary_pos_emb(x.transpose(1, 2), sin, cos).transpose(1, 2)

    assert_same(lambda x: ours(x, positions), turn, [torch.randn(2, 4, 5, 16)])


@pytest.mark.parity(
    component="llmlib.nn.SinusoidalPositions, halves",
    peer="transformers MarianSinusoidalPositionalEmbedding",
    compared="output",
)
def test_sinusoidal_halves():
    from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

    theirs = MarianSinusoidalPositionalEmbedding(2048, 64).create_weight()
    ours = SinusoidalPositions(64, 2048, layout="halves")
    assert_close(ours(torch.arange(2048)), theirs)


@pytest.mark.parity(
    component="llmlib.nn.SinusoidalPositions, interleaved",
    peer="transformers create_sinusoidal_embeddings of DistilBERT",
    compared="output",
)
def test_sinusoidal_interleaved():
    from transformers.models.distilbert.modeling_distilbert import create_sinusoidal_embeddings

    theirs = torch.empty(2048, 64)
    create_sinusoidal_embeddings(2048, 64, theirs)
    assert_close(SinusoidalPositions(64, 2048)(torch.arange(2048)), theirs)


@pytest.mark.parity(
    component="llmlib.nn.RelativePositionBias", peer="transformers T5Attention.compute_bias"
)
@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (8, 20), (6, 9)])
@pytest.mark.parametrize("decoder", [False, True])
def test_relative_position_bias(decoder, buckets, distance):
    from transformers.models.t5.modeling_t5 import T5Attention

    config = transformers.T5Config(
        d_model=8, d_kv=4, num_heads=2, is_decoder=decoder,
        relative_attention_num_buckets=buckets, relative_attention_max_distance=distance,
    )  # fmt: skip
    theirs = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
    ours = RelativePositionBias(
        2, num_buckets=buckets, max_distance=distance, bidirectional=not decoder
    )
    weight = theirs.relative_attention_bias.weight
    with torch.no_grad():
        ours.embedding.weight.copy_(weight)
    seen, new = 40, 200
    assert_same(
        lambda: ours(torch.arange(seen, seen + new), torch.arange(seen + new)),
        lambda: theirs.compute_bias(new, seen + new, past_seen_tokens=seen)[0],
        [],
        [(ours.embedding.weight, weight)],
    )


@pytest.mark.parity(
    component="llmlib.nn.ALiBi",
    peer="transformers build_alibi_tensor of BLOOM",
    compared="attention weights (the biases differ by a constant in each row)",
)
@pytest.mark.parametrize("heads", [1, 2, 3, 6, 8, 12])
def test_alibi(heads):
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    T = 10
    theirs = build_alibi_tensor(torch.ones(1, T), heads, torch.float32)  # (H, 1, T)
    ours = ALiBi(heads)(torch.arange(T), torch.arange(T))  # (H, T, T)
    scores, future = torch.randn(heads, T, T), ~causal_mask(T)
    weights = [
        (scores + bias).masked_fill(future, float("-inf")).softmax(-1) for bias in (ours, theirs)
    ]
    assert_close(*weights)

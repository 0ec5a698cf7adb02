"""Floor 1: the layers that models are built from.

=================================  ======================================================
file                               what is in it
=================================  ======================================================
:mod:`llmlib.nn.attention`         scaled dot-product attention, its masks
:mod:`llmlib.nn.fast_attention`    the same for grouped heads, through PyTorch's kernel
:mod:`llmlib.nn.multi_head`        multi-head attention with grouped queries
:mod:`llmlib.nn.cache`             the key-value cache
:mod:`llmlib.nn.embeddings`        token embeddings, tied output layer
:mod:`llmlib.nn.positions`         sinusoidal and learned positions, T5's bias, ALiBi
:mod:`llmlib.nn.rotary`            rotary positions and their scaling
:mod:`llmlib.nn.norms`             layer and root-mean-square normalisation
:mod:`llmlib.nn.linear_layer`      the linear layer, by the faster of two kernels
:mod:`llmlib.nn.feedforward`       feed-forward layers, plain and gated
:mod:`llmlib.nn.moe`               mixture of experts and its balance loss
:mod:`llmlib.nn.blocks`            pre-norm and post-norm transformer blocks
:mod:`llmlib.nn.cross_entropy`     the loss of the output layer, in chunks
=================================  ======================================================
"""

from llmlib.nn.attention import (
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
    window_mask,
)
from llmlib.nn.blocks import PostNormBlock, PreNormBlock
from llmlib.nn.cache import KeyValueCache, LayerCache
from llmlib.nn.cross_entropy import linear_cross_entropy, plain_linear_cross_entropy
from llmlib.nn.embeddings import TokenEmbedding
from llmlib.nn.fast_attention import fused_attention, plain_attention
from llmlib.nn.feedforward import (
    FeedForward,
    GatedFeedForward,
    SwiGLU,
    gelu,
    make_activation,
    swiglu_width,
)
from llmlib.nn.linear_layer import Linear, linear, read_by_columns
from llmlib.nn.moe import MixtureOfExperts, load_balance_loss
from llmlib.nn.multi_head import MultiHeadAttention
from llmlib.nn.norms import LayerNorm, RMSNorm, layer_norm, rms_norm
from llmlib.nn.positions import (
    ALiBi,
    LearnedPositions,
    RelativePositionBias,
    SinusoidalPositions,
)
from llmlib.nn.rotary import (
    LinearRopeScaling,
    Llama3RopeScaling,
    RotaryEmbedding,
    interleaved_to_half,
    rotary_frequencies,
)

__all__ = [
    "ALiBi",
    "FeedForward",
    "GatedFeedForward",
    "KeyValueCache",
    "LayerCache",
    "LayerNorm",
    "LearnedPositions",
    "Linear",
    "LinearRopeScaling",
    "Llama3RopeScaling",
    "MixtureOfExperts",
    "MultiHeadAttention",
    "PostNormBlock",
    "PreNormBlock",
    "RMSNorm",
    "RelativePositionBias",
    "RotaryEmbedding",
    "SinusoidalPositions",
    "SwiGLU",
    "TokenEmbedding",
    "causal_mask",
    "fused_attention",
    "gelu",
    "interleaved_to_half",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "load_balance_loss",
    "make_activation",
    "padding_mask",
    "plain_attention",
    "plain_linear_cross_entropy",
    "read_by_columns",
    "rms_norm",
    "rotary_frequencies",
    "scaled_dot_product_attention",
    "swiglu_width",
    "window_mask",
]

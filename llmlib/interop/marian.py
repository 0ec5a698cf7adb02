"""Marian of transformers, the Transformer of 2017, and :class:`llmlib.models.Transformer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from llmlib.interop.family import Family
from llmlib.interop.fields import Fields
from llmlib.interop.gpt2 import ACTIVATIONS
from llmlib.interop.tensors import Layout, Link
from llmlib.models import Transformer, TransformerConfig
from llmlib.models.transformer import num_decoder_layers
from llmlib.nn import SinusoidalPositions

__all__ = ["MARIAN"]

DEFAULTS = {
    "vocab_size": 58101, "decoder_vocab_size": None, "max_position_embeddings": 1024,
    "encoder_layers": 12, "encoder_ffn_dim": 4096, "encoder_attention_heads": 16,
    "decoder_layers": 12, "decoder_ffn_dim": 4096, "decoder_attention_heads": 16,
    "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0, "activation_function": "gelu",
    "d_model": 1024, "dropout": 0.1, "attention_dropout": 0.0, "activation_dropout": 0.0,
    "decoder_start_token_id": 58100, "scale_embedding": False, "pad_token_id": 58100,
    "share_encoder_decoder_embeddings": True, "is_encoder_decoder": True, "is_decoder": False,
    "tie_word_embeddings": True,
}  # fmt: skip
NORM_EPS = 1e-5  # theirs is fixed
# In older files: switches for relatives of Marian, whose only value in Marian these are.
OLDER = {
    "add_bias_logits": False, "add_final_layer_norm": False, "normalize_before": False,
    "normalize_embedding": False, "static_position_embeddings": True,
    "extra_pos_embeddings": 0,
}  # fmt: skip


def read_config(fields: Fields, theirs: Mapping[str, Tensor]) -> TransformerConfig:
    fields.demand("is_encoder_decoder", True)
    fields.demand("is_decoder", False)
    fields.demand("share_encoder_decoder_embeddings", True)
    for name in ("encoder_layerdrop", "decoder_layerdrop", "attention_dropout"):
        fields.demand(name, 0.0)
    fields.demand("activation_dropout", 0.0)
    for name, value in OLDER.items():
        if name in fields.given:
            fields.demand(name, value)
    fields.skip(["num_hidden_layers"])  # a second name of encoder_layers
    vocab_size = fields.take("vocab_size")
    fields.demand("decoder_vocab_size", vocab_size, None)
    return TransformerConfig(
        vocab_size=vocab_size,
        context_length=fields.take("max_position_embeddings"),
        dim=fields.take("d_model"),
        num_layers=fields.take("encoder_layers"),
        num_decoder_layers=fields.take("decoder_layers"),
        num_heads=fields.same("encoder_attention_heads", "decoder_attention_heads"),
        hidden_dim=fields.same("encoder_ffn_dim", "decoder_ffn_dim"),
        activation=fields.translate("activation_function", ACTIVATIONS),
        norm_eps=NORM_EPS,
        dropout=fields.take("dropout"),
        scale_embeddings=fields.take("scale_embedding"),
        position_layout="halves",
        tie_embeddings=fields.take("tie_word_embeddings"),
        start_id=fields.take("decoder_start_token_id"),
        padding_id=fields.take("pad_token_id"),
    )


def write_config(config: TransformerConfig) -> dict[str, Any]:
    if config.position_layout != "halves" or config.norm_eps != NORM_EPS:
        raise ValueError(
            f"position_layout={config.position_layout!r} and norm_eps={config.norm_eps} cannot be "
            f"written for transformers: Marian has 'halves' and {NORM_EPS}"
        )
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    hidden_dim = config.hidden_dim or 4 * config.dim
    return {
        "vocab_size": config.vocab_size,
        "decoder_vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "d_model": config.dim,
        "encoder_layers": config.num_layers,
        "decoder_layers": num_decoder_layers(config),
        "encoder_attention_heads": config.num_heads,
        "decoder_attention_heads": config.num_heads,
        "encoder_ffn_dim": hidden_dim,
        "decoder_ffn_dim": hidden_dim,
        "activation_function": names[config.activation],
        "dropout": config.dropout,
        "scale_embedding": config.scale_embeddings,
        "tie_word_embeddings": config.tie_embeddings,
        "is_encoder_decoder": True,
        "decoder_start_token_id": config.start_id,
        "pad_token_id": config.padding_id,
        "forced_eos_token_id": None,
    }


ATTENTION = {f"{name}_proj": f"{name}_proj" for name in ("q", "k", "v", "out")}
SELF = {f"self_attn.{a}": f"attention.{b}" for a, b in ATTENTION.items()}
CROSS = {f"encoder_attn.{a}": f"cross_attention.{b}" for a, b in ATTENTION.items()}
ENCODER_BLOCK = SELF | {
    "self_attn_layer_norm": "attention_norm",
    "fc1": "feedforward.up_proj",
    "fc2": "feedforward.down_proj",
    "final_layer_norm": "feedforward_norm",
}
DECODER_BLOCK = ENCODER_BLOCK | CROSS | {"encoder_attn_layer_norm": "cross_norm"}


def layouts(config: TransformerConfig) -> tuple[Layout, Layout]:
    names = {}
    for stack, block, layers in (
        ("encoder", ENCODER_BLOCK, config.num_layers),
        ("decoder", DECODER_BLOCK, num_decoder_layers(config)),
    ):
        for n in range(layers):
            theirs, ours = f"model.{stack}.layers.{n}", f"{stack}_blocks.{n}"
            names |= {f"{theirs}.{a}": f"{ours}.{b}" for a, b in block.items()}
    links = [Link("model.shared.weight", ("token_embedding.weight",))]
    for part in ("weight", "bias"):
        links += [Link(f"{a}.{part}", (f"{b}.{part}",)) for a, b in names.items()]
    stacks = ("model.encoder", "model.decoder")
    aliases = {f"{stack}.embed_tokens.weight": "model.shared.weight" for stack in stacks}
    if config.tie_embeddings:
        aliases["lm_head.weight"] = "model.shared.weight"
    else:
        links.append(Link("lm_head.weight", ("output.weight",)))
    # No weights: a bias that training leaves at zero, and the sinusoids.
    bias = {"final_logits_bias": torch.zeros(1, config.vocab_size)}
    table = SinusoidalPositions(config.dim, config.context_length, layout="halves").table
    tables = {f"{stack}.embed_positions.weight": table for stack in stacks}
    # On disk the sinusoids are left out; older files hold them all the same.
    on_disk = Layout(links, aliases, bias, skipped=tuple(tables))
    return Layout(links, aliases, bias | tables), on_disk


MARIAN = Family(
    architecture="MarianMTModel",
    model_type="marian",
    model=Transformer,
    defaults=DEFAULTS,
    read_config=read_config,
    write_config=write_config,
    layouts=layouts,
)

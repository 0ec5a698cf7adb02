"""T5 of transformers and :class:`llmlib.models.T5`.

Two facts are not where one looks for them. Whether the output layer is tied to the embedding is
told by the weights alone: transformers writes ``tie_word_embeddings: true`` in any case, and
keeps the two apart when a file holds both. And whether the last hidden state is scaled was told by
that same field before ``scale_decoder_outputs`` existed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from llmlib.interop.family import Family
from llmlib.interop.fields import Fields
from llmlib.interop.gpt2 import ACTIVATIONS
from llmlib.interop.tensors import Layout, Link
from llmlib.models import T5, T5Config
from llmlib.models.t5 import num_decoder_layers

__all__ = ["T5_FAMILY"]

DEFAULTS = {
    "vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6,
    "num_decoder_layers": None, "num_heads": 8, "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128, "dropout_rate": 0.1, "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "relu", "is_encoder_decoder": True, "is_decoder": False,
    "pad_token_id": 0, "tie_word_embeddings": True,
}  # fmt: skip


def read_config(fields: Fields, theirs: Mapping[str, Tensor]) -> T5Config:
    fields.demand("is_encoder_decoder", True)
    fields.demand("is_decoder", False)
    activation, gated = _read_feedforward(fields)
    tied_by_field = fields.take("tie_word_embeddings")
    padding = fields.take("pad_token_id")
    return T5Config(
        vocab_size=fields.take("vocab_size"),
        dim=fields.take("d_model"),
        head_dim=fields.take("d_kv"),
        hidden_dim=fields.take("d_ff"),
        num_layers=fields.take("num_layers"),
        num_decoder_layers=fields.take("num_decoder_layers"),
        num_heads=fields.take("num_heads"),
        num_buckets=fields.take("relative_attention_num_buckets"),
        max_distance=fields.take("relative_attention_max_distance"),
        activation=activation,
        gated=gated,
        norm_eps=fields.take("layer_norm_epsilon"),
        dropout=fields.take("dropout_rate"),
        tie_embeddings=_tied(theirs),
        scale_logits=_take_or(fields, "scale_decoder_outputs", tied_by_field is not False),
        start_id=_take_or(fields, "decoder_start_token_id", padding),
    )


def _read_feedforward(fields: Fields) -> tuple[str, bool]:
    """Activation and gate, in one field, or spelled out in two more."""
    kind = fields.take("feed_forward_proj")
    name = "gelu_new" if kind == "gated-gelu" else kind.removeprefix("gated-")
    name = _take_or(fields, "dense_act_fn", name)
    gated = _take_or(fields, "is_gated_act", kind.startswith("gated-"))
    named = Fields({"feed_forward_proj": name}, {})
    return named.translate("feed_forward_proj", ACTIVATIONS), gated


def _take_or(fields: Fields, name: str, otherwise: Any) -> Any:
    value = fields.take(name) if name in fields.given else None
    return otherwise if value is None else value


def _tied(theirs: Mapping[str, Tensor]) -> bool:
    output, embedding = theirs.get("lm_head.weight"), theirs.get("shared.weight")
    return output is None or embedding is None or torch.equal(output, embedding)


def write_config(config: T5Config) -> dict[str, Any]:
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    name = names[config.activation]
    # "gated-gelu" stands for the tanh form there, which is gelu_new.
    written = "gelu" if config.gated and name == "gelu_new" else name
    return {
        "vocab_size": config.vocab_size,
        "d_model": config.dim,
        "d_kv": config.head_dim,
        "d_ff": config.hidden_dim,
        "num_layers": config.num_layers,
        "num_decoder_layers": num_decoder_layers(config),
        "num_heads": config.num_heads,
        "relative_attention_num_buckets": config.num_buckets,
        "relative_attention_max_distance": config.max_distance,
        "feed_forward_proj": f"gated-{written}" if config.gated else written,
        "dense_act_fn": name,
        "is_gated_act": config.gated,
        "layer_norm_epsilon": config.norm_eps,
        "dropout_rate": config.dropout,
        "tie_word_embeddings": config.tie_embeddings,
        "scale_decoder_outputs": config.scale_logits,
        "is_encoder_decoder": True,
        "decoder_start_token_id": config.start_id,
        "pad_token_id": config.start_id,
    }


ATTENTION = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
PLAIN = {"wi": "up_proj", "wo": "down_proj"}
GATED = {"wi_0": "gate_proj", "wi_1": "up_proj", "wo": "down_proj"}


def layouts(config: T5Config) -> tuple[Layout]:
    names = {"shared": "token_embedding"}
    for stack, layers in (("encoder", config.num_layers), ("decoder", num_decoder_layers(config))):
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias"
        names |= {
            bias: f"{stack}_position_bias.embedding",
            f"{stack}.final_layer_norm": f"{stack}_norm.0",
        }
        for n in range(layers):
            names |= _block_names(config, f"{stack}.block.{n}.layer", f"{stack}_blocks.{n}", stack)
    aliases = {f"{stack}.embed_tokens.weight": "shared.weight" for stack in ("encoder", "decoder")}
    if config.tie_embeddings:
        aliases["lm_head.weight"] = "shared.weight"
    else:
        names["lm_head"] = "output"
    links = [Link(f"{theirs}.weight", (f"{ours}.weight",)) for theirs, ours in names.items()]
    # A bias of the cross-attention that the first files held and no code read.
    unread = ("layer.1.EncDecAttention.relative_attention_bias.weight",)
    return (Layout(links, aliases, skipped=unread),)


def _block_names(config: T5Config, theirs: str, ours: str, stack: str) -> dict[str, str]:
    parts = [("SelfAttention", "attention", ATTENTION, "attention_norm")]
    if stack == "decoder":
        parts.append(("EncDecAttention", "cross_attention", ATTENTION, "cross_norm"))
    layers = GATED if config.gated else PLAIN
    parts.append(("DenseReluDense", "feedforward", layers, "feedforward_norm"))
    names = {}
    for number, (module, our_module, inner, norm) in enumerate(parts):
        names[f"{theirs}.{number}.layer_norm"] = f"{ours}.{norm}"
        for a, b in inner.items():
            names[f"{theirs}.{number}.{module}.{a}"] = f"{ours}.{our_module}.{b}"
    return names


T5_FAMILY = Family(
    architecture="T5ForConditionalGeneration",
    model_type="t5",
    model=T5,
    defaults=DEFAULTS,
    read_config=read_config,
    write_config=write_config,
    layouts=layouts,
)

"""GPT-2 of transformers and :class:`llmlib.models.GPT`.

Their attention keeps query, key and value in one matrix ``c_attn``, and all their layers are
``Conv1D``: a linear layer whose matrix lies transposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from llmlib.interop.family import Family
from llmlib.interop.fields import Fields
from llmlib.interop.tensors import Layout, Link
from llmlib.models import GPT, GPTConfig

__all__ = ["GPT2"]

# Several of their names mean one function; the first of each is the one written.
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
DEFAULTS = {
    "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12,
    "n_inner": None, "activation_function": "gelu_new", "resid_pdrop": 0.1, "embd_pdrop": 0.1,
    "attn_pdrop": 0.1, "layer_norm_epsilon": 1e-5, "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False, "reorder_and_upcast_attn": False,
    "add_cross_attention": False, "tie_word_embeddings": True, "is_encoder_decoder": False,
}  # fmt: skip
# Heads for classification, and the old name of n_positions.
SKIPPED = (
    "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels",
    "summary_first_dropout", "n_ctx",
)  # fmt: skip


def read_config(fields: Fields, theirs: Mapping[str, Tensor]) -> GPTConfig:
    fields.demand("scale_attn_weights", True)
    fields.demand("scale_attn_by_inverse_layer_idx", False)
    fields.demand("reorder_and_upcast_attn", False)
    fields.demand("add_cross_attention", False)
    fields.demand("is_encoder_decoder", False)
    fields.skip(SKIPPED)
    return GPTConfig(
        vocab_size=fields.take("vocab_size"),
        context_length=fields.take("n_positions"),
        dim=fields.take("n_embd"),
        num_layers=fields.take("n_layer"),
        num_heads=fields.take("n_head"),
        hidden_dim=fields.take("n_inner"),
        activation=fields.translate("activation_function", ACTIVATIONS),
        norm_eps=fields.take("layer_norm_epsilon"),
        dropout=fields.same("resid_pdrop", "embd_pdrop", "attn_pdrop"),
        tie_embeddings=fields.take("tie_word_embeddings"),
    )


def write_config(config: GPTConfig) -> dict[str, Any]:
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.dim,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_inner": config.hidden_dim,
        "activation_function": names[config.activation],
        "layer_norm_epsilon": config.norm_eps,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "tie_word_embeddings": config.tie_embeddings,
    }


def layouts(config: GPTConfig) -> tuple[Layout]:
    links = [
        Link("transformer.wte.weight", ("token_embedding.weight",)),
        Link("transformer.wpe.weight", ("position_embedding.weight",)),
    ]
    for n in range(config.num_layers):
        links += _block_links(f"transformer.h.{n}", f"blocks.{n}")
    links += [Link(f"transformer.ln_f.{part}", (f"norm.{part}",)) for part in ("weight", "bias")]
    if not config.tie_embeddings:
        links.append(Link("lm_head.weight", ("output.weight",)))
    aliases = {"lm_head.weight": "transformer.wte.weight"} if config.tie_embeddings else {}
    masks = (".attn.bias", ".attn.masked_bias")  # causal masks that old files store
    return (Layout(links, aliases, skipped=masks, prefix="transformer."),)


def _block_links(theirs: str, ours: str) -> list[Link]:
    links = []
    for part in ("weight", "bias"):
        matrix = part == "weight"
        heads = tuple(f"{ours}.attention.{name}_proj.{part}" for name in "qkv")
        links += [
            Link(f"{theirs}.ln_1.{part}", (f"{ours}.attention_norm.{part}",)),
            Link(f"{theirs}.attn.c_attn.{part}", heads, transposed=matrix),
            Link(
                f"{theirs}.attn.c_proj.{part}",
                (f"{ours}.attention.out_proj.{part}",),
                transposed=matrix,
            ),
            Link(f"{theirs}.ln_2.{part}", (f"{ours}.feedforward_norm.{part}",)),
            Link(
                f"{theirs}.mlp.c_fc.{part}",
                (f"{ours}.feedforward.up_proj.{part}",),
                transposed=matrix,
            ),
            Link(
                f"{theirs}.mlp.c_proj.{part}",
                (f"{ours}.feedforward.down_proj.{part}",),
                transposed=matrix,
            ),
        ]
    return links


GPT2 = Family(
    architecture="GPT2LMHeadModel",
    model_type="gpt2",
    model=GPT,
    defaults=DEFAULTS,
    read_config=read_config,
    write_config=write_config,
    layouts=layouts,
)

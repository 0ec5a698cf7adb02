"""BERT of transformers and :class:`llmlib.models.Bert`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from llmlib.interop.family import Family
from llmlib.interop.fields import Fields
from llmlib.interop.gpt2 import ACTIVATIONS
from llmlib.interop.tensors import Layout, Link
from llmlib.models import Bert, BertConfig

__all__ = ["BERT_ENCODER", "BERT_FAMILIES", "BERT_MASKED", "BERT_PRETRAINING", "bert_family"]

DEFAULTS = {
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "type_vocab_size": 2,
    "layer_norm_eps": 1e-12, "pad_token_id": 0, "is_decoder": False, "add_cross_attention": False,
    "tie_word_embeddings": True, "is_encoder_decoder": False,
}  # fmt: skip


def read_config(
    fields: Fields, theirs: Mapping[str, Tensor], *, masked_tokens: bool = True
) -> BertConfig:
    fields.demand("is_decoder", False)
    fields.demand("is_encoder_decoder", False)
    fields.demand("add_cross_attention", False)
    fields.demand("tie_word_embeddings", True)
    if "position_embedding_type" in fields.given:  # in older files
        fields.demand("position_embedding_type", "absolute")
    return BertConfig(
        vocab_size=fields.take("vocab_size"),
        context_length=fields.take("max_position_embeddings"),
        dim=fields.take("hidden_size"),
        num_layers=fields.take("num_hidden_layers"),
        num_heads=fields.take("num_attention_heads"),
        hidden_dim=fields.take("intermediate_size"),
        num_segments=fields.take("type_vocab_size"),
        activation=fields.translate("hidden_act", ACTIVATIONS),
        norm_eps=fields.take("layer_norm_eps"),
        dropout=fields.same("hidden_dropout_prob", "attention_probs_dropout_prob"),
        # Published files of BertForMaskedLM often hold the second head as well.
        masked_tokens=masked_tokens,
        next_sentence="cls.seq_relationship.weight" in theirs,
        padding_id=fields.take("pad_token_id"),
    )


def write_config(config: BertConfig) -> dict[str, Any]:
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.hidden_dim or 4 * config.dim,
        "type_vocab_size": config.num_segments,
        "hidden_act": names[config.activation],
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "pad_token_id": config.padding_id,
    }


# Their module to ours; each has a weight and a bias.
EMBEDDINGS = {
    "bert.embeddings.word_embeddings.weight": "token_embedding.weight",
    "bert.embeddings.position_embeddings.weight": "position_embedding.weight",
    "bert.embeddings.token_type_embeddings.weight": "segment_embedding.weight",
    "cls.predictions.bias": "output_bias",
}
BLOCK = {
    "attention.self.query": "attention.q_proj",
    "attention.self.key": "attention.k_proj",
    "attention.self.value": "attention.v_proj",
    "attention.output.dense": "attention.out_proj",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feedforward.up_proj",
    "output.dense": "feedforward.down_proj",
    "output.LayerNorm": "feedforward_norm",
}
HEADS = {
    "bert.embeddings.LayerNorm": "embedding_norm",
    "cls.predictions.transform.dense": "transform.0",
    "cls.predictions.transform.LayerNorm": "transform.2",
}
NEXT_SENTENCE = {"bert.pooler.dense": "pooler", "cls.seq_relationship": "next_sentence_head"}


def layouts(config: BertConfig) -> tuple[Layout]:
    modules = HEADS | (NEXT_SENTENCE if config.next_sentence else {})
    for n in range(config.num_layers):
        modules |= {f"bert.encoder.layer.{n}.{a}": f"blocks.{n}.{b}" for a, b in BLOCK.items()}
    names = EMBEDDINGS | {
        f"{theirs}.{part}": f"{ours}.{part}"
        for theirs, ours in modules.items()
        for part in ("weight", "bias")
    }
    layout = Layout(
        links=[Link(theirs, (ours,)) for theirs, ours in names.items()],
        aliases={
            "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        skipped=("embeddings.position_ids",),
        old_endings={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
    )
    return (layout,)


def _family(architecture: str) -> Family:
    return Family(
        architecture=architecture,
        model_type="bert",
        model=Bert,
        defaults=DEFAULTS,
        read_config=read_config,
        write_config=write_config,
        layouts=layouts,
    )


BODY = "bert."


def encoder_layouts(config: BertConfig) -> tuple[Layout]:
    """The body alone: names without ``bert.``, no heads, and the pooler."""
    (whole,) = layouts(config)
    links = [
        Link(link.theirs.removeprefix(BODY), link.ours)
        for link in whole.links
        if link.theirs.startswith(BODY)
    ]
    links += [Link(f"pooler.dense.{part}", (f"pooler.{part}",)) for part in ("weight", "bias")]
    return (Layout(links=links, skipped=whole.skipped, old_endings=whole.old_endings),)


BERT_PRETRAINING = _family("BertForPreTraining")
BERT_MASKED = _family("BertForMaskedLM")
BERT_ENCODER = replace(
    _family("BertModel"),
    read_config=partial(read_config, masked_tokens=False),
    layouts=encoder_layouts,
)
BERT_FAMILIES = (BERT_PRETRAINING, BERT_MASKED, BERT_ENCODER)


def bert_family(config: BertConfig) -> Family:
    """With both heads, with that for hidden tokens only, or with none."""
    if not config.masked_tokens:
        return BERT_ENCODER
    return BERT_PRETRAINING if config.next_sentence else BERT_MASKED

"""Llama, Mistral, Mixtral, Qwen 2 and Qwen 3 of transformers and :class:`llmlib.models.Llama`.

The five differ in a few fields each, so one reader and one writer serve all. Mixtral's experts
lie stacked in memory and one by one, under older names, on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from llmlib.interop.family import Family
from llmlib.interop.fields import Fields
from llmlib.interop.tensors import Layout, Link
from llmlib.models import ExpertsConfig, Llama, LlamaConfig
from llmlib.models.llama import hidden_dim
from llmlib.nn import LinearRopeScaling, Llama3RopeScaling

__all__ = ["LLAMA", "LLAMA_FAMILIES", "MISTRAL", "MIXTRAL", "QWEN2", "QWEN3", "llama_family"]

COMMON = {
    "vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": None, "head_dim": None, "hidden_act": "silu", "rms_norm_eps": 1e-6,
    "pad_token_id": None, "tie_word_embeddings": False, "rope_parameters": None,
    "rope_scaling": None, "attention_dropout": 0.0, "is_encoder_decoder": False,
}  # fmt: skip
LLAMA_DEFAULTS = COMMON | {
    "intermediate_size": 11008, "max_position_embeddings": 2048, "rope_theta": 10_000.0,
    "attention_bias": False, "mlp_bias": False, "pretraining_tp": 1,
}  # fmt: skip
MISTRAL_DEFAULTS = COMMON | {
    "intermediate_size": 14336, "max_position_embeddings": 131072, "rope_theta": 10_000.0,
    "num_key_value_heads": 8, "sliding_window": 4096,
}  # fmt: skip
MIXTRAL_DEFAULTS = MISTRAL_DEFAULTS | {
    "rms_norm_eps": 1e-5, "rope_theta": 1e6, "sliding_window": None, "num_experts_per_tok": 2,
    "num_local_experts": 8, "output_router_logits": False, "router_aux_loss_coef": 0.001,
    "router_jitter_noise": 0.0,
}  # fmt: skip
QWEN2_DEFAULTS = COMMON | {
    "vocab_size": 151936, "intermediate_size": 22016, "max_position_embeddings": 32768,
    "rope_theta": 10_000.0, "num_key_value_heads": 32, "use_sliding_window": False,
    "sliding_window": 4096, "max_window_layers": 28, "layer_types": None,
}  # fmt: skip
QWEN3_DEFAULTS = QWEN2_DEFAULTS | {"head_dim": 128, "attention_bias": False}


def _read_common(fields: Fields, **variant: Any) -> LlamaConfig:
    fields.demand("hidden_act", "silu", "swish")
    fields.demand("attention_dropout", 0.0)
    fields.demand("is_encoder_decoder", False)
    base, scaling = _read_rope(fields)
    return LlamaConfig(
        vocab_size=fields.take("vocab_size"),
        context_length=fields.take("max_position_embeddings"),
        dim=fields.take("hidden_size"),
        num_layers=fields.take("num_hidden_layers"),
        num_heads=fields.take("num_attention_heads"),
        num_kv_heads=fields.take("num_key_value_heads"),
        head_dim=fields.take("head_dim"),
        hidden_dim=fields.take("intermediate_size"),
        norm_eps=fields.take("rms_norm_eps"),
        rope_base=base,
        rope_scaling=scaling,
        tie_embeddings=fields.take("tie_word_embeddings"),
        padding_id=fields.take("pad_token_id"),
        **variant,
    )


def _read_rope(fields: Fields) -> tuple[float, LinearRopeScaling | Llama3RopeScaling | None]:
    """Base and scaling, which newer configs keep in one field and older ones in two."""
    base = fields.take("rope_theta")
    scaling = fields.take("rope_scaling")
    newer = fields.take("rope_parameters")
    given = dict(newer or scaling or {})
    base = given.pop("rope_theta", base)
    kind = given.pop("rope_type", given.pop("type", "default"))
    given.pop("type", None)
    within = Fields(given, {})
    if kind == "default":
        made = None
    elif kind == "linear":
        made = LinearRopeScaling(factor=within.take("factor"))
    elif kind == "llama3":
        made = Llama3RopeScaling(
            factor=within.take("factor"),
            low_freq_factor=within.take("low_freq_factor"),
            high_freq_factor=within.take("high_freq_factor"),
            original_context=within.take("original_max_position_embeddings"),
        )
    else:
        raise ValueError(
            f"config field rope_type={kind!r} is not supported: llmlib has 'default', 'linear' and "
            "'llama3'"
        )
    within.finish()
    return base, made


def _read_llama(fields: Fields, theirs: Mapping[str, Tensor]) -> LlamaConfig:
    fields.demand("mlp_bias", False)
    fields.demand("pretraining_tp", 1)
    return _read_common(fields, attention_bias="all" if fields.take("attention_bias") else "none")


def _read_mistral(fields: Fields, theirs: Mapping[str, Tensor]) -> LlamaConfig:
    return _read_common(fields, window=fields.take("sliding_window"))


def _read_mixtral(fields: Fields, theirs: Mapping[str, Tensor]) -> LlamaConfig:
    fields.demand("router_jitter_noise", 0.0)
    weight = fields.take("router_aux_loss_coef")
    experts = ExpertsConfig(
        count=fields.take("num_local_experts"),
        top_k=fields.take("num_experts_per_tok"),
        # Their loss leaves the balance out unless the router's logits are asked for.
        balance_weight=weight if fields.take("output_router_logits") else 0.0,
    )
    return _read_common(fields, window=fields.take("sliding_window"), experts=experts)


def _read_qwen2(fields: Fields, theirs: Mapping[str, Tensor]) -> LlamaConfig:
    return _read_common(fields, attention_bias="qkv", window=_read_qwen_window(fields))


def _read_qwen3(fields: Fields, theirs: Mapping[str, Tensor]) -> LlamaConfig:
    bias = "all" if fields.take("attention_bias") else "none"
    window = _read_qwen_window(fields)
    return _read_common(fields, attention_bias=bias, qk_norm=True, window=window)


def _read_qwen_window(fields: Fields) -> int | None:
    used, window = fields.take("use_sliding_window"), fields.take("sliding_window")
    first, layers = fields.take("max_window_layers"), fields.take("num_hidden_layers")
    kinds = fields.take("layer_types")
    if kinds is None:
        windowed = used and window is not None
        kinds = ["sliding_attention" if windowed and n >= first else "full" for n in range(layers)]
    sliding = [kind == "sliding_attention" for kind in kinds]
    if any(sliding) and not all(sliding):
        raise ValueError(
            f"config field max_window_layers={first} gives a window to {sum(sliding)} of {layers} "
            "layers, which is not supported: llmlib has a window in all layers or in none"
        )
    return window if any(sliding) else None


def _write_common(config: LlamaConfig) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_theta": config.rope_base, "rope_type": "default"}
    match config.rope_scaling:
        case None:
            pass
        case LinearRopeScaling(factor=factor):
            rope |= {"rope_type": "linear", "factor": factor}
        case Llama3RopeScaling() as scaling:
            rope |= {
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_context,
            }
        case other:
            raise ValueError(
                f"rope_scaling={other!r} has no counterpart in transformers: use LinearRopeScaling "
                "or Llama3RopeScaling"
            )
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads or config.num_heads,
        "head_dim": config.head_dim or config.dim // config.num_heads,
        "intermediate_size": hidden_dim(config),
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": rope,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tie_embeddings,
        "pad_token_id": config.padding_id,
    }


def _write_llama(config: LlamaConfig) -> dict[str, Any]:
    return _write_common(config) | {"attention_bias": config.attention_bias == "all"}


def _write_mistral(config: LlamaConfig) -> dict[str, Any]:
    return _write_common(config) | {"sliding_window": config.window}


def _write_mixtral(config: LlamaConfig) -> dict[str, Any]:
    return _write_mistral(config) | {
        "num_local_experts": config.experts.count,
        "num_experts_per_tok": config.experts.top_k,
        "output_router_logits": config.experts.balance_weight > 0,
        "router_aux_loss_coef": config.experts.balance_weight,
    }


def _write_qwen(config: LlamaConfig) -> dict[str, Any]:
    kind = "full_attention" if config.window is None else "sliding_attention"
    return _write_common(config) | {
        "use_sliding_window": config.window is not None,
        "sliding_window": config.window,
        "max_window_layers": config.num_layers if config.window is None else 0,
        "layer_types": [kind] * config.num_layers,
    }


def _write_qwen3(config: LlamaConfig) -> dict[str, Any]:
    return _write_qwen(config) | {"attention_bias": config.attention_bias == "all"}


def layouts(config: LlamaConfig) -> tuple[Layout, ...]:
    if config.experts is None:
        return (_layout(config, _dense_links),)
    return (_layout(config, _stacked_expert_links), _layout(config, _single_expert_links))


def _layout(config: LlamaConfig, feedforward_links) -> Layout:
    links = [
        Link("model.embed_tokens.weight", ("token_embedding.weight",)),
        Link("model.norm.weight", ("norm.weight",)),
    ]
    for n in range(config.num_layers):
        theirs, ours = f"model.layers.{n}", f"blocks.{n}"
        links += [
            Link(f"{theirs}.input_layernorm.weight", (f"{ours}.attention_norm.weight",)),
            Link(f"{theirs}.post_attention_layernorm.weight", (f"{ours}.feedforward_norm.weight",)),
        ]
        for name, short in (("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v"), ("out_proj", "o")):
            biased = config.attention_bias == "all" or (
                config.attention_bias == "qkv" and short != "o"
            )
            for part in ("weight", "bias") if biased else ("weight",):
                source = f"{theirs}.self_attn.{short}_proj.{part}"
                links.append(Link(source, (f"{ours}.attention.{name}.{part}",)))
        if config.qk_norm:
            links += [
                Link(f"{theirs}.self_attn.q_norm.weight", (f"{ours}.attention.query_norm.weight",)),
                Link(f"{theirs}.self_attn.k_norm.weight", (f"{ours}.attention.key_norm.weight",)),
            ]
        links += feedforward_links(config, theirs, f"{ours}.feedforward")
    if not config.tie_embeddings:
        links.append(Link("lm_head.weight", ("output.weight",)))
    aliases = {"lm_head.weight": "model.embed_tokens.weight"} if config.tie_embeddings else {}
    # Old files store the rotary frequencies, which the config gives.
    return Layout(links, aliases, skipped=(".rotary_emb.inv_freq",), prefix="model.")


def _dense_links(config: LlamaConfig, theirs: str, ours: str) -> list[Link]:
    names = ("gate_proj", "up_proj", "down_proj")
    return [Link(f"{theirs}.mlp.{name}.weight", (f"{ours}.{name}.weight",)) for name in names]


def _stacked_expert_links(config: LlamaConfig, theirs: str, ours: str) -> list[Link]:
    count = config.experts.count
    experts = [f"{ours}.experts.{e}" for e in range(count)]
    gates_and_ups = [f"{e}.{name}.weight" for e in experts for name in ("gate_proj", "up_proj")]
    downs = [f"{e}.down_proj.weight" for e in experts]
    return [
        Link(f"{theirs}.mlp.gate.weight", (f"{ours}.router.weight",)),
        Link(f"{theirs}.mlp.experts.gate_up_proj", tuple(gates_and_ups), stacked=count),
        Link(f"{theirs}.mlp.experts.down_proj", tuple(downs), stacked=count),
    ]


def _single_expert_links(config: LlamaConfig, theirs: str, ours: str) -> list[Link]:
    links = [Link(f"{theirs}.block_sparse_moe.gate.weight", (f"{ours}.router.weight",))]
    for e in range(config.experts.count):
        for old, name in (("w1", "gate_proj"), ("w2", "down_proj"), ("w3", "up_proj")):
            source = f"{theirs}.block_sparse_moe.experts.{e}.{old}.weight"
            links.append(Link(source, (f"{ours}.experts.{e}.{name}.weight",)))
    return links


def _family(name: str, model_type: str, defaults, read_config, write_config) -> Family:
    return Family(
        architecture=f"{name}ForCausalLM",
        model_type=model_type,
        model=Llama,
        defaults=defaults,
        read_config=read_config,
        write_config=write_config,
        layouts=layouts,
    )


LLAMA = _family("Llama", "llama", LLAMA_DEFAULTS, _read_llama, _write_llama)
MISTRAL = _family("Mistral", "mistral", MISTRAL_DEFAULTS, _read_mistral, _write_mistral)
MIXTRAL = _family("Mixtral", "mixtral", MIXTRAL_DEFAULTS, _read_mixtral, _write_mixtral)
QWEN2 = _family("Qwen2", "qwen2", QWEN2_DEFAULTS, _read_qwen2, _write_qwen)
QWEN3 = _family("Qwen3", "qwen3", QWEN3_DEFAULTS, _read_qwen3, _write_qwen3)
LLAMA_FAMILIES = (LLAMA, MISTRAL, MIXTRAL, QWEN2, QWEN3)


def llama_family(config: LlamaConfig) -> Family:
    """The architecture of transformers that has all that a config sets."""
    if config.experts is not None:
        family, unfit = MIXTRAL, config.qk_norm or config.attention_bias != "none"
    elif config.qk_norm:
        family, unfit = QWEN3, config.attention_bias == "qkv"
    elif config.attention_bias == "qkv":
        family, unfit = QWEN2, False
    elif config.window is not None:
        family, unfit = MISTRAL, config.attention_bias != "none"
    else:
        family, unfit = LLAMA, False
    if unfit:
        raise ValueError(
            f"no architecture of transformers combines experts={config.experts}, qk_norm="
            f"{config.qk_norm}, attention_bias={config.attention_bias!r} and window="
            f"{config.window}: it cannot be written for them"
        )
    return family

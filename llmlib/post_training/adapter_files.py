"""Adapters as files, in the format of peft.

A folder holds two files:

=============================  ============================================================
``adapter_config.json``        rank, alpha, which layers, which variant
``adapter_model.safetensors``  ``base_model.model.LAYER.lora_A.weight`` ``(r, in)``,
                               ``….lora_B.weight`` ``(out, r)`` and, for DoRA,
                               ``….lora_magnitude_vector`` ``(out,)``; for trained rows of
                               the embedding ``….token_adapter.trainable_tokens_delta``
=============================  ============================================================

The layer is named as in the model that the adapter belongs to. An adapter of one of our models can
be written for the model of transformers that has the same weights: :func:`transformers_names` says
how the layers are called there.

References
----------
1. The peft library, *Checkpoint format*, in its developer guides.

**Differs from peft in** what is read: LoRA, rsLoRA and DoRA on linear layers with one rank for
all, and trained rows of our models' token embedding. A config that asks for anything else is
refused by the name of the field.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llmlib.interop.convert import family_of
from llmlib.nn import TokenEmbedding
from llmlib.post_training.adapter import adapters
from llmlib.post_training.dora import DoRALinear
from llmlib.post_training.lora import (
    LoRALinear,
    apply_lora,
    lora_layers,
    lora_scale,
    rank_stabilized_scale,
)
from llmlib.post_training.token_rows import TokenRows, train_token_rows

__all__ = ["load_adapter", "save_adapter", "set_adapter", "take_adapter", "transformers_names"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
#: Fields that change no output, or that are read here.
READ = {
    "peft_type", "r", "lora_alpha", "lora_dropout", "target_modules", "trainable_token_indices",
    "use_dora", "use_rslora",
}  # fmt: skip
NEUTRAL = {
    "auto_mapping", "base_model_name_or_path", "inference_mode", "init_lora_weights",
    "megatron_core", "peft_version", "qalora_group_size", "revision", "task_type",
}  # fmt: skip


def take_adapter(model: nn.Module) -> dict[str, Tensor]:
    """Copies of what the adapters of a model have learned, by layer and name.

    Examples
    --------
    >>> model = apply_lora(nn.Sequential(nn.Linear(6, 4)), rank=2, alpha=4, targets=["0"])
    >>> {name: tuple(tensor.shape) for name, tensor in take_adapter(model).items()}
    {'0.lora_A.weight': (2, 6), '0.lora_B.weight': (4, 2)}
    """
    return {
        f"{name}.{key}": parameter.detach().clone()
        for name, layer in adapters(model)
        for key, parameter in layer.adapter().items()
    }


@torch.no_grad()
def set_adapter(model: nn.Module, adapter: Mapping[str, Tensor]) -> nn.Module:
    """Give the adapters of a model other numbers; one base so serves several tasks in turn.

    Parameters
    ----------
    model : torch.nn.Module
        With adapters of the same shapes.
    adapter : mapping
        From :func:`take_adapter`.

    Raises
    ------
    ValueError
        A tensor is missing, unknown or of another shape; all are named.
    """
    own = {
        f"{name}.{key}": parameter
        for name, layer in adapters(model)
        for key, parameter in layer.adapter().items()
    }
    problems = [f"missing {name}" for name in own if name not in adapter]
    problems += [f"unknown {name}" for name in adapter if name not in own]
    problems += [
        f"{name} has shape {tuple(adapter[name].shape)} instead of {tuple(parameter.shape)}"
        for name, parameter in own.items()
        if name in adapter and adapter[name].shape != parameter.shape
    ]
    if problems:
        raise ValueError(
            f"the adapter does not fit the model: {'; '.join(problems[:5])}. Apply LoRA with the "
            "rank and the targets that it was trained with"
        )
    for name, parameter in own.items():
        parameter.copy_(adapter[name])
    return model


def save_adapter(
    model: nn.Module,
    path: str | Path,
    *,
    names: Mapping[str, str] | None = None,
    base: str | None = None,
) -> None:
    """Write the adapters of a model into a folder that ``peft.PeftModel.from_pretrained`` opens.

    Parameters
    ----------
    model : torch.nn.Module
        With adapters.
    path : str or Path
        The folder; made if it is missing.
    names : mapping, optional
        Our name of a layer to the name in the file, from :func:`transformers_names`; the same when
        left out.
    base : str, optional
        Where the base model lies, for whoever opens the folder.

    Raises
    ------
    ValueError
        There is no adapter, or they differ in rank, alpha or kind: the format has one for all.

    Examples
    --------
    >>> import tempfile
    >>> def new_model():
    ...     torch.manual_seed(0)
    ...     return nn.Sequential(nn.Linear(6, 4))
    >>> model = apply_lora(new_model(), rank=2, alpha=4, targets=["0"])
    >>> _ = nn.init.ones_(model[0].lora_B)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_adapter(model, folder)
    ...     again = load_adapter(new_model(), folder)
    >>> torch.equal(again[0].weight, model[0].weight)
    True
    """
    adapted = dict(lora_layers(model))
    if not adapted:
        raise ValueError("the model has no adapter: call apply_lora first")
    renamed = _renamed(model, names)
    tensors = {
        f"{PREFIX}{renamed[name]}.{key}": parameter.detach().contiguous()
        for name, layer in adapters(model)
        for key, parameter in layer.adapter().items()
    }
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    fields = _common_fields(adapted) | {
        "base_model_name_or_path": base,
        "target_modules": _target_modules(renamed, adapted),
        "trainable_token_indices": {
            renamed[name].rpartition(".")[2]: rows.tokens.tolist()
            for name, rows in adapters(model)
            if isinstance(rows, TokenRows)
        }
        or None,
    }
    text = json.dumps(fields, indent=2, sort_keys=True)
    (path / CONFIG).write_text(text + "\n", encoding="utf-8")
    save_file(tensors, path / WEIGHTS, metadata={"format": "pt"})


def load_adapter(
    model: nn.Module, path: str | Path, *, names: Mapping[str, str] | None = None
) -> nn.Module:
    """Put the adapters of a folder onto a model, as :func:`apply_lora` does.

    Parameters
    ----------
    model : torch.nn.Module
        The base; changed in place.
    path : str or Path
        A folder that :func:`save_adapter` or peft wrote.
    names : mapping, optional
        As for :func:`save_adapter`.

    Returns
    -------
    torch.nn.Module
        The model.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        The config asks for something else than LoRA, rsLoRA or DoRA; or it names layers that the
        model has not.
    """
    path = Path(path)
    for file in (CONFIG, WEIGHTS):
        if not (path / file).is_file():
            raise FileNotFoundError(f"{path} has no {file}: give the folder of an adapter")
    fields = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    _check_fields(fields)
    ours = {theirs: name for name, theirs in _renamed(model, names).items()}
    adapter, layers = {}, set()
    for key, tensor in load_file(path / WEIGHTS).items():
        layer, part = _split(key.removeprefix(PREFIX))
        if layer not in ours:
            raise ValueError(
                f"the adapter has {layer}, which is no layer of this model that can be adapted: "
                "give the model it was trained on, or names=transformers_names(model)"
            )
        adapter[f"{ours[layer]}.{part}"] = tensor
        if part.startswith("lora_"):
            layers.add(ours[layer])
    kind = DoRALinear if fields.get("use_dora") else LoRALinear
    dropout = fields.get("lora_dropout", 0.0)
    apply_lora(
        model,
        fields["r"],
        fields["lora_alpha"],
        sorted(layers),
        layer=functools.partial(kind, dropout=dropout) if dropout else kind,
        scale=rank_stabilized_scale if fields.get("use_rslora") else lora_scale,
    )
    for tokens in (fields.get("trainable_token_indices") or {}).values():
        train_token_rows(model, tokens)
    return set_adapter(model, adapter)


def transformers_names(model: nn.Module) -> dict[str, str]:
    """Our name of every layer to its name in the model of transformers that is its counterpart.

    A layer that transformers packs with others or transposes (GPT-2's) is not among them.

    Parameters
    ----------
    model : torch.nn.Module
        One that :func:`llmlib.interop.to_transformers` takes, with adapters or without.

    Examples
    --------
    >>> from llmlib.models import Llama, LlamaConfig
    >>> sizes = {"vocab_size": 8, "context_length": 8, "dim": 8, "num_layers": 1, "num_heads": 1}
    >>> transformers_names(Llama(LlamaConfig(**sizes)))["blocks.0.attention.out_proj"]
    'model.layers.0.self_attn.o_proj'
    """
    links = family_of(model).layouts(model.config)[0].links
    return {
        link.ours[0].removesuffix(".weight"): link.theirs.removesuffix(".weight")
        for link in links
        if len(link.ours) == 1
        and link.ours[0].endswith(".weight")
        and not link.transposed
        and not link.stacked
    }


def _split(key: str) -> tuple[str, str]:
    """Layer, and which of its tensors."""
    for start in (".lora_", ".token_adapter."):
        layer, dot, part = key.rpartition(start)
        if dot:
            return layer, start[1:] + part
    raise ValueError(f"tensor {key} is of no adapter that llmlib knows: LoRA, DoRA, token rows")


def _adaptable(model: nn.Module) -> list[str]:
    """Linear layers and token embeddings, an adapted one under the name that it had before."""
    adapted = [name for name, _ in adapters(model)]
    inside = {f"{name}.base" for name in adapted}
    plain = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | TokenEmbedding) and name not in inside
    ]
    return [*adapted, *plain]


def _renamed(model: nn.Module, names: Mapping[str, str] | None) -> dict[str, str]:
    """Our name of every layer that can be adapted to that in the file."""
    own = _adaptable(model)
    if names is None:
        return {name: name for name in own}
    missing = sorted({name for name, _ in adapters(model)} - set(names))
    if missing:
        raise ValueError(
            f"no other name is given for {', '.join(missing[:5])}: their library keeps these "
            "weights in another form; save the adapter without names"
        )
    return {name: names[name] for name in own if name in names}


def _target_modules(renamed: Mapping[str, str], adapted: Mapping[str, LoRALinear]) -> list[str]:
    """Last parts of the names where they say enough, else the whole names."""
    wanted = {renamed[name] for name in adapted}
    endings = {name.rpartition(".")[2] for name in wanted}
    reached = {name for name in renamed.values() if name.rpartition(".")[2] in endings}
    return sorted(endings if reached == wanted else wanted)


def _common_fields(adapted: Mapping[str, LoRALinear]) -> dict[str, Any]:
    kinds = {
        (layer.rank, layer.alpha, layer.dropout, layer.scale_rule, type(layer))
        for layer in adapted.values()
    }
    if len(kinds) > 1:
        raise ValueError(
            f"the adapters are of {len(kinds)} kinds, but the format has one rank, alpha, dropout "
            "and variant for all: apply LoRA in one call"
        )
    ((rank, alpha, dropout, rule, kind),) = kinds
    if rule not in (lora_scale, rank_stabilized_scale):
        raise ValueError(
            f"the scale {rule.__name__} has no name in the format: use lora_scale with "
            f"alpha={rule(alpha, rank) * rank:g}, which is the same"
        )
    return {
        "peft_type": "LORA",
        "task_type": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": rule is rank_stabilized_scale,
        **kind.peft_fields,
    }


def _check_fields(fields: Mapping[str, Any]) -> None:
    if fields.get("peft_type") != "LORA":
        raise ValueError(
            f"peft_type={fields.get('peft_type')!r} is not supported: llmlib reads 'LORA'"
        )
    for name, value in fields.items():
        if name in READ | NEUTRAL or not value or (name, value) == ("bias", "none"):
            continue
        raise ValueError(
            f"config field {name}={value!r} is not supported: llmlib reads LoRA, rsLoRA and DoRA "
            "on linear layers with one rank"
        )

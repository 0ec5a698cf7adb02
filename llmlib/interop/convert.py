"""Models of transformers to models of ours and back, in memory."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from torch import nn

from llmlib.interop.bert import BERT_FAMILIES, bert_family
from llmlib.interop.family import Family
from llmlib.interop.gpt2 import GPT2
from llmlib.interop.llama import LLAMA_FAMILIES, llama_family
from llmlib.interop.marian import MARIAN
from llmlib.interop.t5 import T5_FAMILY
from llmlib.interop.tensors import Layout
from llmlib.models import GPT, T5, Bert, Llama, Transformer

__all__ = ["family_of", "family_of_fields", "from_transformers", "to_transformers"]

FAMILIES: tuple[Family, ...] = (GPT2, *LLAMA_FAMILIES, *BERT_FAMILIES, T5_FAMILY, MARIAN)


def from_transformers(hf_model: nn.Module) -> nn.Module:
    """Our model with the config and a copy of the weights of theirs.

    Parameters
    ----------
    hf_model : transformers.PreTrainedModel
        A ``GPT2LMHeadModel``; a ``LlamaForCausalLM``, ``MistralForCausalLM``,
        ``MixtralForCausalLM``, ``Qwen2ForCausalLM`` or ``Qwen3ForCausalLM``; a
        ``BertForPreTraining``, ``BertForMaskedLM`` or ``BertModel``; a
        ``T5ForConditionalGeneration``; or a ``MarianMTModel``.

    Returns
    -------
    torch.nn.Module
        A :class:`~llmlib.models.GPT`, :class:`~llmlib.models.Llama`,
        :class:`~llmlib.models.Bert`, :class:`~llmlib.models.T5` or
        :class:`~llmlib.models.Transformer` with equal logits, in the mode (training or
        evaluation) of theirs.

    Raises
    ------
    ValueError
        The architecture, or a config field that changes the computation, is not supported; the
        message names it.

    Examples
    --------
    >>> import torch, transformers
    >>> config = transformers.GPT2Config(
    ...     vocab_size=32, n_positions=8, n_embd=16, n_layer=1, n_head=2,
    ...     bos_token_id=0, eos_token_id=0)
    >>> theirs = transformers.GPT2LMHeadModel(config).eval()
    >>> ids = torch.tensor([[3, 1, 4, 1, 5]])
    >>> torch.allclose(from_transformers(theirs)(ids), theirs(ids).logits, atol=1e-5)
    True
    """
    architecture = type(hf_model).__name__
    family = _by_architecture(architecture)
    model = family.build(hf_model.config.to_dict(), hf_model.state_dict())
    device = next(hf_model.parameters()).device
    return model.to(device).train(hf_model.training)


def to_transformers(model: nn.Module, **token_ids: int | None) -> nn.Module:
    """Their model with the config and a copy of the weights of ours.

    Parameters
    ----------
    model : torch.nn.Module
        One of those that :func:`from_transformers` gives.
    **token_ids
        ``bos_token_id``, ``eos_token_id``, ``pad_token_id``: what their ``generate`` should know.

    Returns
    -------
    transformers.PreTrainedModel
        With equal logits, in the mode of ours.

    Raises
    ------
    ImportError
        transformers is not installed; it comes with the extra ``ecosystem``.

    Examples
    --------
    >>> from llmlib.models import GPTConfig
    >>> ours = GPT(GPTConfig(vocab_size=32, context_length=8, dim=16, num_layers=1, num_heads=2))
    >>> theirs = to_transformers(ours.eval(), eos_token_id=0)
    >>> type(theirs).__name__, theirs.config.n_embd
    ('GPT2LMHeadModel', 16)
    """
    family = family_of(model)
    transformers = _transformers()
    fields = family.fields(model.config, token_ids)
    config = transformers.AutoConfig.for_model(**fields)
    theirs = getattr(transformers, family.architecture)(config)
    parameter = next(model.parameters())
    layout = family.layouts(model.config)[0]
    _untie(theirs, layout)
    theirs.to(parameter.dtype).load_state_dict(layout.write(model, with_aliases=True))
    return theirs.to(parameter.device).train(model.training)


def family_of(model: nn.Module) -> Family:
    """The converter for one of our models."""
    match model:
        case GPT():
            return GPT2
        case Llama():
            return llama_family(model.config)
        case Bert():
            return bert_family(model.config)
        case T5():
            return T5_FAMILY
        case Transformer():
            return MARIAN
    raise ValueError(
        f"a {type(model).__name__} has no counterpart in transformers here: pass a GPT, Llama, "
        "Bert, T5 or Transformer"
    )


def family_of_fields(fields: dict[str, Any]) -> Family:
    """The converter for a ``config.json``."""
    listed = fields.get("architectures") or []
    if listed:
        return _by_architecture(listed[0])
    for family in FAMILIES:
        if family.model_type == fields.get("model_type"):
            return family
    raise ValueError(
        f"config field model_type={fields.get('model_type')!r} is not supported: llmlib reads "
        f"{', '.join(sorted({family.model_type for family in FAMILIES}))}"
    )


def _untie(theirs: nn.Module, layout: Layout) -> None:
    """Give a parameter of its own to what they tie and we do not (T5 1.1's output layer)."""
    seen = set()
    for link in layout.links:
        owner, _, name = link.theirs.rpartition(".")
        parameter = theirs.get_parameter(link.theirs)
        if id(parameter) in seen:
            setattr(theirs.get_submodule(owner), name, nn.Parameter(parameter.detach().clone()))
        seen.add(id(parameter))


def _by_architecture(name: str) -> Family:
    for family in FAMILIES:
        if family.architecture == name:
            return family
    raise ValueError(
        f"architecture {name} is not supported: llmlib reads "
        f"{', '.join(family.architecture for family in FAMILIES)}"
    )


def _transformers() -> ModuleType:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ImportError(
            "to_transformers needs the transformers package: pip install 'llmlib[ecosystem]'"
        ) from error

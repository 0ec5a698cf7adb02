"""Reward models as folders that transformers opens.

A reward model there is a classifier with one label: ``LlamaForSequenceClassification``. Its folder
is that of the language model, with ``score.weight``, the head, among the tensors, and
``num_labels`` in the config. Transformers reads the last token that is not padding, and it knows
padding by ``pad_token_id``; the token that ends a text must therefore be another one.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from llmlib.interop import save_pretrained
from llmlib.interop.convert import family_of_fields
from llmlib.post_training.reward import RewardModel
from llmlib.tokenizers import ChatTemplate, Tokenizer, load_tokenizer

__all__ = ["load_reward_model", "save_reward_model"]

HEAD = "score.weight"
#: Fields of the config that are ours to write and to take out again.
OWN = ("num_labels", "id2label", "label2id", "reward_offset")


def save_reward_model(
    model: RewardModel,
    tokenizer: Tokenizer | None,
    path: str | Path,
    *,
    pad_token_id: int,
    chat_template: ChatTemplate | None = None,
    **token_ids: int | None,
) -> None:
    """Write a folder that ``AutoModelForSequenceClassification`` of transformers opens.

    Parameters
    ----------
    model : RewardModel
        Its body is any decoder that :func:`~llmlib.interop.save_pretrained` takes. The ``offset``
        is kept for :func:`load_reward_model`; transformers does not know it.
    tokenizer : Tokenizer or None
        Written as ``tokenizer.json``.
    path : str or Path
        The folder; made where it is missing.
    pad_token_id : int
        A token that ends no text.
    chat_template : ChatTemplate, optional
        In which prompts and answers are written; kept for ``apply_chat_template``.
    **token_ids
        ``bos_token_id``, ``eos_token_id``.

    Raises
    ------
    ValueError
        ``pad_token_id`` is the token that ends a text.
    """
    if pad_token_id == token_ids.get("eos_token_id"):
        raise ValueError(
            f"pad_token_id={pad_token_id} is the token that ends a text: transformers would skip "
            "it and read the token before; choose another one"
        )
    path = Path(path)
    token_ids["pad_token_id"] = pad_token_id
    save_pretrained(model.body, tokenizer, path, chat_template=chat_template, **token_ids)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    config |= {
        "architectures": [_classifier(name) for name in config["architectures"]],
        "num_labels": 1,
        "id2label": {"0": "reward"},
        "label2id": {"reward": 0},
        "reward_offset": model.offset.item(),
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (path / "config.json").write_text(text, encoding="utf-8")
    tensors = load_file(path / "model.safetensors")
    tensors[HEAD] = model.head.weight.detach().to("cpu").contiguous()
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})


def load_reward_model(
    path: str | Path, *, dtype: torch.dtype | None = None
) -> tuple[RewardModel, Tokenizer | None]:
    """Open such a folder, in evaluation mode.

    Parameters
    ----------
    path : str or Path
        What :func:`save_reward_model` or transformers wrote.
    dtype : torch.dtype, optional
        Of the model; that of the file when left out.

    Returns
    -------
    tuple
        The model, and its tokenizer, None where the folder has none.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        The folder holds no reward model, or one of a kind that is not supported.

    Examples
    --------
    >>> import tempfile
    >>> from llmlib.models import GPT, GPTConfig
    >>> sizes = {"vocab_size": 8, "context_length": 4, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> model = RewardModel(GPT(GPTConfig(**sizes)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_reward_model(model, None, folder, pad_token_id=0)
    ...     again, _ = load_reward_model(folder)
    >>> again.config == model.config
    True
    """
    path = Path(path)
    for name in ("config.json", "model.safetensors"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path} has no {name}: give the folder of a reward model")
    fields = json.loads((path / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(path / "model.safetensors")
    if HEAD not in tensors or tensors[HEAD].shape[0] != 1:
        raise ValueError(f"{path} holds no reward model: there is no {HEAD} with one row")
    head = tensors.pop(HEAD)
    offset = fields.get("reward_offset", 0.0)
    fields = {name: value for name, value in fields.items() if name not in OWN}
    fields["architectures"] = [_language_model(name) for name in fields["architectures"]]
    model = RewardModel(family_of_fields(fields).build(fields, tensors))
    with torch.no_grad():
        model.head.weight.copy_(head)
        model.offset.fill_(offset)
    tokenizer = None
    if (path / "tokenizer.json").is_file():
        tokenizer = load_tokenizer(path / "tokenizer.json")
    return (model if dtype is None else model.to(dtype)).eval(), tokenizer


def _classifier(language_model: str) -> str:
    for ending in ("ForCausalLM", "LMHeadModel"):
        if language_model.endswith(ending):
            return language_model.removesuffix(ending) + "ForSequenceClassification"
    raise ValueError(f"{language_model} is no decoder: a reward model needs one")


def _language_model(classifier: str) -> str:
    start = classifier.removesuffix("ForSequenceClassification")
    return "GPT2LMHeadModel" if start == "GPT2" else f"{start}ForCausalLM"

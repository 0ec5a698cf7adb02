"""Models as folders: ``config.json``, ``model.safetensors`` and ``tokenizer.json``.

The folder is the one that transformers writes and opens. Nothing here needs transformers: the
files are read and written directly. Weights are read from safetensors only, which holds numbers
and nothing that runs.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llmlib.interop.convert import family_of, family_of_fields
from llmlib.tokenizers import ChatTemplate, Tokenizer, load_tokenizer

__all__ = ["load_pretrained", "save_pretrained"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
# What a download fetches: the files above and the parts of a large checkpoint.
PATTERNS = (CONFIG, TOKENIZER, INDEX, "*.safetensors")


def save_pretrained(
    model: nn.Module,
    tokenizer: Tokenizer | None,
    path: str | Path,
    *,
    chat_template: ChatTemplate | None = None,
    **token_ids: int | None,
) -> None:
    """Write a folder that ``from_pretrained`` of transformers opens.

    Parameters
    ----------
    model : torch.nn.Module
        Any model that :func:`~llmlib.interop.to_transformers` takes.
    tokenizer : Tokenizer or None
        Written as ``tokenizer.json``.
    path : str or Path
        The folder; made where it is missing.
    chat_template : ChatTemplate, optional
        Written into ``tokenizer_config.json``, where ``apply_chat_template`` finds it.
    **token_ids
        ``bos_token_id``, ``eos_token_id``, ``pad_token_id``: what ``generate`` should know.

    Raises
    ------
    ValueError
        The tokenizer has ids that the model has no embedding for.

    Examples
    --------
    >>> import tempfile
    >>> from llmlib.models import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=32, context_length=8, dim=16, num_layers=1, num_heads=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_pretrained(model, None, folder)
    ...     again, tokenizer = load_pretrained(folder)
    >>> again.config == model.config, tokenizer is None
    (True, True)
    """
    family = family_of(model)
    path = Path(path)
    if tokenizer is not None and tokenizer.vocab_size > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has ids up to {tokenizer.vocab_size - 1}, but the model's vocab_size "
            f"is {model.config.vocab_size}: build the model with the tokenizer's vocab_size or more"
        )
    path.mkdir(parents=True, exist_ok=True)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    _write_json(path / CONFIG, family.fields(model.config, token_ids) | {"dtype": dtype})
    tensors = family.layouts(model.config)[-1].write(model)
    # transformers refuses a file that does not say which library its tensors are for.
    save_file(tensors, path / WEIGHTS, metadata={"format": "pt"})
    if tokenizer is not None:
        tokenizer.save(path / TOKENIZER)
        config = _tokenizer_config(tokenizer, token_ids)
        if chat_template is not None:
            config["chat_template"] = chat_template.jinja
        _write_json(path / "tokenizer_config.json", config)


def load_pretrained(
    path_or_name: str | Path,
    *,
    dtype: torch.dtype | None = None,
    ignore_lengths: bool = False,
) -> tuple[nn.Module, Tokenizer | None]:
    """Open a folder written by transformers or by :func:`save_pretrained`.

    Parameters
    ----------
    path_or_name : str or Path
        A folder, or the name of a model on the Hugging Face hub (``"openai-community/gpt2"``),
        which is then downloaded; that needs the extra ``ecosystem``.
    dtype : torch.dtype, optional
        Of the model; that of the file when left out.
    ignore_lengths : bool
        As for :func:`llmlib.tokenizers.load_tokenizer`: accept a tokenizer that asks for
        truncation and padding, and leave both to the caller.

    Returns
    -------
    tuple
        The model in evaluation mode, and its tokenizer, None where the folder has no
        ``tokenizer.json``.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or a file is missing from it.
    ValueError
        The config asks for something that is not supported, or tensors are missing, unknown or
        of another shape; the message names them.
    """
    path = Path(path_or_name)
    if not path.is_dir():
        path = _download(str(path_or_name))
    config = path / CONFIG
    if not config.is_file():
        raise FileNotFoundError(f"{path} has no {CONFIG}: give the folder that holds the model")
    fields = json.loads(config.read_text(encoding="utf-8"))
    tensors = _read_tensors(path)
    if dtype is not None:
        # Before the model is built: its tables of angles would be rounded with it, for good.
        tensors = {n: t.to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}
    model = family_of_fields(fields).build(fields, tensors)
    tokenizer = None
    if (path / TOKENIZER).is_file():
        tokenizer = load_tokenizer(path / TOKENIZER, ignore_lengths=ignore_lengths)
    return model, tokenizer


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if (path / INDEX).is_file():  # a checkpoint in several files
        parts = json.loads((path / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        files = [path / name for name in sorted(set(parts))]
    else:
        files = [path / WEIGHTS]
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(
                f"{path} has no {file.name}: only safetensors are read; convert an older "
                "checkpoint with save_pretrained of transformers"
            )
        try:
            tensors |= load_file(file)
        except SafetensorError as error:
            raise ValueError(f"{file.name} is damaged ({error}): copy it again") from error
    return tensors


def _download(name: str) -> Path:
    if not _looks_like_a_name(name):
        raise FileNotFoundError(f"there is no folder {name}: check the path")
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise ImportError(
            f"there is no folder {name}, and downloading a model of that name needs "
            "huggingface_hub: pip install 'llmlib[ecosystem]'"
        ) from error
    return Path(hub.snapshot_download(name, allow_patterns=list(PATTERNS)))


def _looks_like_a_name(name: str) -> bool:
    """Whether it may be ``owner/model``: one slash at most, and nothing that only paths have."""
    return name.count("/") <= 1 and not name.startswith((".", "/", "~")) and "\\" not in name


def _tokenizer_config(tokenizer: Tokenizer, token_ids: dict[str, int | None]) -> dict[str, Any]:
    words = {number: token for token, number in tokenizer.special_tokens.items()}
    named = {
        name.removesuffix("_id"): words[number]
        for name, number in token_ids.items()
        if number in words
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
    } | named


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")

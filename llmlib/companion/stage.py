"""Stages of the companion as folders: what is shipped, how it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from llmlib.interop import load_pretrained
from llmlib.models import Llama
from llmlib.post_training import (
    RewardModel,
    load_adapter,
    load_reward_model,
    merge_lora,
    transformers_names,
)
from llmlib.training import History

if TYPE_CHECKING:
    from llmlib.tokenizers import Tokenizer

__all__ = ["STAGES", "load", "load_reward", "training_log"]

#: A folder for each stage: model, tokenizer, card, log of the training, evaluation.
STAGES = Path(__file__).with_name("stages")
# Marks a stage that is an adapter of another one.
ADAPTER = "adapter_config.json"


def load(stage: str | Path) -> tuple[Llama, Tokenizer]:
    """Open a stage of the companion model.

    Parameters
    ----------
    stage : str or Path
        ``"base"``, or a folder that a recipe wrote.

    Returns
    -------
    tuple
        The model, in float32 and evaluation mode, and its tokenizer. A stage that is an adapter
        comes merged into the stage that it was trained on.

    Raises
    ------
    FileNotFoundError
        There is no such stage; the message lists those there are.
    """
    folder = folder_of(stage)
    if not (folder / ADAPTER).is_file():
        return load_pretrained(folder, dtype=torch.float32)
    fields = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    model, tokenizer = load(fields["base_model_name_or_path"])
    adapted = load_adapter(model, folder, names=transformers_names(model))
    return merge_lora(adapted).eval(), tokenizer


def load_reward(stage: str | Path = "reward") -> tuple[RewardModel, Tokenizer]:
    """Open a reward model of the companion.

    Parameters
    ----------
    stage : str or Path
        ``"reward"``, or a folder that a recipe wrote.

    Returns
    -------
    tuple
        The model, in float32 and evaluation mode, and its tokenizer.

    Raises
    ------
    FileNotFoundError
        There is no such stage; the message lists those there are.
    ValueError
        The stage is a language model.
    """
    return load_reward_model(folder_of(stage), dtype=torch.float32)


def training_log(stage: str | Path) -> History:
    """What the training of a stage wrote down.

    Parameters
    ----------
    stage : str or Path
        As for :func:`load`.
    """
    return History.load(folder_of(stage) / "log.csv")


def folder_of(stage: str | Path) -> Path:
    """Where a stage lies."""
    for folder in (STAGES / str(stage), Path(stage)):
        if any((folder / name).is_file() for name in ("config.json", ADAPTER)):
            return folder
    there = ", ".join(sorted(path.name for path in STAGES.glob("*") if path.is_dir()))
    raise FileNotFoundError(
        f"there is no stage {stage}: choose one of {there or '(none yet)'}, or make it with "
        f"python -m llmlib.companion train {stage}"
    )

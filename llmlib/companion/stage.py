"""Stages of the companion as folders: what is shipped, how it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from llmlib.interop import load_pretrained
from llmlib.models import Llama
from llmlib.training import History

if TYPE_CHECKING:
    from llmlib.tokenizers import Tokenizer

__all__ = ["STAGES", "load", "training_log"]

#: A folder for each stage: model, tokenizer, card, log of the training, evaluation.
STAGES = Path(__file__).with_name("stages")


def load(stage: str | Path) -> tuple[Llama, Tokenizer]:
    """Open a stage of the companion model.

    Parameters
    ----------
    stage : str or Path
        ``"base"``, or a folder that a recipe wrote.

    Returns
    -------
    tuple
        The model, in float32 and evaluation mode, and its tokenizer.

    Raises
    ------
    FileNotFoundError
        There is no such stage; the message lists those there are.
    """
    model, tokenizer = load_pretrained(folder_of(stage), dtype=torch.float32)
    return model, tokenizer


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
        if (folder / "config.json").is_file():
            return folder
    there = ", ".join(sorted(path.name for path in STAGES.glob("*") if path.is_dir()))
    raise FileNotFoundError(
        f"there is no stage {stage}: choose one of {there or '(none yet)'}, or make it with "
        f"python -m llmlib.companion train {stage}"
    )

"""Base and mid-training: the next token of documents, from random weights or another stage's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from llmlib.companion.documents import DocumentBatches
from llmlib.companion.recipe import read_recipe
from llmlib.companion.writing import continue_story
from llmlib.training import CSVLog, OneProcess, Trainer

if TYPE_CHECKING:
    from llmlib.companion.recipe import Recipe
    from llmlib.models import Llama
    from llmlib.tokenizers import BPETokenizer

__all__ = ["make_run", "stories_of_training"]


def make_run(
    recipe: Recipe,
    model: Llama,
    tokenizer: BPETokenizer,
    folder: Path,
    *,
    parallel: OneProcess,
    progress: bool,
) -> Trainer:
    """Data and settings of a recipe, ready to run."""
    train_data, eval_data = _data(recipe, tokenizer)

    def sample(model: Llama) -> str:
        generator = torch.Generator(parallel.device).manual_seed(0)
        return continue_story(model, tokenizer, "", generator=generator)

    return Trainer(
        model,
        recipe.train_config(),
        train_data,
        eval_data,
        folder=folder / "checkpoints",
        logs=[CSVLog(folder / "log.csv")],
        sample=sample,
        progress=progress,
        parallel=parallel,
    )


def _data(recipe: Recipe, tokenizer: BPETokenizer) -> tuple[DocumentBatches, DocumentBatches]:
    """What is trained on, and held-out stories."""
    options = {
        "documents": recipe.data["documents"],
        "length": recipe.data["length"],
        "seed": recipe.seed,
    }
    only_in_training = {
        name: recipe.data[name]
        for name in ("copying_first", "mention_weight")
        if name in recipe.data
    }
    return (
        DocumentBatches(tokenizer, recipe.data["mixture"], **only_in_training, **options),
        DocumentBatches(tokenizer, {"stories": 1.0}, split="validation", **options),
    )


def stories_of_training(recipe: Recipe, tokenizer: BPETokenizer) -> set[str]:
    """Every story that the training of a recipe has seen, and that of the stages before it.

    Of conversations, every line. Takes minutes for a long one.
    """
    source, _ = _data(recipe, tokenizer)
    seen = {
        line.strip()
        for number in range(recipe.training["steps"])
        for kind, documents in source.documents(number).items()
        if kind == "stories" or kind.startswith("talk: ")
        for document in documents
        for line in tokenizer.decode(document.ids[1:-1]).split("\n")
    }
    before = recipe.start and read_recipe(recipe.start)
    return seen | stories_of_training(before, tokenizer) if before else seen

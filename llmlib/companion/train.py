"""From a recipe to a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from llmlib.companion.methods import METHODS, Run
from llmlib.companion.recipe import Recipe, read_recipe, recipe_file
from llmlib.companion.stage import folder_of, load
from llmlib.companion.tokenizer import make_tokenizer
from llmlib.models import Llama
from llmlib.tokenizers import BPETokenizer
from llmlib.training import (
    PrefetchedBatches,
    Trainer,
    latest_checkpoint,
    parallel_from_environment,
)

__all__ = ["train"]


def train(
    name: str | Path,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    until: int | None = None,
    device: str = "cpu",
    engine: str = "ddp",
    workers: int = 0,
    progress: bool = False,
) -> Run:
    """Make a stage, or go on where it stopped; under ``torchrun``, on all its processes.

    Parameters
    ----------
    name : str or Path
        A stage of the book, or a recipe file.
    folder : str or Path
        Gets the recipe, ``checkpoints/``, ``log.csv`` and, when the last step is done, the model.
    start : str or Path, optional
        Stage or folder to begin with in place of the one that the recipe names.
    until : int, optional
        Step to stop at.
    device : str
        Where to train.
    engine : str
        ``"ddp"`` or ``"fsdp"``, for several processes.
    workers : int
        Processes that make batches ahead, for a GPU that would wait for them; the batches are the
        same. Only for methods that train with :class:`~llmlib.training.Trainer`.
    progress : bool
        Whether to show a bar with the time left.

    Returns
    -------
    Run
        As it stands then: for most methods a :class:`~llmlib.training.Trainer`.
    """
    recipe, folder = read_recipe(name), Path(folder)
    method, start = METHODS[recipe.method], start or recipe.start
    checkpoints = folder / "checkpoints"
    with parallel_from_environment(engine, device) as parallel:
        if parallel.rank == 0:
            _prepare(name, recipe, folder, start)
        parallel.from_first(None)  # the others wait until the files are there
        tokenizer = BPETokenizer.load(folder / "tokenizer.json")
        torch.manual_seed(recipe.seed)
        if start is None:
            model = Llama(recipe.model_config(tokenizer.vocab_size))
        else:
            model, _ = load(start)
        run = method.make_run(
            recipe,
            model.to(parallel.device),
            tokenizer,
            folder,
            parallel=parallel,
            progress=progress,
        )
        if workers and isinstance(run, Trainer):
            run.train_data = PrefetchedBatches(run.train_data, workers)
        if latest_checkpoint(checkpoints):
            run.resume(checkpoints)
        run.fit(until)
        if run.step < recipe.training["steps"]:
            run.save(checkpoints)
        else:
            weights = run.weights()
            if parallel.rank == 0:
                method.write(run, weights, tokenizer, folder)
        return run


def _prepare(name: str | Path, recipe: Recipe, folder: Path, start: str | Path | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(recipe_file(name), folder / "recipe.toml")
    if (folder / "tokenizer.json").exists():
        return
    if start is None:
        make_tokenizer(recipe).save(folder / "tokenizer.json")
    else:
        shutil.copyfile(folder_of(start) / "tokenizer.json", folder / "tokenizer.json")

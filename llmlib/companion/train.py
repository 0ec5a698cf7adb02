"""From a recipe to a model."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from llmlib.companion.documents import END, SPECIAL_TOKENS, DocumentBatches
from llmlib.companion.recipe import Recipe, read_recipe, recipe_file
from llmlib.data import generate_stories, make_island
from llmlib.generation import generate
from llmlib.interop import save_pretrained
from llmlib.models import Llama, LlamaConfig
from llmlib.tokenizers import BPETokenizer
from llmlib.training import (
    CSVLog,
    OneProcess,
    Trainer,
    latest_checkpoint,
    parallel_from_environment,
)

__all__ = ["continue_story", "make_tokenizer", "make_trainer", "stories_of_training", "train"]


def make_tokenizer(recipe: Recipe) -> BPETokenizer:
    """Learn the tokenizer of a recipe from texts like those it will read, always the same.

    Digits are tokens of their own: a sum of digits can be learned, one of hundreds cannot.
    """
    seed, documents = recipe.seed, recipe.tokenizer["documents"]
    island = (
        article.text
        for number in range(documents // 1000)
        for article in make_island(seed=number + seed, split="train").articles
    )
    texts = chain(
        (story.text for story in generate_stories(documents, seed=seed, split="train")), island
    )
    return BPETokenizer.train(
        texts, recipe.tokenizer["vocab_size"], special_tokens=SPECIAL_TOKENS, pattern="qwen2"
    )


def make_trainer(
    recipe: Recipe,
    tokenizer: BPETokenizer,
    folder: str | Path,
    *,
    parallel: OneProcess | None = None,
    progress: bool = False,
) -> Trainer:
    """Model, data and settings of a recipe, ready to run.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    tokenizer : BPETokenizer
        From :func:`make_tokenizer`.
    folder : str or Path
        For checkpoints and the log.
    parallel : OneProcess, optional
        On which processes and where.
    progress : bool
        Whether to show a bar.
    """
    folder, parallel = Path(folder), parallel or OneProcess()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = Llama(recipe.model_config(tokenizer.vocab_size)).to(parallel.device)
    train_data, eval_data = _data(recipe, tokenizer)

    def sample(model: Llama) -> str:
        return continue_story(model, tokenizer, "", generator=torch.Generator().manual_seed(0))

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
    first = recipe.data["copying_first"]
    return (
        DocumentBatches(
            tokenizer, recipe.data["mixture"], split="train", copying_first=first, **options
        ),
        DocumentBatches(tokenizer, {"stories": 1.0}, split="validation", **options),
    )


def stories_of_training(recipe: Recipe, tokenizer: BPETokenizer) -> set[str]:
    """Every story that the training of a recipe has seen; takes minutes for a long one."""
    source, _ = _data(recipe, tokenizer)
    return {
        tokenizer.decode(document.ids[1:-1]).strip()
        for number in range(recipe.training["steps"])
        for document in source.documents(number).get("stories", ())
    }


def continue_story(
    model: Llama,
    tokenizer: BPETokenizer,
    prompt: str,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> str:
    """Write a story to its end.

    Parameters
    ----------
    model, tokenizer
        The companion.
    prompt : str
        Its beginning; may be empty.
    temperature : float
        Of the sampling; 0 takes the most probable token.
    generator : torch.Generator, optional
        Of the random numbers.

    Returns
    -------
    str
        Prompt and continuation.
    """
    end = tokenizer.special_tokens[END]
    ids = [end, *tokenizer.encode(prompt)]
    device = next(model.parameters()).device
    written: Tensor = generate(
        model,
        torch.tensor([ids], device=device),
        max_new_tokens=model.config.context_length - len(ids),
        temperature=temperature,
        stop_ids=[end],
        generator=generator,
    )
    return tokenizer.decode([token for token in written[0].tolist() if token != end])


def train(
    name: str | Path,
    folder: str | Path,
    *,
    until: int | None = None,
    device: str = "cpu",
    engine: str = "ddp",
    progress: bool = False,
) -> Trainer:
    """Make a stage, or go on where it stopped; under ``torchrun``, on all its processes.

    Parameters
    ----------
    name : str or Path
        A stage of the book, or a recipe file.
    folder : str or Path
        Gets the recipe, ``checkpoints/``, ``log.csv`` and, when the last step is done, the model.
    until : int, optional
        Step to stop at.
    device : str
        Where to train.
    engine : str
        ``"ddp"`` or ``"fsdp"``, for several processes.
    progress : bool
        Whether to show a bar with the time left.

    Returns
    -------
    Trainer
        As it stands then.
    """
    recipe, folder = read_recipe(name), Path(folder)
    with parallel_from_environment(engine, device) as parallel:
        if parallel.rank == 0:
            _prepare(name, recipe, folder)
        parallel.from_first(None)  # the others wait until the files are there
        tokenizer = BPETokenizer.load(folder / "tokenizer.json")
        trainer = make_trainer(recipe, tokenizer, folder, parallel=parallel, progress=progress)
        if latest_checkpoint(trainer.folder):
            trainer.resume(trainer.folder)
        trainer.fit(until)
        if trainer.step < trainer.config.steps:
            trainer.save(trainer.folder)
        else:
            weights = trainer.weights()
            if parallel.rank == 0:
                _write_stage(trainer.model.config, weights, tokenizer, folder)
        return trainer


def _prepare(name: str | Path, recipe: Recipe, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(recipe_file(name), folder / "recipe.toml")
    if not (folder / "tokenizer.json").exists():
        make_tokenizer(recipe).save(folder / "tokenizer.json")


def _write_stage(
    config: LlamaConfig, weights: dict[str, Tensor], tokenizer: BPETokenizer, folder: Path
) -> None:
    """Write the finished model, in half precision."""
    model = Llama(config)
    model.load_state_dict(weights, strict=False)  # a tied matrix is there once
    end = tokenizer.special_tokens[END]
    model = model.to(torch.float16).eval()
    save_pretrained(model, tokenizer, folder, bos_token_id=end, eos_token_id=end)

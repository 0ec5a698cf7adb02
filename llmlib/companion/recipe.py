"""Recipes: everything that decides how a stage of the companion model comes about."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmlib.models import LlamaConfig
from llmlib.training import TrainConfig

__all__ = ["RECIPES", "Recipe", "read_recipe", "recipe_file"]

#: Where the recipes of the book lie, a file for each stage.
RECIPES = Path(__file__).with_name("recipes")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a stage of the companion.

    Parameters
    ----------
    stage : str
        Its name.
    seed : int
        Of the initial weights and of the data.
    method : str
        How it is made: an entry of :data:`llmlib.companion.methods.METHODS`.
    start : str, optional
        The stage whose model it begins with, and whose tokenizer it keeps. Without one it has
        ``tokenizer`` and ``model`` of its own.
    tokenizer : dict
        ``vocab_size``, and from how many ``documents`` it is learned.
    model : dict
        Arguments of :class:`~llmlib.models.LlamaConfig`; the vocabulary is the tokenizer's.
    data : dict
        Of the base stage: ``documents`` of a batch, ``length`` of its rows in tokens, batches with
        ``copying_first``, the ``mention_weight`` (see
        :class:`~llmlib.companion.DocumentBatches`), and the ``mixture``: kind of document to its
        share. Other methods say what they read.
    training : dict
        Arguments of :class:`~llmlib.training.TrainConfig`; ``steps`` there are in every method.
    options : dict
        What is special to a method.

    Raises
    ------
    ValueError
        A new model has no sizes, or one that begins with another has some.

    Examples
    --------
    >>> recipe = read_recipe("base")
    >>> recipe.stage, recipe.model_config(vocab_size=64).tie_embeddings
    ('base', True)
    """

    stage: str
    seed: int
    method: str = "pretraining"
    start: str | None = None
    tokenizer: dict[str, int] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.start is None) != bool(self.model):
            raise ValueError(
                f"recipe {self.stage!r} starts from {self.start} and has sizes {self.model}: give "
                "either a stage to start from, or the sizes of a new model"
            )

    def model_config(self, vocab_size: int) -> LlamaConfig:
        """Sizes of the model."""
        return LlamaConfig(vocab_size=vocab_size, **self.model)

    def train_config(self) -> TrainConfig:
        """Settings of the training."""
        options = dict(self.training)
        if "betas" in options:
            options["betas"] = tuple(options["betas"])
        return TrainConfig(**options)


def read_recipe(name: str | Path) -> Recipe:
    """Read the recipe of a stage, or a recipe file of your own.

    Parameters
    ----------
    name : str or Path
        A stage of the book, or the path of a TOML file.

    Raises
    ------
    FileNotFoundError
        There is no such stage or file; the message lists the stages.
    """
    return Recipe(**tomllib.loads(recipe_file(name).read_text(encoding="utf-8")))


def recipe_file(name: str | Path) -> Path:
    """The file of a recipe, by its stage or its path."""
    path = Path(name)
    if path.suffix != ".toml":
        path = RECIPES / f"{name}.toml"
    if not path.is_file():
        stages = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise FileNotFoundError(
            f"there is no recipe {name}: give a stage ({stages}) or the path of a .toml file"
        )
    return path

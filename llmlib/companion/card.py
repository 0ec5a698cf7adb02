"""The model card: what a stage is, how it was made, what it can do, what not."""

from __future__ import annotations

from pathlib import Path

from llmlib.companion.evaluate import StoryScores
from llmlib.companion.recipe import Recipe
from llmlib.models import Llama

__all__ = ["write_card"]

CARD = """\
# Companion, stage "{stage}"

A language model of {parameters} parameters that writes short stories of a small invented world.
It belongs to the book *From Vectors to Agents*, whose chapters train it, take it apart and build on
it.

## How it was made

`python -m llmlib.companion train {stage}` makes it again: {steps} steps of {documents} documents
each, made as they are needed by generators of `llmlib.data`. No text by anybody else went into it.
Sizes: {layers} layers, width {dim}, {heads} heads, {vocab} tokens, context {context}.

## What it can do

Measured with `python -m llmlib.companion evaluate {stage}` on held-out records of the world:

| | |
|---|---|
| bits per character | {bits:.4f} |
| the generator's own entropy, in bits per character | {floor:.4f} |
| continuations in which who, what and where stay consistent | {consistent:.1%} |
| its stories found word for word in training | {copied:.1%} (by chance {chance:.1%}) |

## What it cannot do

It knows the words, people and plots of its world and nothing else. A prompt from outside that world
gives nonsense. It is a teaching aid, not a source of facts.

## Licence

Apache-2.0.
"""


def write_card(folder: str | Path, recipe: Recipe, model: Llama, scores: StoryScores) -> None:
    """Write ``README.md`` into the folder of a stage."""
    config = model.config
    text = CARD.format(
        stage=recipe.stage,
        parameters=f"{model.num_parameters / 1e6:.2f} million",
        steps=recipe.training["steps"],
        documents=recipe.data["documents"],
        layers=config.num_layers,
        dim=config.dim,
        heads=config.num_heads,
        vocab=config.vocab_size,
        context=config.context_length,
        bits=scores.bits_per_character,
        floor=scores.floor,
        consistent=scores.consistent,
        copied=scores.copied,
        chance=scores.copied_by_chance,
    )
    Path(folder, "README.md").write_text(text, encoding="utf-8")

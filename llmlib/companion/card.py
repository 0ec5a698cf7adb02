"""The model card: what a stage is, how it was made, what it can do, what not."""

from __future__ import annotations

from pathlib import Path

from llmlib.companion.chat_scores import ChatScores
from llmlib.companion.evaluate import TOP_P, StoryScores
from llmlib.companion.recipe import Recipe
from llmlib.models import Llama

__all__ = ["write_card", "write_chat_card"]

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
| continuations (top-p {top_p}) in which who, what and where stay consistent | {consistent:.1%} |
| the same, with no token cut off | {unfiltered:.1%} |
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
        top_p=TOP_P,
        consistent=scores.consistent,
        unfiltered=scores.consistent_unfiltered,
        copied=scores.copied,
        chance=scores.copied_by_chance,
    )
    Path(folder, "README.md").write_text(text, encoding="utf-8")


CHAT_CARD = """\
# Companion, stage "{stage}"

A language model of {parameters} parameters that replies in conversations about a small invented
world: it writes stories on demand, answers questions about a text, keeps to a form, refuses,
calculates with small numbers, cites passages and calls tools. It belongs to the book *From Vectors
to Agents*.

## How it was made

`python -m llmlib.companion train {stage}` makes it again from the stage "{start}": {steps} steps of
the method "{method}". All conversations come from the generators in `llmlib.data`; no text by
anybody else went into it.

## How to talk to it

The chat template is in `tokenizer_config.json`; `llmlib.post_training.reply` and
`apply_chat_template` of transformers both write it.

## What it can do

Replies that a program found right, on held-out conversations, written greedily
(`python -m llmlib.companion evaluate {stage}`):

| | right | of |
|---|---|---|
{rows}

## What it cannot do

It knows the words, people and plots of its world and nothing else. What it refuses are the few
requests of that world that it was taught to refuse: it is a demonstration of refusing, not a safe
model. A teaching aid, not a source of facts.

## Licence

Apache-2.0.
"""


def write_chat_card(folder: str | Path, recipe: Recipe, model: Llama, scores: ChatScores) -> None:
    """Write ``README.md`` into the folder of a stage that replies."""
    rows = [
        f"| {name} | {share:.1%} | {scores.asked[name]} |" for name, share in scores.right.items()
    ]
    text = CHAT_CARD.format(
        stage=recipe.stage,
        start=recipe.start,
        method=recipe.method,
        parameters=f"{model.num_parameters / 1e6:.2f} million",
        steps=recipe.training["steps"],
        rows="\n".join(rows),
    )
    Path(folder, "README.md").write_text(text, encoding="utf-8")

"""The model card: what a stage is, how it was made, what it can do, what not."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

from llmlib.companion.chat_scores import STORIES, ChatScores
from llmlib.companion.evaluate import TOP_P, StoryScores
from llmlib.companion.recipe import Recipe
from llmlib.companion.writer_scores import WriterScores
from llmlib.models import Llama

__all__ = ["write_card", "write_chat_card", "write_writer_card"]

#: How the stories that a card speaks of are drawn.
DRAWN = "temperature {temperature}, top-p {top_p}".format(**STORIES)

CARD = """\
# Companion, stage "{stage}"

A language model of {parameters} parameters that writes short stories of a small invented world.
It belongs to the book *From Vectors to Agents*, whose chapters train it, take it apart and build on
it.

## How it was made

`python -m llmlib.companion train {stage}` makes it again{start}: {steps} steps of {documents}
documents each, made as they are needed by generators of `llmlib.data`. No text by anybody else went
into it.
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
{remark}
## What it cannot do

It knows the words, people and plots of its world and nothing else. A prompt from outside that world
gives nonsense. It is a teaching aid, not a source of facts.

## Licence

Apache-2.0.
"""


#: For stages that read conversations as plain lines.
GOES_ON = """
It has read many stories that are followed by questions, and often goes on with one where a story
should end. That counts as inconsistent here.
"""


def write_card(folder: str | Path, recipe: Recipe, model: Llama, scores: StoryScores) -> None:
    """Write ``README.md`` into the folder of a stage."""
    config = model.config
    text = CARD.format(
        stage=recipe.stage,
        start=f' from the stage "{recipe.start}"' if recipe.start else "",
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
        remark=GOES_ON if any(kind.startswith("talk: ") for kind in recipe.data["mixture"]) else "",
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

Replies that a program found right, on held-out conversations, answers written greedily, stories
drawn ({drawn}) (`python -m llmlib.companion evaluate {stage}`):

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
        drawn=DRAWN,
        rows="\n".join(rows),
    )
    Path(folder, "README.md").write_text(text, encoding="utf-8")


WRITER_CARD = """\
# Companion, stage "{stage}"

A language model of {parameters} parameters that writes stories on demand, trained {method}. It
belongs to the book *From Vectors to Agents*.

## How it was made

{made}

## What it can do

Measured with `python -m llmlib.companion evaluate {stage}` against "{start}" on {compared} held-out
instructions, by the true utility of `llmlib.data.preferences`, which no model has seen; stories are
drawn ({drawn}), those for the KL at temperature 1:

| | before | after |
|---|---|---|
{rows}

Its story is the better one for {preferred:.1%} of the instructions (a tie counts half); it is
{kl:.0f} nats away.

Replies that a program found right, besides stories:

| | right |
|---|---|
{right}

## What it cannot do

{limits}

## Licence

Apache-2.0.
"""


def write_writer_card(
    folder: str | Path,
    recipe: Recipe,
    model: Llama,
    scores: WriterScores,
    *,
    method: str,
    made: str,
    limits: str,
) -> None:
    """Write ``README.md`` into the folder of a stage that was trained to write better stories.

    Parameters
    ----------
    folder, recipe, model, scores
        The stage.
    method : str
        How it was trained, in a few words that follow "trained".
    made : str
        Steps, data and settings, in sentences.
    limits : str
        What it is not to be trusted with.
    """
    rows = ("utility", "stories", "followed", "speeches", "cheerful", "words", "quotes")
    text = WRITER_CARD.format(
        stage=recipe.stage,
        start=recipe.start,
        parameters=f"{model.num_parameters / 1e6:.2f} million",
        method=method,
        made=fill(
            f"`python -m llmlib.companion train {recipe.stage}` makes it again from the stage "
            f'"{recipe.start}": {made}',
            width=100,
        ),
        compared=scores.compared,
        drawn=DRAWN,
        rows="\n".join(
            "| {} | {before:.2f} | {after:.2f} |".format(name, **getattr(scores, name))
            for name in rows
        ),
        preferred=scores.preferred,
        kl=scores.kl,
        right="\n".join(f"| {name} | {share:.1%} |" for name, share in scores.right.items()),
        limits=fill(
            f"It knows the words, people and plots of its world and nothing else. {limits} A "
            "teaching aid, not a source of facts.",
            width=100,
        ),
    )
    Path(folder, "README.md").write_text(text, encoding="utf-8")

"""The reward stage: a number for a story, learned from comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llmlib.companion.documents import END
from llmlib.companion.reward_scores import RewardScores, evaluate_reward, pair_rewards
from llmlib.companion.stage import load_reward
from llmlib.data import preference_pairs
from llmlib.models import Llama
from llmlib.post_training import PreferenceBatches, RewardLoss, RewardModel, save_reward_model
from llmlib.tokenizers import ChatTemplate
from llmlib.training import CSVLog, OneProcess, Trainer

if TYPE_CHECKING:
    from llmlib.companion.recipe import Recipe
    from llmlib.tokenizers import BPETokenizer

__all__ = ["evaluate", "make_run", "write", "write_reward_card"]

#: Fills the rows of a batch; ends no text.
PAD = "<|system|>"
COLUMNS = ("step", "loss", "accuracy", "margin", "lr", "grad_norm", "tokens")
EVALUATED = ("eval_loss", "eval_accuracy", "eval_margin")


def make_run(
    recipe: Recipe,
    model: Llama,
    tokenizer: BPETokenizer,
    folder: Path,
    *,
    parallel: OneProcess,
    progress: bool,
) -> Trainer:
    """Data and settings of a recipe, ready to run.

    ``[data]`` of the recipe says how many ``pairs`` are in a batch.
    """
    sources = [
        PreferenceBatches(tokenizer, size=recipe.data["pairs"], seed=recipe.seed, split=split)
        for split in ("train", "validation")
    ]
    return Trainer(
        RewardModel(model),
        recipe.train_config(),
        *sources,
        loss=RewardLoss,
        folder=folder / "checkpoints",
        logs=[CSVLog(folder / "log.csv", COLUMNS + EVALUATED)],
        progress=progress,
        parallel=parallel,
    )


def write(run: Trainer, weights: dict[str, Tensor], tokenizer: BPETokenizer, folder: Path) -> None:
    """Write the finished model, in half precision, so that a story of the world has reward 0.

    That is: the mean over stories that follow an instruction, of the validation split.
    """
    model = RewardModel(Llama(run.model.config))
    model.load_state_dict(weights, strict=False)  # a tied matrix is there once
    model = model.to(torch.float16).float().eval()  # what will be read from the file
    pairs = [p for p in preference_pairs(400, split="validation") if p.kind == "both follow"]
    model.centre(torch.cat(pair_rewards(model, tokenizer, pairs)))
    save_reward_model(
        model.half(),
        tokenizer,
        folder,
        pad_token_id=tokenizer.special_tokens[PAD],
        chat_template=ChatTemplate(),
        bos_token_id=tokenizer.special_tokens[END],
        eos_token_id=tokenizer.special_tokens[END],
    )


def evaluate(recipe: Recipe, folder: Path, *, pairs: int = 1000, **_others: object) -> RewardScores:
    """Measure a finished reward model."""
    return evaluate_reward(*load_reward(folder), pairs=pairs)


CARD = """\
# Companion, stage "{stage}"

A reward model of {parameters} parameters: it reads an instruction and a story and gives a number,
the higher the better the story. It belongs to the book *From Vectors to Agents*.

## How it was made

`python -m llmlib.companion train {stage}` makes it again from the stage "{start}": {steps} steps of
{pairs} comparisons each, drawn by `llmlib.data.preferences`. The judge behind them is a program: it
likes stories that do what was asked, with much direct speech, a cheerful end and few words, and it
errs as Bradley and Terry say.

## How to use it

`llmlib.companion.load_reward("{stage}")`, or `AutoModelForSequenceClassification` of transformers,
which does not subtract the offset. Prompt and story are written with the chat template, with the
closing mark. Of stories that follow their instruction, the mean reward is 0.

## What it can do

Measured with `python -m llmlib.companion evaluate {stage}` on {measured} held-out pairs:

| | |
|---|---|
| agrees with the judge | {accuracy:.1%} |
| what a perfect model would reach | {judge:.1%} |
| agrees with the utility behind the judge | {true:.1%} |
| loss, in nats per pair | {loss:.3f} |
| expected calibration error | {calibration:.3f} |
| rank correlation with the utility | {rank:.2f} |

## What it cannot do

It has seen stories of its world, and stories spoiled in four ways. What it says of other texts
means nothing, and a policy that is trained on it may find them. A teaching aid.

## Licence

Apache-2.0.
"""


def write_reward_card(
    folder: str | Path, recipe: Recipe, model: RewardModel, scores: RewardScores
) -> None:
    """Write ``README.md`` into the folder of a reward model."""
    numbers = sum(parameter.numel() for parameter in model.parameters())
    text = CARD.format(
        stage=recipe.stage,
        start=recipe.start,
        parameters=f"{numbers / 1e6:.2f} million",
        steps=recipe.training["steps"],
        pairs=recipe.data["pairs"],
        measured=scores.pairs,
        accuracy=scores.accuracy,
        judge=scores.judge,
        true=scores.true_accuracy,
        loss=scores.loss,
        calibration=scores.calibration_error,
        rank=scores.rank_correlation,
    )
    Path(folder, "README.md").write_text(text, encoding="utf-8")

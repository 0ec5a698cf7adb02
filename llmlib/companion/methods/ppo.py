"""The PPO stage: stories that a reward model likes, near the stage before.

``[data]`` of the recipe has the number of ``prompts`` of a step. ``[options]`` has ``reward``, the
stage of the reward model, or ``"flawed"`` for a rule that counts quotation marks; and
``kl_coefficient``, what a nat of distance costs. ``[training]`` is for
:class:`~llmlib.post_training.PPOConfig`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llmlib.companion.chat_scores import evaluate_chat
from llmlib.companion.documents import END
from llmlib.companion.ppo_scores import (
    PPOScores,
    compare_writers,
    draw_instructions,
    instruction_prompt,
)
from llmlib.companion.stage import load, load_reward
from llmlib.data.preferences import flawed_utility, utility
from llmlib.models import Llama
from llmlib.post_training import FixedKL, PPOConfig, PPOTrainer, ValueModel
from llmlib.training import CSVLog, OneProcess

if TYPE_CHECKING:
    from llmlib.companion.recipe import Recipe
    from llmlib.data.stories import Instruction
    from llmlib.tokenizers import BPETokenizer

__all__ = ["StoryPrompts", "evaluate", "make_run", "write_ppo_card"]

COLUMNS = (
    *("step", "reward", "kl", "entropy", "length", "ended", "kl_coefficient"),
    *("utility", "quotes", "loss", "value_loss", "grad_norm", "value_grad_norm"),
    *("clip_share", "step_kl"),
)


class StoryPrompts:
    """Instructions as prompts, and rules that judge the responses.

    Parameters
    ----------
    tokenizer : BPETokenizer
        Of the companion.
    count : int
        Prompts of a step.
    seed : int
        Of the instructions.
    """

    def __init__(self, tokenizer: BPETokenizer, count: int, seed: int) -> None:
        self.tokenizer, self.count, self.seed = tokenizer, count, seed
        self._asked: dict[tuple[int, ...], Instruction] = {}

    def __call__(self, step: int) -> list[list[int]]:
        """Prompts of a step, the same ones at every call."""
        tasks = draw_instructions(self.count, seed=1_000_000 * (self.seed + 1) + step)
        prompts = [instruction_prompt(self.tokenizer, task) for task in tasks]
        self._asked = {tuple(p): task for p, task in zip(prompts, tasks, strict=True)}
        return prompts

    def judged_by(self, rule: Callable[[Instruction, str], float]) -> Callable[..., Tensor]:
        """A rule on instruction and text, as PPO wants it: on tokens."""
        marks = set(self.tokenizer.special_tokens.values())

        def judge(prompts: list[list[int]], responses: list[list[int]]) -> Tensor:
            return torch.tensor(
                [
                    float(rule(self._asked[tuple(prompt)], self._text(response, marks)))
                    for prompt, response in zip(prompts, responses, strict=True)
                ]
            )

        return judge

    def _text(self, response: list[int], marks: set[int]) -> str:
        return self.tokenizer.decode([token for token in response if token not in marks])


def make_run(
    recipe: Recipe,
    model: Llama,
    tokenizer: BPETokenizer,
    folder: Path,
    *,
    parallel: OneProcess,
    progress: bool,
) -> PPOTrainer:
    """The four models and the prompts of a recipe, ready to run, on one process."""
    if parallel.world_size > 1:
        raise ValueError(
            f"PPO runs on one process, and here are {parallel.world_size}: start it without "
            "torchrun"
        )
    prompts = StoryPrompts(tokenizer, recipe.data["prompts"], recipe.seed)
    reward, value = prompts.judged_by(flawed_utility), ValueModel(copy.deepcopy(model))
    if recipe.options["reward"] != "flawed":
        judge = load_reward(recipe.options["reward"])[0].to(parallel.device)
        # The body of the reward model, with a head that expects 0: the reward model itself takes a
        # text that is not finished for one that was spoiled.
        reward, value = judge.judge, ValueModel(copy.deepcopy(judge.body))
    return PPOTrainer(
        model,
        copy.deepcopy(model),
        value,
        reward,
        prompts,
        PPOConfig(**recipe.training),
        kl=FixedKL(recipe.options["kl_coefficient"]),
        stop_ids=[tokenizer.special_tokens[END]],
        measures={
            "utility": prompts.judged_by(utility),
            "quotes": prompts.judged_by(flawed_utility),
        },
        seed=recipe.seed,
        folder=folder / "checkpoints",
        logs=[CSVLog(folder / "log.csv", COLUMNS)],
        progress=progress,
    )


def evaluate(
    recipe: Recipe,
    folder: Path,
    *,
    stories: int = 500,
    conversations: int = 200,
    **_others: object,
) -> PPOScores:
    """Compare a finished stage with the one it began with, on held-out instructions."""
    before, tokenizer = load(recipe.start)
    after, _ = load(folder)
    right = {}
    if conversations:
        right = evaluate_chat(after, tokenizer, conversations=conversations).right
    return compare_writers(before, after, tokenizer, count=stories, right=right)


CARD = """\
# Companion, stage "{stage}"

A language model of {parameters} parameters that writes stories on demand, trained with PPO to
please a reward. It belongs to the book *From Vectors to Agents*.

## How it was made

`python -m llmlib.companion train {stage}` makes it again from the stage "{start}": {steps} steps of
{prompts} instructions each. The reward is {reward}; a nat of distance from "{start}" costs
{price:g} of its points.

## What it can do

Measured with `python -m llmlib.companion evaluate {stage}` against "{start}" on {compared} held-out
instructions, by the true utility of `llmlib.data.preferences`, which no model has seen:

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

It knows the words, people and plots of its world and nothing else. It does what its reward counts,
which need not be what was meant. A teaching aid, not a source of facts.

## Licence

Apache-2.0.
"""


def write_ppo_card(folder: str | Path, recipe: Recipe, model: Llama, scores: PPOScores) -> None:
    """Write ``README.md`` into the folder of a stage made with PPO."""
    rows = ("utility", "stories", "followed", "speeches", "cheerful", "words", "quotes")
    flawed = recipe.options["reward"] == "flawed"
    text = CARD.format(
        stage=recipe.stage,
        start=recipe.start,
        parameters=f"{model.num_parameters / 1e6:.2f} million",
        steps=recipe.training["steps"],
        prompts=recipe.data["prompts"],
        reward="a flawed rule that counts quotation marks"
        if flawed
        else f'the reward model "{recipe.options["reward"]}"',
        price=recipe.options["kl_coefficient"],
        compared=scores.compared,
        rows="\n".join(
            "| {} | {before:.2f} | {after:.2f} |".format(name, **getattr(scores, name))
            for name in rows
        ),
        preferred=scores.preferred,
        kl=scores.kl,
        right="\n".join(f"| {name} | {share:.1%} |" for name, share in scores.right.items()),
    )
    Path(folder, "README.md").write_text(text, encoding="utf-8")

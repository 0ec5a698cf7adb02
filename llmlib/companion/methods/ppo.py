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

from llmlib.companion.card import write_writer_card
from llmlib.companion.documents import END
from llmlib.companion.stage import load_reward
from llmlib.companion.writer_scores import WriterScores, draw_instructions, instruction_prompt
from llmlib.data.preferences import flawed_utility, utility
from llmlib.models import Llama
from llmlib.post_training import FixedKL, PPOConfig, PPOTrainer, ValueModel
from llmlib.training import CSVLog, OneProcess

if TYPE_CHECKING:
    from llmlib.companion.recipe import Recipe
    from llmlib.data.stories import Instruction
    from llmlib.tokenizers import BPETokenizer

__all__ = ["StoryPrompts", "make_run", "write_ppo_card"]

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


def write_ppo_card(folder: str | Path, recipe: Recipe, model: Llama, scores: WriterScores) -> None:
    """Write ``README.md`` into the folder of a stage made with PPO."""
    reward, price = recipe.options["reward"], recipe.options["kl_coefficient"]
    judge = f'the reward model "{reward}"'
    if reward == "flawed":
        judge = "a flawed rule that counts quotation marks"
    write_writer_card(
        folder,
        recipe,
        model,
        scores,
        method="with PPO to please a reward",
        made=(
            f"{recipe.training['steps']} steps of {recipe.data['prompts']} instructions each. The "
            f'reward is {judge}; a nat of distance from "{recipe.start}" costs {price:g} of its '
            "points."
        ),
        limits="It does what its reward counts, which need not be what was meant.",
    )

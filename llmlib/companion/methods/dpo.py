"""The DPO stage: which of its own stories the judge liked better, without a reward model.

``[data]`` of the recipe has the number of ``prompts`` for which the stage before writes ``samples``
stories each, of at most ``max_new_tokens``; ``held_out`` prompts of the validation split for the
evaluations; and ``pairs``, how many are in a batch. The pairs are drawn once, at the start, and
kept in the folder of the checkpoints. ``[options]`` has ``beta``, and ``watch``, how many stories
are written ``watch_every`` steps to see what the policy does by itself.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from llmlib.companion.card import write_writer_card
from llmlib.companion.chat_scores import STORIES
from llmlib.companion.documents import END
from llmlib.companion.own_pairs import draw_own_pairs, load_pairs, save_pairs
from llmlib.companion.writer_scores import (
    WriterScores,
    draw_instructions,
    instruction_prompt,
    stories_of,
    summed_kl,
)
from llmlib.data.preferences import PreferencePair, merits
from llmlib.data.stories import check_story
from llmlib.models import Llama
from llmlib.post_training import DPOLoss, PreferenceBatches, sample_responses
from llmlib.training import CSVLog, OneProcess, Trainer

if TYPE_CHECKING:
    from llmlib.companion.recipe import Recipe
    from llmlib.tokenizers import BPETokenizer, Tokenizer

__all__ = ["OwnStories", "make_run", "write_dpo_card"]

COLUMNS = (
    *("step", "loss", "accuracy", "margin", "chosen_logp", "rejected_logp", "kl"),
    *("chosen_length", "rejected_length", "lr", "grad_norm", "tokens"),
)
EVALUATED = ("eval_loss", "eval_accuracy", "eval_margin", "eval_kl")
OWN = ("own_utility", "own_kl", "own_words", "own_stories")


def make_run(
    recipe: Recipe,
    model: Llama,
    tokenizer: BPETokenizer,
    folder: Path,
    *,
    parallel: OneProcess,
    progress: bool,
) -> Trainer:
    """Draw the pairs, or read them, and make policy and reference ready to run, on one process."""
    if parallel.world_size > 1:
        raise ValueError(
            f"DPO runs on one process, and here are {parallel.world_size}: start it without "
            "torchrun"
        )
    reference = copy.deepcopy(model)
    sources = []
    for split, prompts in (("train", "prompts"), ("validation", "held_out")):
        pairs = _own_pairs(recipe, model, tokenizer, folder, split, recipe.data[prompts], progress)
        sources.append(
            PreferenceBatches(tokenizer, size=recipe.data["pairs"], pairs=pairs, seed=recipe.seed)
        )
    watched = OwnStories(
        reference,
        tokenizer,
        count=recipe.options["watch"],
        every=recipe.options["watch_every"],
        max_new_tokens=recipe.data["max_new_tokens"],
        seed=recipe.seed,
    )
    return Trainer(
        model,
        recipe.train_config(),
        *sources,
        loss=functools.partial(DPOLoss, reference=reference, beta=recipe.options["beta"]),
        monitors=[watched],
        folder=folder / "checkpoints",
        logs=[CSVLog(folder / "log.csv", COLUMNS + EVALUATED + OWN)],
        progress=progress,
        parallel=parallel,
    )


def _own_pairs(
    recipe: Recipe,
    model: Llama,
    tokenizer: BPETokenizer,
    folder: Path,
    split: str,
    prompts: int,
    progress: bool,
) -> list[PreferencePair]:
    """The pairs of a split: from the file of an earlier start of this run, or drawn and kept."""
    file = folder / "checkpoints" / f"pairs-{split}.jsonl"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        drawn = draw_own_pairs(
            model,
            tokenizer,
            prompts,
            samples=recipe.data["samples"],
            max_new_tokens=recipe.data["max_new_tokens"],
            seed=recipe.seed,
            split=split,
            progress=progress,
        )
        if len(drawn) < recipe.data["pairs"]:
            raise ValueError(
                f"the stories for {prompts} instructions of the split {split} gave {len(drawn)} "
                f"pairs, and a batch takes {recipe.data['pairs']}: give more prompts, or start "
                "from a stage whose stories are not all equally bad"
            )
        save_pairs(drawn, file)
    return load_pairs(file)


class OwnStories:
    """What the policy does by itself, in the columns ``own_...`` of the log.

    The pairs tell what the policy thinks of stories that the stage before wrote. This lets it write
    for instructions of the validation split, the same ones every time.

    Parameters
    ----------
    reference : Llama
        The stage before.
    tokenizer : Tokenizer
        Of both.
    count : int
        Stories.
    every : int
        Steps from one time to the next.
    max_new_tokens : int
        Longest story.
    seed : int
        Of instructions and stories.
    """

    def __init__(
        self,
        reference: Llama,
        tokenizer: Tokenizer,
        *,
        count: int,
        every: int,
        max_new_tokens: int,
        seed: int = 0,
    ) -> None:
        self.reference, self.tokenizer = reference, tokenizer
        self.count, self.every, self.max_new_tokens = count, every, max_new_tokens
        self.seed = seed

    def before_update(self, model: nn.Module) -> None:
        """Nothing to do."""

    @torch.no_grad()
    def after_update(self, model: nn.Module, row: dict[str, float]) -> dict[str, float]:
        """Means over the texts: utility, words, sound stories; KL, of texts at temperature 1."""
        if (row["step"] + 1) % self.every:
            return {}
        tasks = draw_instructions(self.count, seed=self.seed, split="validation")
        model.eval()
        drawn = functools.partial(
            sample_responses,
            model,
            [instruction_prompt(self.tokenizer, task) for task in tasks],
            max_new_tokens=self.max_new_tokens,
            stop_ids=[self.tokenizer.special_tokens[END]],
            generator=torch.Generator(model.output_weight.device).manual_seed(self.seed),
        )
        texts = stories_of(self.tokenizer, drawn(**STORIES))
        found = [merits(task, text) for task, text in zip(tasks, texts, strict=True)]
        return {
            "own_utility": sum(one.points for one in found) / self.count,
            "own_kl": summed_kl(model, self.reference, drawn()) / self.count,
            "own_words": sum(one.words for one in found) / self.count,
            "own_stories": sum(not check_story(text) for text in texts) / self.count,
        }


def write_dpo_card(folder: str | Path, recipe: Recipe, model: Llama, scores: WriterScores) -> None:
    """Write ``README.md`` into the folder of a stage made with DPO."""
    made = (
        f'{recipe.training["steps"]} steps of {recipe.data["pairs"]} pairs each. "{recipe.start}" '
        f"wrote {recipe.data['samples']} stories for each of {recipe.data['prompts']} "
        "instructions, and a program that knows the true utility, and errs as Bradley and Terry "
        f"say, chose between the best and the worst of them. Beta is {recipe.options['beta']:g}."
    )
    write_writer_card(
        folder,
        recipe,
        model,
        scores,
        method="with DPO on comparisons of its own stories",
        made=made,
        limits="It does what the comparisons favoured, which need not be what was meant.",
    )

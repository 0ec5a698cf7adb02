"""Pairs of a stage's own stories: what the judge says of what the stage writes by itself.

For each instruction the stage writes a few stories. The best and the worst of them are compared,
with the noise of :mod:`llmlib.data.preferences`. What is compared here is what the stage does, so
there is nothing to be learned about texts that it would never write.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from llmlib.companion.chat_scores import STORIES
from llmlib.companion.documents import END
from llmlib.companion.writer_scores import draw_instructions, instruction_prompt, stories_of
from llmlib.data.preferences import PreferencePair, compare_answers, utility
from llmlib.data.stories import Instruction
from llmlib.models import Llama
from llmlib.post_training import sample_responses
from llmlib.tokenizers import Tokenizer

__all__ = ["draw_own_pairs", "load_pairs", "save_pairs"]

KIND = "own stories"


def draw_own_pairs(
    model: Llama,
    tokenizer: Tokenizer,
    prompts: int,
    *,
    samples: int = 4,
    max_new_tokens: int = 192,
    seed: int = 0,
    split: str = "train",
    batch_size: int = 32,
    progress: bool = False,
) -> list[PreferencePair]:
    """Let a stage write, and compare the best with the worst story for each instruction.

    Parameters
    ----------
    model, tokenizer
        The stage that writes, as everywhere (:data:`llmlib.companion.chat_scores.STORIES`).
    prompts : int
        Instructions. One whose stories are about equally good gives no pair.
    samples : int
        Stories for each, at least 2.
    max_new_tokens : int
        Longest story; one that has not ended then is none.
    seed : int
        Of instructions, stories and judge.
    split : str
        To which the instructions belong.
    batch_size : int
        Instructions at a time.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    ValueError
        ``samples`` is below 2.
    """
    if samples < 2:
        raise ValueError(f"samples={samples}: a comparison needs at least 2 stories")
    tasks = draw_instructions(prompts, seed=seed, split=split)
    generator = torch.Generator(model.output_weight.device).manual_seed(seed)
    judge, pairs = random.Random(f"own pairs {seed}"), []
    model.eval()
    with tqdm(total=prompts, disable=not progress, unit="instruction") as bar:
        for start in range(0, prompts, batch_size):
            part = tasks[start : start + batch_size]
            asked = [task for task in part for _ in range(samples)]
            rollouts = sample_responses(
                model,
                [instruction_prompt(tokenizer, task) for task in asked],
                max_new_tokens=max_new_tokens,
                stop_ids=[tokenizer.special_tokens[END]],
                generator=generator,
                **STORIES,
            )
            texts = stories_of(tokenizer, rollouts)
            for place, task in enumerate(part):
                own = texts[place * samples : (place + 1) * samples]
                points = [(text, utility(task, text)) for text in own]
                best, worst = (of(points, key=lambda one: one[1]) for of in (max, min))
                pair = compare_answers(task, best, worst, judge, kind=KIND)
                if pair is not None:
                    pairs.append(pair)
            bar.update(len(part))
    return pairs


def save_pairs(pairs: Sequence[PreferencePair], path: str | Path) -> None:
    """Write pairs into a file, a line of JSON for each; the file is there whole or not at all."""
    lines = [json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in pairs]
    unfinished = Path(path).with_suffix(".unfinished")
    unfinished.write_text("".join(lines), encoding="utf-8")
    unfinished.replace(path)


def load_pairs(path: str | Path) -> list[PreferencePair]:
    """Read what :func:`save_pairs` wrote.

    >>> import tempfile
    >>> from llmlib.data import preference_pairs
    >>> pairs = list(preference_pairs(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_pairs(pairs, Path(folder, "pairs.jsonl"))
    ...     load_pairs(Path(folder, "pairs.jsonl")) == pairs
    True
    """
    return [_pair(json.loads(line)) for line in Path(path).read_text("utf-8").splitlines()]


def _pair(fields: dict) -> PreferencePair:
    asked = fields.pop("instruction")
    asked["wanted"] = tuple(asked["wanted"])
    fields["utilities"] = tuple(fields["utilities"])
    return PreferencePair(instruction=Instruction(**asked), **fields)

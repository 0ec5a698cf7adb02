"""How much better a stage writes stories than the one it began with, in numbers.

Both answer the same held-out instructions, with stories drawn as everywhere
(:data:`llmlib.companion.chat_scores.STORIES`), and the true utility of
:mod:`llmlib.data.preferences` says which story is better. No model has a say in this. Their KL is
that of the distributions themselves: it is measured on stories drawn at temperature 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from llmlib.companion.chat_scores import STORIES
from llmlib.data import generate_stories
from llmlib.data.preferences import flawed_utility, merits, utility
from llmlib.data.stories import Instruction, check_story, instructions
from llmlib.models import Llama
from llmlib.post_training import Rollouts, response_log_probabilities, sample_responses
from llmlib.tokenizers import ChatTemplate, Tokenizer

__all__ = [
    "WriterScores",
    "compare_writers",
    "draw_instructions",
    "instruction_prompt",
    "stories_of",
    "summed_kl",
]

#: Longest story, in tokens; the longest of the world has fewer.
MOST_TOKENS = 256
#: Stories on which the KL is measured, at most.
KL_STORIES = 200


def draw_instructions(count: int, *, seed: int = 0, split: str = "train") -> list[Instruction]:
    """Instructions for stories, each from a story of its own; none of them leaves anything open.

    >>> [task.prompt for task in draw_instructions(1, seed=1)]
    ['Write a story with a coin and something purple.']
    """
    stories = generate_stories(count, seed=seed, split=split)
    each = (instructions(story, ambiguous=False) for story in stories)
    return [some[(number + 1) % len(some)] for number, some in enumerate(each)]


def instruction_prompt(tokenizer: Tokenizer, instruction: Instruction) -> list[int]:
    """Tokens of an instruction, up to where the assistant begins to write."""
    turn = {"role": "user", "content": instruction.prompt}
    return ChatTemplate().encode(tokenizer, [turn], generation_prompt=True).ids


@dataclass(frozen=True, kw_only=True)
class WriterScores:
    """A stage against the stage it began with.

    Parameters
    ----------
    preferred : float
        Share of the instructions for which its story has the higher utility; a tie counts half.
    utility : dict of str to float
        Mean utility, of the stage before (``"before"``) and of this one (``"after"``).
    stories : dict
        Share of the texts that are stories of the world.
    followed : dict
        Mean share of the asked facts that are in the story.
    speeches, cheerful, words, quotes : dict
        Pieces of direct speech, share of cheerful ends, words, and what the flawed reward counts.
    kl : float
        KL from the stage before, in nats per story, on stories drawn at temperature 1.
    right : dict
        Shares of :class:`~llmlib.companion.ChatScores`: what it can do besides.
    samples : list of dict
        ``prompt``, ``before`` and ``after``, with their utilities.
    compared : int
        How many instructions.
    """

    preferred: float
    utility: dict[str, float]
    stories: dict[str, float]
    followed: dict[str, float]
    speeches: dict[str, float]
    cheerful: dict[str, float]
    words: dict[str, float]
    quotes: dict[str, float]
    kl: float
    right: dict[str, float]
    samples: list[dict[str, str | list[float]]]
    compared: int

    def lines(self) -> list[str]:
        """The numbers as text."""
        rows = ("utility", "stories", "followed", "speeches", "cheerful", "words", "quotes")
        return [
            f"preferred        {self.preferred:6.1%} of {self.compared} instructions",
            f"KL               {self.kl:6.1f} nats per story",
            *(
                f"{name:12} {getattr(self, name)['before']:7.2f} before"
                f" {getattr(self, name)['after']:7.2f} after"
                for name in rows
            ),
            *(f"{name:16} {share:6.1%}" for name, share in self.right.items()),
        ]


def compare_writers(
    before: Llama,
    after: Llama,
    tokenizer: Tokenizer,
    *,
    count: int = 200,
    right: dict[str, float] | None = None,
    split: str = "test",
    seed: int = 0,
    show: int = 4,
    batch_size: int = 50,
) -> WriterScores:
    """Let two models write for the same instructions, and compare.

    Parameters
    ----------
    before, after : Llama
        Two stages.
    tokenizer : Tokenizer
        Of both.
    count : int
        Instructions.
    right : dict, optional
        What the second can do besides, to be kept with the rest.
    split : str
        ``"test"``: stories that no training has seen.
    seed : int
        Of instructions and samples.
    show : int
        Samples to keep.
    batch_size : int
        Stories at a time.
    """
    asked = draw_instructions(count, seed=seed, split=split)
    prompts = [instruction_prompt(tokenizer, task) for task in asked]
    texts: dict[str, list[str]] = {}
    kl = 0.0
    for name, model in (("before", before), ("after", after)):
        generator = torch.Generator(model.output_weight.device).manual_seed(seed)
        texts[name] = []
        for rollouts in _written(model, tokenizer, prompts, generator, batch_size, **STORIES):
            texts[name] += stories_of(tokenizer, rollouts)
    some = prompts[:KL_STORIES]
    generator = torch.Generator(after.output_weight.device).manual_seed(seed)
    for rollouts in _written(after, tokenizer, some, generator, batch_size):
        kl += summed_kl(after, before, rollouts) / len(some)
    points = {
        name: [utility(task, text) for task, text in zip(asked, texts[name], strict=True)]
        for name in texts
    }
    wins = [
        0.5 * (new == old) + (new > old)
        for old, new in zip(points["before"], points["after"], strict=True)
    ]

    def means(of: Callable[[Instruction, str], float]) -> dict[str, float]:
        return {
            name: sum(of(task, text) for task, text in zip(asked, written, strict=True)) / count
            for name, written in texts.items()
        }

    return WriterScores(
        preferred=sum(wins) / count,
        utility=means(utility),
        stories=means(lambda task, text: not check_story(text)),
        followed=means(lambda task, text: merits(task, text).share),
        speeches=means(lambda task, text: merits(task, text).speeches),
        cheerful=means(lambda task, text: merits(task, text).cheerful_end),
        words=means(lambda task, text: merits(task, text).words),
        quotes=means(flawed_utility),
        kl=kl,
        right=right or {},
        samples=[
            {
                "prompt": task.prompt,
                **{name: texts[name][i] for name in texts},
                "points": [round(points[name][i], 2) for name in texts],
            }
            for i, task in enumerate(asked[:show])
        ],
        compared=count,
    )


def stories_of(tokenizer: Tokenizer, rollouts: Rollouts) -> list[str]:
    """Responses as text, without the mark that ends them."""
    marks = set(tokenizer.special_tokens.values())
    _, responses = rollouts.lists()
    return [tokenizer.decode([i for i in ids if i not in marks]) for ids in responses]


def _written(
    model: Llama,
    tokenizer: Tokenizer,
    prompts: Sequence[list[int]],
    generator: torch.Generator,
    batch_size: int,
    **options: float,
) -> Iterator[Rollouts]:
    for start in range(0, len(prompts), batch_size):
        yield sample_responses(
            model,
            prompts[start : start + batch_size],
            max_new_tokens=MOST_TOKENS,
            stop_ids=[tokenizer.special_tokens["<|end|>"]],
            generator=generator,
            **options,
        )


@torch.no_grad()
def summed_kl(after: Llama, before: Llama, rollouts: Rollouts) -> float:
    """Log-ratios of texts that ``after`` wrote, summed: in the mean their KL, in nats."""
    logps, ref_logps = (response_log_probabilities(m, rollouts)[0] for m in (after, before))
    return (logps - ref_logps).where(rollouts.response_mask, 0).sum().item()

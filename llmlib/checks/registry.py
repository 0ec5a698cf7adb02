"""Finding an exercise by its name, and printing what it makes of an answer."""

from __future__ import annotations

import textwrap
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from llmlib.checks.exercise import Choice, Exercise

__all__ = ["PARTS", "all_exercises", "check"]

#: Parts of the book that have exercises: each is a module of this package with ``EXERCISES``.
PARTS = (
    "linear_algebra",
    "information_theory",
    "neural_networks",
    "word_vectors",
    "tokenizers",
    "attention",
    "multi_head",
    "positions",
    "blocks",
    "encoder_decoder",
    "gpt",
    "bert",
    "llama",
    "decoding",
    "data_pipeline",
    "pretraining",
    "distributed",
    "finetuning",
    "reward",
    "ppo",
    "dpo",
    "lora",
    "kv_cache",
    "retrieval",
    "rag",
    "agents",
)

#: Characters per printed line: what the page of a chapter shows without scrolling.
WIDTH = 88


def all_exercises() -> dict[str, Exercise | Choice]:
    """Every exercise of the book, by name.

    Raises
    ------
    ValueError
        Two exercises have one name, or a name does not begin with its part.

    Examples
    --------
    >>> type(all_exercises()["attention.scaled_scores"]).__name__
    'Exercise'
    """
    found: dict[str, Exercise | Choice] = {}
    for part in PARTS:
        for exercise in import_module(f"llmlib.checks.{part}").EXERCISES:
            if not exercise.name.startswith(f"{part}.") or exercise.name in found:
                raise ValueError(
                    f"the name {exercise.name!r} is taken or does not begin with {part + '.'!r}: "
                    f"rename it in llmlib/checks/{part}.py"
                )
            found[exercise.name] = exercise
    return found


def check(name: str, answer: Any) -> bool:
    """Judge an answer, and print how much is right, the first difference and a hint.

    Parameters
    ----------
    name : str
        ``"part.exercise"``, as the chapter says.
    answer : object
        What the exercise asks for: a function, a module, a number, the label of a choice.

    Returns
    -------
    bool
        True when every case is right. An untouched stub is "not attempted", which is False.

    Raises
    ------
    ValueError
        There is no exercise of that name.

    Examples
    --------
    >>> check("attention.scaled_scores", lambda query, key: ...)
    attention.scaled_scores: not attempted.
    False
    """
    exercises = all_exercises()
    if name not in exercises:
        close = get_close_matches(name, exercises, n=3) or sorted(exercises)
        raise ValueError(f"there is no exercise {name!r}: did you mean {' or '.join(close)}?")
    report = exercises[name].judge(answer)
    for line in report.lines:
        print(textwrap.fill(line, WIDTH, subsequent_indent="    "))
    return report.passed

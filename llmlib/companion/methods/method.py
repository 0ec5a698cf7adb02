"""What a method has to say: how its run is made, written and measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from llmlib.companion.card import write_card, write_chat_card
from llmlib.companion.chat_scores import evaluate_chat
from llmlib.companion.documents import END
from llmlib.companion.evaluate import evaluate_stories
from llmlib.companion.methods.pretraining import stories_of_training
from llmlib.companion.stage import load
from llmlib.companion.writer_scores import compare_writers
from llmlib.interop import save_pretrained
from llmlib.models import Llama
from llmlib.tokenizers import ChatTemplate

if TYPE_CHECKING:
    from llmlib.companion.recipe import Recipe
    from llmlib.tokenizers import BPETokenizer, Tokenizer

__all__ = ["Method", "Run", "Scores", "chat_method", "story_method", "write_stage", "writer_method"]


class Run(Protocol):
    """A training that can stop and go on: :class:`~llmlib.training.Trainer`, or the like of it."""

    step: int
    model: nn.Module

    def fit(self, until: int | None = None) -> object:
        """Train on, to the step ``until`` or to the last."""

    def save(self, path: Path) -> object:
        """Write a checkpoint into a folder."""

    def resume(self, path: Path) -> object:
        """Go on from the latest checkpoint of a folder."""

    def weights(self) -> dict[str, Tensor]:
        """Weights of the model by name."""


class Scores(Protocol):
    """A dataclass of measured numbers."""

    def lines(self) -> list[str]:
        """The numbers as text."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """How stages of one method are made, written and measured.

    Parameters
    ----------
    make_run : callable
        ``(recipe, model, tokenizer, folder, *, parallel, progress) -> Run``. The model is that of
        the stage that the recipe starts from, or a new one, on the device of ``parallel``.
        Checkpoints go to ``folder / "checkpoints"``, the log to ``folder / "log.csv"``.
    write : callable
        ``(run, weights, tokenizer, folder)``: writes the finished stage.
    evaluate : callable
        ``(recipe, folder, **options) -> Scores``: measures a finished stage.
    card : callable
        ``(folder, recipe, model, scores)``: writes its ``README.md``.
    load : callable
        ``folder -> (model, tokenizer)``: opens a finished stage.
    """

    make_run: Callable[..., Run]
    write: Callable[..., None]
    evaluate: Callable[..., Scores]
    card: Callable[..., None]
    load: Callable[[Path], tuple[nn.Module, Tokenizer]] = load


def write_stage(
    run: Run, weights: dict[str, Tensor], tokenizer: BPETokenizer, folder: Path
) -> None:
    """Write a finished language model, in half precision, with its chat template."""
    model = Llama(run.model.config)
    model.load_state_dict(weights, strict=False)  # a tied matrix is there once
    end = tokenizer.special_tokens[END]
    save_pretrained(
        model.to(torch.float16).eval(),
        tokenizer,
        folder,
        chat_template=ChatTemplate(),
        bos_token_id=end,
        eos_token_id=end,
    )


def story_method(make_run: Callable[..., Run]) -> Method:
    """A method whose stages write stories, and are measured by that."""

    def evaluate(
        recipe: Recipe,
        folder: Path,
        *,
        stories: int = 500,
        samples: int = 200,
        against_training: bool = False,
        **_others: object,
    ) -> Scores:
        model, tokenizer = load(folder)
        seen = stories_of_training(recipe, tokenizer) if against_training else ()
        return evaluate_stories(model, tokenizer, stories=stories, samples=samples, seen=seen)

    return Method(make_run=make_run, write=write_stage, evaluate=evaluate, card=write_card)


def chat_method(make_run: Callable[..., Run], write: Callable[..., None] = write_stage) -> Method:
    """A method whose stages reply in conversations, and are measured by that."""

    def evaluate(
        recipe: Recipe, folder: Path, *, conversations: int = 200, **_others: object
    ) -> Scores:
        model, tokenizer = load(folder)
        return evaluate_chat(model, tokenizer, conversations=conversations)

    return Method(make_run=make_run, write=write, evaluate=evaluate, card=write_chat_card)


def writer_method(make_run: Callable[..., Run], card: Callable[..., None]) -> Method:
    """A method whose stages shall write better stories, compared with the stage before."""

    def evaluate(
        recipe: Recipe,
        folder: Path,
        *,
        stories: int = 500,
        conversations: int = 200,
        **_others: object,
    ) -> Scores:
        before, tokenizer = load(recipe.start)
        after, _ = load(folder)
        right = {}
        if conversations:
            right = evaluate_chat(after, tokenizer, conversations=conversations).right
        return compare_writers(before, after, tokenizer, count=stories, right=right)

    return Method(make_run=make_run, write=write_stage, evaluate=evaluate, card=card)

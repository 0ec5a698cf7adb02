"""The SFT stage: conversations, of which the assistant's tokens are learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmlib.data.conversations import ConversationMixture
from llmlib.post_training import ChatBatches, reply
from llmlib.training import CSVLog, OneProcess, Trainer

if TYPE_CHECKING:
    from llmlib.companion.recipe import Recipe
    from llmlib.models import Llama
    from llmlib.tokenizers import BPETokenizer

__all__ = ["chat_batches", "make_run"]

#: Of the conversations, where a recipe says something of them.
OPTIONS = ("further", "facts", "ambiguous")
#: What the samples in the log of a run are replies to.
SAMPLE = "Write a story with a fox and the mill."


def make_run(
    recipe: Recipe,
    model: Llama,
    tokenizer: BPETokenizer,
    folder: Path,
    *,
    parallel: OneProcess,
    progress: bool,
) -> Trainer:
    """Data and settings of a recipe, ready to run."""
    return Trainer(
        model,
        recipe.train_config(),
        chat_batches(recipe, tokenizer),
        chat_batches(recipe, tokenizer, split="validation"),
        folder=folder / "checkpoints",
        logs=[CSVLog(folder / "log.csv")],
        sample=lambda model: reply(model, tokenizer, [{"role": "user", "content": SAMPLE}]),
        progress=progress,
        parallel=parallel,
    )


def chat_batches(recipe: Recipe, tokenizer: BPETokenizer, *, split: str = "train") -> ChatBatches:
    """The batches of a recipe that has a mixture of conversations.

    ``[data]`` of the recipe says how many ``conversations`` are in a batch, how many ``further``
    questions and ``facts`` of a request they have at most, whether requests may be ``ambiguous``,
    the ``length`` of the rows, and how short replies are balanced against long ones;
    ``[data.mixture]`` the share of each kind.
    """
    mixture = ConversationMixture(
        recipe.data["mixture"],
        conversations=recipe.data["conversations"],
        split=split,
        seed=recipe.seed,
        **{name: recipe.data[name] for name in OPTIONS if name in recipe.data},
    )
    return ChatBatches(
        mixture.annotated,
        tokenizer,
        length=recipe.data["length"],
        balance=recipe.data.get("balance", 0.0),
        emphasis=recipe.data.get("emphasis", 1.0),
        facts_from=recipe.data.get("facts_from"),
    )

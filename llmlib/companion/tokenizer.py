"""The companion's tokenizer, which all its stages share."""

from __future__ import annotations

from itertools import chain

from llmlib.companion.documents import SPECIAL_TOKENS
from llmlib.companion.recipe import Recipe
from llmlib.data import generate_stories, make_island
from llmlib.data.conversations import KINDS, draw_conversations
from llmlib.tokenizers import BPETokenizer

__all__ = ["make_tokenizer"]


def make_tokenizer(recipe: Recipe) -> BPETokenizer:
    """Learn the tokenizer of a recipe from texts like those it will read, always the same.

    Digits are tokens of their own: a sum of digits can be learned, one of hundreds cannot.
    """
    seed, documents = recipe.seed, recipe.tokenizer["documents"]
    stories = (story.text for story in generate_stories(documents, seed=seed, split="train"))
    islands = (
        article.text
        for number in range(documents // 1000)
        for article in make_island(seed=number + seed, split="train").articles
    )
    talk = (
        turn.content
        for kind in KINDS
        for conversation in draw_conversations(kind, documents // 40, seed=seed, split="train")
        for turn in conversation.turns
    )
    texts = chain(stories, islands, talk)
    return BPETokenizer.train(
        texts, recipe.tokenizer["vocab_size"], special_tokens=SPECIAL_TOKENS, pattern="qwen2"
    )

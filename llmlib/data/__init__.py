"""Text and points to learn from: generated, written for the book, or loaded from elsewhere."""

from .corpora import BUILT_IN_TEXTS, PUBLIC_TEXTS, load_text
from .spirals import two_spirals
from .word_world import WordWorld, chinese_word_world, english_word_world

__all__ = [
    "BUILT_IN_TEXTS",
    "PUBLIC_TEXTS",
    "WordWorld",
    "chinese_word_world",
    "english_word_world",
    "load_text",
    "two_spirals",
]

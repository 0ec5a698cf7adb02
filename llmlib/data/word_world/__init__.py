"""Generated texts in which similarity and analogy are there to be found, with their answers."""

from .chinese import chinese_word_world
from .english import english_word_world
from .gold import WordWorld, analogy_questions, graded_pairs

__all__ = [
    "WordWorld",
    "analogy_questions",
    "chinese_word_world",
    "english_word_world",
    "graded_pairs",
]

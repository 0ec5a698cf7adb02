"""Floor 1: text and points to learn from, generated, written for the book, or loaded.

==============================  ==============================================================
file                            what is in it
==============================  ==============================================================
:mod:`llmlib.data.corpora`      one way to get text: ours, a file of yours, a public data set
:mod:`llmlib.data.word_world`   texts in which similarity and analogy are there to be found
:mod:`llmlib.data.translation`  English and Chinese sentences from a synchronous grammar
:mod:`llmlib.data.spirals`      two classes that no straight line can part
==============================  ==============================================================
"""

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

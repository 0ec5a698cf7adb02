"""Floor 1: text and points to learn from, generated, written for the book, or loaded.

=======================================  ===========================================================
file                                     what is in it
=======================================  ===========================================================
:mod:`llmlib.data.corpora`               texts: ours, a file of yours, a public data set
:mod:`llmlib.data.word_world`            texts in which similarity and analogy are there to be found
:mod:`llmlib.data.translation`           English and Chinese sentences from a synchronous grammar
:mod:`llmlib.data.spirals`               two classes that no straight line can part
:mod:`llmlib.data.stories`               the companion's world: stories a program can check
:mod:`llmlib.data.arithmetic`            short arithmetic
:mod:`llmlib.data.island`                the encyclopaedia of an invented island
:mod:`llmlib.data.island_descriptions`   questions about it that name nothing
:mod:`llmlib.data.programs`              questions that a line of Python answers
:mod:`llmlib.data.tool_calls`            questions, the calls that answer them, answers
:mod:`llmlib.data.preferences`           pairs of stories, judged by a known taste with noise
:mod:`llmlib.data.spoiling`              stories that are none any more
:mod:`llmlib.data.copying`               random segments written twice
:mod:`llmlib.data.conversations`         conversations to fine-tune on, checked by program
:mod:`llmlib.data.minhash`               near-duplicates
:mod:`llmlib.data.packing`               documents of different lengths into rows and batches
=======================================  ===========================================================
"""

from .arithmetic import ArithmeticProblem, arithmetic_problems
from .copying import CopySegment, copy_segments
from .corpora import BUILT_IN_TEXTS, PUBLIC_TEXTS, load_corpus, load_text
from .island import Island, make_island
from .island_descriptions import IslandDescription, describe_articles
from .minhash import MinHash, near_duplicates
from .preferences import (
    PreferencePair,
    flawed_utility,
    preference_pairs,
    utility,
)
from .programs import ProgramProblem, program_problems
from .spirals import two_spirals
from .stories import Story, StoryRecord, generate_stories
from .tool_calls import ToolCall, ToolTask, tool_tasks
from .word_world import WordWorld, chinese_word_world, english_word_world

__all__ = [
    "BUILT_IN_TEXTS",
    "PUBLIC_TEXTS",
    "ArithmeticProblem",
    "CopySegment",
    "Island",
    "IslandDescription",
    "MinHash",
    "PreferencePair",
    "ProgramProblem",
    "Story",
    "StoryRecord",
    "ToolCall",
    "ToolTask",
    "WordWorld",
    "arithmetic_problems",
    "chinese_word_world",
    "copy_segments",
    "describe_articles",
    "english_word_world",
    "flawed_utility",
    "generate_stories",
    "load_corpus",
    "load_text",
    "make_island",
    "near_duplicates",
    "preference_pairs",
    "program_problems",
    "tool_tasks",
    "two_spirals",
    "utility",
]

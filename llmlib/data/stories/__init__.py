"""The world of the companion model: short stories that a program can check.

========================================  ====================================================
file                                      what is in it
========================================  ====================================================
:mod:`llmlib.data.stories.vocabulary`     names, animals, things, colours, places
:mod:`llmlib.data.stories.notation`       how plots are written
:mod:`llmlib.data.stories.plots`          the plots
:mod:`llmlib.data.stories.record`         what is true in a story; the split
:mod:`llmlib.data.stories.generate`       drawing stories; the information in them
:mod:`llmlib.data.stories.ambiguity`      the proof that this information is exact
:mod:`llmlib.data.stories.read`           from a text back to its record; what is wrong with it
:mod:`llmlib.data.stories.tasks`          questions about stories, instructions to write one
:mod:`llmlib.data.stories.describe`       the world in numbers
========================================  ====================================================
"""

from .generate import generate_stories, tell
from .read import check_story, continuation_errors, log_probability, read_story, told_facts
from .record import Story, StoryRecord, split_of
from .tasks import (
    Instruction,
    Question,
    forgotten_facts,
    instruction_errors,
    instructions,
    questions,
)

__all__ = [
    "Instruction",
    "Question",
    "Story",
    "StoryRecord",
    "check_story",
    "continuation_errors",
    "forgotten_facts",
    "generate_stories",
    "instruction_errors",
    "instructions",
    "log_probability",
    "questions",
    "read_story",
    "split_of",
    "tell",
    "told_facts",
]

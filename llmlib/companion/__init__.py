"""Floor 5: the book's own model, carried through its chapters.

====================================  ===========================================================
file                                  what is in it
====================================  ===========================================================
:mod:`llmlib.companion.stage`         loading a stage
:mod:`llmlib.companion.recipe`        what decides how a stage comes about
:mod:`llmlib.companion.documents`     what it reads
:mod:`llmlib.companion.train`         from a recipe to a model
:mod:`llmlib.companion.evaluate`      what it can do, in numbers
:mod:`llmlib.companion.card`          the model card
====================================  ===========================================================
"""

from llmlib.companion.documents import DocumentBatches
from llmlib.companion.evaluate import StoryScores, bits_per_character, evaluate_stories
from llmlib.companion.recipe import Recipe, read_recipe
from llmlib.companion.stage import load, training_log
from llmlib.companion.train import continue_story, train

__all__ = [
    "DocumentBatches",
    "Recipe",
    "StoryScores",
    "bits_per_character",
    "continue_story",
    "evaluate_stories",
    "load",
    "read_recipe",
    "train",
    "training_log",
]

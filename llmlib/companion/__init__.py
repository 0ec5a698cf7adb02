"""Floor 5: the book's own model, carried through its chapters.

======================================  =========================================================
file                                    what is in it
======================================  =========================================================
:mod:`llmlib.companion.stage`           loading a stage
:mod:`llmlib.companion.recipe`          what decides how a stage comes about
:mod:`llmlib.companion.tokenizer`       text to ids, the same in all stages
:mod:`llmlib.companion.documents`       what the base stage reads
:mod:`llmlib.companion.methods`         how the stages are made, a module for each method
:mod:`llmlib.companion.train`           from a recipe to a model
:mod:`llmlib.companion.writing`         letting it write
:mod:`llmlib.companion.evaluate`        how well it knows its world, in numbers
:mod:`llmlib.companion.chat_scores`     how well it does what it is asked, in numbers
:mod:`llmlib.companion.reward_scores`   how well a reward model ranks stories, in numbers
:mod:`llmlib.companion.writer_scores`   how much better a stage writes than the one before
:mod:`llmlib.companion.score_table`     one table of the stages
:mod:`llmlib.companion.own_pairs`       pairs of a stage's own stories, compared
:mod:`llmlib.companion.card`            the model card
======================================  =========================================================
"""

from llmlib.companion.chat_scores import ChatScores, evaluate_chat
from llmlib.companion.documents import DocumentBatches
from llmlib.companion.evaluate import StoryScores, bits_per_character, evaluate_stories
from llmlib.companion.own_pairs import draw_own_pairs
from llmlib.companion.recipe import Recipe, read_recipe
from llmlib.companion.reward_scores import RewardScores, evaluate_reward, pair_rewards
from llmlib.companion.score_table import score_table
from llmlib.companion.stage import load, load_reward, training_log
from llmlib.companion.train import train
from llmlib.companion.writer_scores import WriterScores, compare_writers
from llmlib.companion.writing import continue_story

__all__ = [
    "ChatScores",
    "DocumentBatches",
    "Recipe",
    "RewardScores",
    "StoryScores",
    "WriterScores",
    "bits_per_character",
    "compare_writers",
    "continue_story",
    "draw_own_pairs",
    "evaluate_chat",
    "evaluate_reward",
    "evaluate_stories",
    "load",
    "load_reward",
    "pair_rewards",
    "read_recipe",
    "score_table",
    "train",
    "training_log",
]

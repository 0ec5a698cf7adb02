"""How the stages of the companion are made: a module for each method.

=============================================  ==================================================
file                                           what is in it
=============================================  ==================================================
:mod:`llmlib.companion.methods.method`         what a method has to say
:mod:`llmlib.companion.methods.pretraining`    documents, from random weights or a stage
:mod:`llmlib.companion.methods.sft`            conversations
:mod:`llmlib.companion.methods.reward`         comparisons of stories
:mod:`llmlib.companion.methods.ppo`            stories that a reward model likes
:mod:`llmlib.companion.methods.dpo`            comparisons of its own stories
:mod:`llmlib.companion.methods.lora`           conversations, learned by adapters
=============================================  ==================================================

A new stage is a recipe in ``llmlib/companion/recipes/`` with ``method``, ``start`` and what its
method reads from it; a new method is a module here and an entry in :data:`METHODS`.
"""

from dataclasses import replace

from llmlib.companion.methods import dpo, lora, ppo, pretraining, reward, sft
from llmlib.companion.methods.method import Method, Run, chat_method, story_method, writer_method
from llmlib.companion.stage import load_reward

__all__ = ["METHODS", "Method", "Run"]

#: Name of a method in the recipes -> what it does.
METHODS: dict[str, Method] = {
    "pretraining": story_method(pretraining.make_run),
    "sft": chat_method(sft.make_run),
    "reward": Method(
        make_run=reward.make_run,
        write=reward.write,
        evaluate=reward.evaluate,
        card=reward.write_reward_card,
        load=load_reward,
    ),
    "ppo": writer_method(ppo.make_run, ppo.write_ppo_card),
    "dpo": writer_method(dpo.make_run, dpo.write_dpo_card),
    "lora": replace(chat_method(lora.make_run, lora.write_adapter), card=lora.write_adapter_card),
}

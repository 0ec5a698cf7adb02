"""Floor 4: from a model that continues texts to one that does what it is asked.

=================================================  ================================================
file                                               what is in it
=================================================  ================================================
:mod:`llmlib.post_training.sft`                    conversations as batches; what is learned of them
:mod:`llmlib.post_training.answering`              the assistant's next turn
:mod:`llmlib.post_training.lora`                   low-rank adaptation, its scales, merging
:mod:`llmlib.post_training.dora`                   the same with a length for each row
:mod:`llmlib.post_training.token_rows`             rows of an embedding that learn beside it
:mod:`llmlib.post_training.adapter`                what all adapters have in common
:mod:`llmlib.post_training.adapter_files`          adapters in the format of peft
:mod:`llmlib.post_training.adapter_cost`           what an adapter costs, as formulas
:mod:`llmlib.post_training.reward`                 a number for an answer, learned from comparisons
:mod:`llmlib.post_training.reward_files`           reward models in folders that transformers opens
:mod:`llmlib.post_training.preference_batches`     pairs of answers as batches
:mod:`llmlib.post_training.dpo`                    learn from comparisons without a reward model
:mod:`llmlib.post_training.best_of_n`              the best of several answers, and its price
:mod:`llmlib.post_training.reinforce`              make what was rewarded likelier
:mod:`llmlib.post_training.ppo`                    losses of proximal policy optimisation
:mod:`llmlib.post_training.ppo_config`             its settings
:mod:`llmlib.post_training.ppo_guards`             what stops a run that diverges
:mod:`llmlib.post_training.ppo_trainer`            PPO with its four models
:mod:`llmlib.post_training.experience`             what a step of PPO learns from
:mod:`llmlib.post_training.advantages`             how much better a token was than expected
:mod:`llmlib.post_training.kl`                     distance from a reference, and its price
:mod:`llmlib.post_training.rollouts`               what a policy wrote, ready to be judged
:mod:`llmlib.post_training.value`                  a number at each token
:mod:`llmlib.post_training.log_probabilities`      log-probabilities of given tokens
=================================================  ================================================
"""

from llmlib.post_training.adapter import Adapter
from llmlib.post_training.adapter_cost import (
    dora_size,
    lora_size,
    trainable_share,
    training_bytes,
)
from llmlib.post_training.adapter_files import (
    load_adapter,
    save_adapter,
    set_adapter,
    take_adapter,
    transformers_names,
)
from llmlib.post_training.advantages import (
    generalized_advantage_estimate,
    masked_mean,
    whiten,
)
from llmlib.post_training.answering import replies, reply
from llmlib.post_training.best_of_n import best_of_n, best_of_n_kl
from llmlib.post_training.dora import DoRALinear
from llmlib.post_training.dpo import (
    DPOLoss,
    dpo_loss,
    implicit_reward,
    ipo_loss,
    length_normalized_dpo_loss,
    simpo_loss,
)
from llmlib.post_training.experience import Experience, judge_tokens
from llmlib.post_training.kl import (
    AdaptiveKL,
    FixedKL,
    KLControl,
    KLEstimates,
    kl_estimates,
    token_rewards,
)
from llmlib.post_training.log_probabilities import (
    sequence_lengths,
    sequence_log_probabilities,
    token_entropy,
    token_log_probabilities,
)
from llmlib.post_training.lora import (
    LoRALinear,
    apply_lora,
    lora_layers,
    lora_parameters,
    lora_scale,
    merge_lora,
    rank_stabilized_scale,
    remove_lora,
)
from llmlib.post_training.ppo import clip_share, ppo_clip_loss, value_clip_loss
from llmlib.post_training.ppo_config import PPOConfig
from llmlib.post_training.ppo_trainer import PPOTrainer
from llmlib.post_training.preference_batches import (
    PreferenceBatch,
    PreferenceBatches,
    answer_batch,
    pair_batch,
)
from llmlib.post_training.reinforce import leave_one_out_baseline, reinforce_loss
from llmlib.post_training.reward import (
    RewardLoss,
    RewardModel,
    pair_accuracy,
    reward_ranking_loss,
)
from llmlib.post_training.reward_files import load_reward_model, save_reward_model
from llmlib.post_training.rollouts import (
    Rollouts,
    response_log_probabilities,
    response_logits,
    response_values,
    sample_responses,
)
from llmlib.post_training.sft import (
    ChatBatches,
    emphasised,
    pack_chats,
    reply_weights,
    shift_targets,
)
from llmlib.post_training.token_rows import TokenRows, train_token_rows
from llmlib.post_training.value import ValueModel

__all__ = [
    "Adapter",
    "AdaptiveKL",
    "ChatBatches",
    "DPOLoss",
    "DoRALinear",
    "Experience",
    "FixedKL",
    "KLControl",
    "KLEstimates",
    "LoRALinear",
    "PPOConfig",
    "PPOTrainer",
    "PreferenceBatch",
    "PreferenceBatches",
    "RewardLoss",
    "RewardModel",
    "Rollouts",
    "TokenRows",
    "ValueModel",
    "answer_batch",
    "apply_lora",
    "best_of_n",
    "best_of_n_kl",
    "clip_share",
    "dora_size",
    "dpo_loss",
    "emphasised",
    "generalized_advantage_estimate",
    "implicit_reward",
    "ipo_loss",
    "judge_tokens",
    "kl_estimates",
    "leave_one_out_baseline",
    "length_normalized_dpo_loss",
    "load_adapter",
    "load_reward_model",
    "lora_layers",
    "lora_parameters",
    "lora_scale",
    "lora_size",
    "masked_mean",
    "merge_lora",
    "pack_chats",
    "pair_accuracy",
    "pair_batch",
    "ppo_clip_loss",
    "rank_stabilized_scale",
    "reinforce_loss",
    "remove_lora",
    "replies",
    "reply",
    "reply_weights",
    "response_log_probabilities",
    "response_logits",
    "response_values",
    "reward_ranking_loss",
    "sample_responses",
    "save_adapter",
    "save_reward_model",
    "sequence_lengths",
    "sequence_log_probabilities",
    "set_adapter",
    "shift_targets",
    "simpo_loss",
    "take_adapter",
    "token_entropy",
    "token_log_probabilities",
    "token_rewards",
    "train_token_rows",
    "trainable_share",
    "training_bytes",
    "transformers_names",
    "value_clip_loss",
    "whiten",
]

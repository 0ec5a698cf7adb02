"""Floor 2: whole models, built from the layers of :mod:`llmlib.nn`.

============================  ====================================================
file                          what is in it
============================  ====================================================
:mod:`llmlib.models.causal`   what decoder-only language models share
:mod:`llmlib.models.gpt`      GPT-2
:mod:`llmlib.models.llama`    Llama, Mistral, Mixtral, Qwen
============================  ====================================================
"""

from llmlib.models.causal import CausalLanguageModel
from llmlib.models.gpt import GPT, GPTConfig
from llmlib.models.llama import ExpertsConfig, Llama, LlamaConfig

__all__ = [
    "GPT",
    "CausalLanguageModel",
    "ExpertsConfig",
    "GPTConfig",
    "Llama",
    "LlamaConfig",
]

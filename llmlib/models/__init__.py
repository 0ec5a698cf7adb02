"""Floor 2: whole models, built from the layers of :mod:`llmlib.nn`.

=====================================  ===========================================
file                                   what is in it
=====================================  ===========================================
:mod:`llmlib.models.causal`            what decoder-only language models share
:mod:`llmlib.models.gpt`               GPT-2
:mod:`llmlib.models.llama`             Llama, Mistral, Mixtral, Qwen
:mod:`llmlib.models.bert`              BERT
:mod:`llmlib.models.encoder_decoder`   what encoder-decoder models share
:mod:`llmlib.models.transformer`       the Transformer of 2017, Marian
:mod:`llmlib.models.t5`                T5
=====================================  ===========================================
"""

from llmlib.models.bert import Bert, BertConfig
from llmlib.models.causal import CausalLanguageModel
from llmlib.models.encoder_decoder import DecoderCache, EncoderDecoder, shift_right
from llmlib.models.gpt import GPT, GPTConfig
from llmlib.models.llama import ExpertsConfig, Llama, LlamaConfig
from llmlib.models.t5 import T5, T5Config
from llmlib.models.transformer import Transformer, TransformerConfig

__all__ = [
    "GPT",
    "T5",
    "Bert",
    "BertConfig",
    "CausalLanguageModel",
    "DecoderCache",
    "EncoderDecoder",
    "ExpertsConfig",
    "GPTConfig",
    "Llama",
    "LlamaConfig",
    "T5Config",
    "Transformer",
    "TransformerConfig",
    "shift_right",
]

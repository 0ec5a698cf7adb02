"""Floor 3: models read from and written for transformers.

================================  ===================================================
file                              what is in it
================================  ===================================================
:mod:`llmlib.interop.convert`     models of transformers to ours and back, in memory
:mod:`llmlib.interop.folder`      folders that transformers writes and opens
:mod:`llmlib.interop.fields`      reading a config without overlooking a field
:mod:`llmlib.interop.tensors`     moving weights without losing or inventing one
:mod:`llmlib.interop.family`      what the converter of one architecture provides
:mod:`llmlib.interop.gpt2`        GPT-2
:mod:`llmlib.interop.llama`       Llama, Mistral, Mixtral, Qwen 2 and Qwen 3
:mod:`llmlib.interop.bert`        BERT
:mod:`llmlib.interop.t5`          T5
:mod:`llmlib.interop.marian`      Marian, the Transformer of 2017
================================  ===================================================
"""

from llmlib.interop.convert import from_transformers, to_transformers
from llmlib.interop.folder import load_pretrained, save_pretrained

__all__ = ["from_transformers", "load_pretrained", "save_pretrained", "to_transformers"]

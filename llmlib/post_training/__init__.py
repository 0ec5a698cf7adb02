"""Floor 4: from a model that continues texts to one that does what it is asked.

===========================================  ====================================================
file                                         what is in it
===========================================  ====================================================
:mod:`llmlib.post_training.lora`             low-rank adaptation, its scales, merging
:mod:`llmlib.post_training.dora`             the same with a length for each row
:mod:`llmlib.post_training.adapter_files`    adapters in the format of peft
:mod:`llmlib.post_training.adapter_cost`     what an adapter costs, as formulas
===========================================  ====================================================
"""

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
from llmlib.post_training.dora import DoRALinear
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

__all__ = [
    "DoRALinear",
    "LoRALinear",
    "apply_lora",
    "dora_size",
    "load_adapter",
    "lora_layers",
    "lora_parameters",
    "lora_scale",
    "lora_size",
    "merge_lora",
    "rank_stabilized_scale",
    "remove_lora",
    "save_adapter",
    "set_adapter",
    "take_adapter",
    "trainable_share",
    "training_bytes",
    "transformers_names",
]

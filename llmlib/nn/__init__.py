"""Floor 1: the layers that models are built from.

============================  ==========================================
file                          what is in it
============================  ==========================================
:mod:`llmlib.nn.attention`    scaled dot-product attention, its masks
:mod:`llmlib.nn.multi_head`   multi-head attention with grouped queries
============================  ==========================================
"""

from llmlib.nn.attention import causal_mask, padding_mask, scaled_dot_product_attention
from llmlib.nn.multi_head import MultiHeadAttention

__all__ = [
    "MultiHeadAttention",
    "causal_mask",
    "padding_mask",
    "scaled_dot_product_attention",
]

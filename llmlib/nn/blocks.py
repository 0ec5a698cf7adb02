r"""Transformer blocks: attention and feed-forward layers on a residual stream.

.. math::

   \text{pre-norm:}\quad x \leftarrow x + f(\mathrm{norm}(x)), \qquad
   \text{post-norm:}\quad x \leftarrow \mathrm{norm}(x + f(x))

for :math:`f` the self-attention, then (in a decoder with an encoder) the cross-attention, then
the feed-forward layer.

====================  ==============================  ===============
code                  what it is                      shape
====================  ==============================  ===============
``x``                 the residual stream             ``(B, T, D)``
``memory``            what cross-attention reads      ``(B, S, D)``
====================  ==============================  ===============

References
----------
1. Vaswani et al., *Attention Is All You Need*, 2017, arXiv:1706.03762 (post-norm).
2. Xiong et al., *On Layer Normalization in the Transformer Architecture*, 2020,
   arXiv:2002.04745 (why pre-norm trains without warm-up).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from llmlib.nn.attention import check_dropout
from llmlib.nn.cache import LayerCache
from llmlib.nn.multi_head import MultiHeadAttention

__all__ = ["PostNormBlock", "PreNormBlock"]


class _Block(nn.Module):
    def __init__(
        self,
        attention: MultiHeadAttention,
        attention_norm: nn.Module,
        feedforward: nn.Module,
        feedforward_norm: nn.Module,
        *,
        cross_attention: MultiHeadAttention | None = None,
        cross_norm: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if (cross_attention is None) != (cross_norm is None):
            raise ValueError(
                "cross_attention and cross_norm go together: give both of them or neither"
            )
        check_dropout(dropout)
        self.attention = attention
        self.attention_norm = attention_norm
        self.cross_attention = cross_attention
        self.cross_norm = cross_norm
        self.feedforward = feedforward
        self.feedforward_norm = feedforward_norm
        self.dropout = dropout

    def drop(self, x: Tensor) -> Tensor:
        """Dropout during training."""
        return F.dropout(x, self.dropout) if self.training and self.dropout else x

    def _check_memory(self, memory: Tensor | None) -> None:
        if (memory is None) != (self.cross_attention is None):
            raise ValueError(
                "memory is for a block with cross-attention, and such a block needs it: "
                f"memory is {'missing' if memory is None else 'given'} here"
            )


class PreNormBlock(_Block):
    """Block that normalises what each layer reads (GPT-2, T5, Llama).

    The residual stream itself is never normalised, so gradients reach every block unchanged; a
    model of such blocks normalises once more at its end.

    Parameters
    ----------
    attention : MultiHeadAttention
        Self-attention.
    attention_norm : torch.nn.Module
        Its normalisation.
    feedforward : torch.nn.Module
        ``(B, T, D) -> (B, T, D)``: :class:`~llmlib.nn.FeedForward`,
        :class:`~llmlib.nn.SwiGLU`, :class:`~llmlib.nn.MixtureOfExperts`.
    feedforward_norm : torch.nn.Module
        Its normalisation.
    cross_attention : MultiHeadAttention, optional
        Attention to ``memory``, between the two.
    cross_norm : torch.nn.Module, optional
        Its normalisation.
    dropout : float
        Dropout of what each layer adds, during training.

    Notes
    -----
    Equal to ``torch.nn.TransformerEncoderLayer`` and ``TransformerDecoderLayer`` with
    ``norm_first=True``.

    Examples
    --------
    >>> import torch
    >>> from llmlib.nn import FeedForward, LayerNorm
    >>> block = PreNormBlock(
    ...     MultiHeadAttention(8, 2), LayerNorm(8), FeedForward(8), LayerNorm(8))
    >>> block(torch.zeros(1, 5, 8), causal=True).shape
    torch.Size([1, 5, 8])
    """

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        *,
        memory_mask: Tensor | None = None,
        memory_cache: LayerCache | None = None,
        **self_attention: Any,
    ) -> Tensor:
        """Apply the block.

        Parameters
        ----------
        x : Tensor
            ``(B, T, D)``.
        memory : Tensor, optional
            ``(B, S, D)``, the encoder's output; for a block with cross-attention.
        memory_mask : Tensor, optional
            Boolean, broadcastable to ``(B, H, T, S)``; False where ``memory`` is padding.
        memory_cache : LayerCache, optional
            Keys and values of ``memory``, filled by the first call.
        **self_attention
            ``mask``, ``causal``, ``positions``, ``bias`` and ``cache`` of the self-attention, as
            for :class:`~llmlib.nn.MultiHeadAttention`.

        Returns
        -------
        Tensor
            ``(B, T, D)``.
        """
        self._check_memory(memory)
        x = x + self.drop(self.attention(self.attention_norm(x), **self_attention))
        if self.cross_attention is not None:
            read = self.cross_attention(self.cross_norm(x), memory, memory_mask, cache=memory_cache)
            x = x + self.drop(read)
        return x + self.drop(self.feedforward(self.feedforward_norm(x)))


class PostNormBlock(_Block):
    """Block that normalises the sum after each layer (the first Transformer, BERT).

    Parameters
    ----------
    attention, attention_norm, feedforward, feedforward_norm, cross_attention, cross_norm, dropout
        As for :class:`PreNormBlock`.

    Notes
    -----
    Equal to ``torch.nn.TransformerEncoderLayer`` and ``TransformerDecoderLayer`` with
    ``norm_first=False``.

    Examples
    --------
    >>> import torch
    >>> from llmlib.nn import FeedForward, LayerNorm
    >>> block = PostNormBlock(
    ...     MultiHeadAttention(8, 2), LayerNorm(8), FeedForward(8), LayerNorm(8))
    >>> y = block(torch.randn(1, 5, 8))
    >>> bool(y.mean(-1).abs().max() < 1e-6)  # what comes out is normalised
    True
    """

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        *,
        memory_mask: Tensor | None = None,
        memory_cache: LayerCache | None = None,
        **self_attention: Any,
    ) -> Tensor:
        """Apply the block; arguments as for :class:`PreNormBlock`."""
        self._check_memory(memory)
        x = self.attention_norm(x + self.drop(self.attention(x, **self_attention)))
        if self.cross_attention is not None:
            read = self.cross_attention(x, memory, memory_mask, cache=memory_cache)
            x = self.cross_norm(x + self.drop(read))
        return self.feedforward_norm(x + self.drop(self.feedforward(x)))

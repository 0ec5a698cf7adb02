r"""Attention of grouped heads: PyTorch's fused kernel, and the same written out.

.. math::

   \mathrm{softmax}\!\left(c\, Q K_{g}^\top + B + M\right) V_{g}

where query head i reads key-value head :math:`g(i) = \lfloor i \cdot H_{kv} / H \rfloor`.

The written-out form makes the ``(B, H, T, S)`` scores, then the weights, then the output: each
is a pass over memory, and training keeps them for the backward pass. The fused kernel walks
over blocks of keys, keeps a running maximum and sum of the softmax, and never stores the
scores.

==========  ===========  ============================
code        symbol       shape
==========  ===========  ============================
``query``   :math:`Q`    ``(B, H, T, K)``
``key``     :math:`K`    ``(B, H_kv, S, K)``
``value``   :math:`V`    ``(B, H_kv, S, K)``
``bias``    :math:`B`    broadcasts to ``(B, H, T, S)``
``mask``    :math:`M`    broadcasts to ``(B, H, T, S)``
``scale``   :math:`c`    number
==========  ===========  ============================

References
----------
1. Dao et al., *FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness*,
   2022, arXiv:2205.14135.
2. Milakov and Gimelshein, *Online normalizer calculation for softmax*, 2018, arXiv:1805.02867.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from llmlib.nn.attention import causal_mask, check_mask, scaled_dot_product_attention

__all__ = ["fused_attention", "plain_attention"]


def plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
    bias: Tensor | None = None,
    scale: float | None = None,
    return_weights: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Grouped attention through :func:`~llmlib.nn.scaled_dot_product_attention`.

    Parameters
    ----------
    query : Tensor
        ``(B, H, T, K)``.
    key, value : Tensor
        ``(B, H_kv, S, K)``; H_kv divides H.
    mask, causal, dropout, bias, scale, return_weights
        As for :func:`~llmlib.nn.scaled_dot_product_attention`.

    Returns
    -------
    Tensor or tuple of Tensor
        ``(B, H, T, K)``; with ``return_weights`` also ``(B, H, T, S)``.

    Examples
    --------
    >>> import torch
    >>> query, shared = torch.zeros(2, 4, 3, 8), torch.zeros(2, 2, 5, 8)
    >>> plain_attention(query, shared, shared).shape
    torch.Size([2, 4, 3, 8])
    """
    group = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(group, dim=1)  # (B, H_kv, S, K) -> (B, H, S, K)
    value = value.repeat_interleave(group, dim=1)
    return scaled_dot_product_attention(
        query,
        key,
        value,
        mask,
        causal=causal,
        dropout=dropout,
        bias=bias,
        scale=scale,
        return_weights=return_weights,
    )


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
    bias: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Grouped attention through ``torch.nn.functional.scaled_dot_product_attention``.

    Parameters
    ----------
    query, key, value, mask, causal, dropout, bias, scale
        As for :func:`plain_attention`, to which it is equal.

    Returns
    -------
    Tensor
        ``(B, H, T, K)``.

    Examples
    --------
    >>> import torch
    >>> query, shared = torch.randn(2, 4, 3, 8), torch.randn(2, 2, 3, 8)
    >>> fast = fused_attention(query, shared, shared, causal=True)
    >>> torch.allclose(fast, plain_attention(query, shared, shared, causal=True), atol=1e-6)
    True
    """
    query_len, key_len = query.shape[-2], key.shape[-2]
    if mask is not None:
        check_mask(mask, (*query.shape[:-1], key_len))
    if query_len == 1 and bias is None and (mask is None or mask.dim() < 3 or mask.shape[-3] == 1):
        return _one_query(query, key, value, mask, dropout, scale)
    # A lone newest query sees every key. Otherwise only equal lengths mean the same to PyTorch,
    # which aligns the first query with the first key.
    by_kernel = causal and mask is None and bias is None and query_len == key_len
    if causal and query_len > 1 and not by_kernel:
        earlier = causal_mask(query_len, key_len, device=query.device)  # (T, S)
        mask = earlier if mask is None else mask & earlier
    if bias is not None:
        bias = bias.to(query.dtype)
        mask = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=by_kernel and query_len > 1,
        scale=scale,
        enable_gqa=key.shape[1] != query.shape[1],
    )


def _one_query(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scale: float | None,
) -> Tensor:
    """The step of generation: the newest query sees every key, so no order is to be kept.

    Then the query heads of a group may stand as several queries of their one key-value head, and
    keys and values need not be repeated.
    """
    groups = query.view(query.shape[0], key.shape[1], -1, query.shape[-1])  # (B, H_kv, H/H_kv, K)
    heads = F.scaled_dot_product_attention(
        groups, key, value, attn_mask=mask, dropout_p=dropout, scale=scale
    )
    return heads.reshape(query.shape)  # (B, H, 1, K)

r"""Multi-head attention, with as many key and value heads as you like.

.. math::

   \mathrm{head}_i = \mathrm{Attention}(x W^Q_i,\; c W^K_{g(i)},\; c W^V_{g(i)}), \qquad
   \mathrm{output} = [\mathrm{head}_1; \dots; \mathrm{head}_H]\, W^O

with :math:`c = x` for self-attention. Query head i uses key-value head
:math:`g(i) = \lfloor i \cdot H_{kv} / H \rfloor`: neighbouring query heads share one.

================  ================================  ==================================
code              symbol                            shape
================  ================================  ==================================
``x``             :math:`x`                         ``(B, T, D)``
``context``       :math:`c`                         ``(B, S, D)``
``num_heads``     :math:`h`                         H
``num_kv_heads``  :math:`H_{kv}`                    a divisor of H
``head_dim``      :math:`d_k = d_v`                 K, usually D / H
``q_proj``        :math:`[W^Q_1; \dots; W^Q_H]`     ``D -> H * K``
``k_proj``        the :math:`W^K`                   ``D -> num_kv_heads * K``
``v_proj``        the :math:`W^V`                   ``D -> num_kv_heads * K``
``out_proj``      :math:`W^O`                       ``H * K -> D``
================  ================================  ==================================

References
----------
1. Vaswani et al., *Attention Is All You Need*, 2017, arXiv:1706.03762, section 3.2.2.
2. Shazeer, *Fast Transformer Decoding: One Write-Head is All You Need*, 2019,
   arXiv:1911.02150 (one key and value head for all queries).
3. Ainslie et al., *GQA: Training Generalized Multi-Query Transformer Models from
   Multi-Head Checkpoints*, 2023, arXiv:2305.13245 (a few of them).

**Differs from the paper in**

* Projections may have biases (``torch.nn.MultiheadAttention`` has them too; Llama has none).
* Keys and values may have fewer heads than queries (references 2 and 3).
* All heads are projected by one matrix and then split, instead of one small matrix per head.
* Later models turn, normalise or bias queries and keys; those are modules passed in, and the
  attention of the paper is what is left when none is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from llmlib.nn.attention import check_dropout, window_mask
from llmlib.nn.cache import LayerCache
from llmlib.nn.fast_attention import fused_attention, plain_attention
from llmlib.nn.linear_layer import Linear

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each in its own subspace of the model width.

    Query head i uses key-value head ``i * num_kv_heads // num_heads``.

    Parameters
    ----------
    dim : int
        Model width D.
    num_heads : int
        Query heads H.
    num_kv_heads : int, optional
        Key and value heads. H (the default) is multi-head, 1 is multi-query, and a divisor of H
        in between is grouped-query attention.
    bias : bool
        Whether the projections of queries, keys and values add a bias.
    dropout : float
        Dropout of the attention weights during training.
    head_dim : int, optional
        Head width K; ``D / H`` when left out.
    out_bias : bool, optional
        Whether the output projection adds a bias; as ``bias`` when left out.
    rotary : torch.nn.Module, optional
        Called with heads ``(B, H, T, K)`` and positions; turns queries and keys
        (:class:`~llmlib.nn.RotaryEmbedding`).
    query_norm, key_norm : torch.nn.Module, optional
        Applied to each head's queries and keys ``(B, H, T, K)`` before they are turned (Qwen 3).
    position_bias : torch.nn.Module, optional
        Called with the slots of queries ``(T,)`` and keys ``(S,)``; its ``(H, T, S)`` is added to
        the scores (:class:`~llmlib.nn.ALiBi`).
    window : int, optional
        Keys that a query of causal attention may look back to, itself included (Mistral).
    scale : float, optional
        Factor of the scores, :math:`1 / \\sqrt K` when left out.
    attend : callable, optional
        The attention of the heads: :func:`~llmlib.nn.fast_attention.fused_attention` (the
        default) or :func:`~llmlib.nn.fast_attention.plain_attention`, which is slower and equal.

    Attributes
    ----------
    q_proj, out_proj : torch.nn.Linear
        ``D -> H * K`` and ``H * K -> D``.
    k_proj, v_proj : torch.nn.Linear
        ``D -> num_kv_heads * K``.

    Raises
    ------
    ValueError
        ``num_heads`` does not divide ``dim`` and no ``head_dim`` is given, or ``num_kv_heads``
        does not divide ``num_heads``.

    Notes
    -----
    Source: Vaswani et al. 2017, section 3.2.2; Ainslie et al. 2023 for the groups. Equal to
    ``torch.nn.MultiheadAttention`` with the same weights, which stores the query, key and value
    projections in one matrix. The initial weights are those of ``torch.nn.Linear``.

    Examples
    --------
    >>> import torch
    >>> attention = MultiHeadAttention(dim=8, num_heads=4, num_kv_heads=2)
    >>> x = torch.zeros(2, 5, 8)                          # (B, T, D)
    >>> attention(x, causal=True).shape
    torch.Size([2, 5, 8])
    >>> output, weights = attention(x, context=torch.zeros(2, 3, 8), return_weights=True)
    >>> weights.shape                                     # (B, H, T, S)
    torch.Size([2, 4, 5, 3])
    >>> attention.k_proj.weight.shape                     # two key heads of width 2
    torch.Size([4, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        head_dim: int | None = None,
        out_bias: bool | None = None,
        rotary: nn.Module | None = None,
        query_norm: nn.Module | None = None,
        key_norm: nn.Module | None = None,
        position_bias: nn.Module | None = None,
        window: int | None = None,
        scale: float | None = None,
        attend: Callable[..., Tensor] = fused_attention,
    ) -> None:
        super().__init__()
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        _check_sizes(dim, num_heads, num_kv_heads, head_dim, dropout)
        self.dim = dim
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = dim // num_heads if head_dim is None else head_dim
        self.dropout = dropout
        self.window = window
        self.scale = scale
        self.attend = attend
        out_bias = bias if out_bias is None else out_bias
        self.q_proj = Linear(dim, num_heads * self.head_dim, bias=bias)
        self.k_proj = Linear(dim, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = Linear(dim, num_kv_heads * self.head_dim, bias=bias)
        self.out_proj = Linear(num_heads * self.head_dim, dim, bias=out_bias)
        self.query_norm = query_norm
        self.key_norm = key_norm
        self.rotary = rotary
        self.position_bias = position_bias

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        positions: Tensor | None = None,
        bias: Tensor | None = None,
        cache: LayerCache | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend from ``x`` to ``context``.

        Parameters
        ----------
        x : Tensor
            ``(B, T, D)``, where the queries come from.
        context : Tensor, optional
            ``(B, S, D)``, where keys and values come from; ``x`` itself when left out.
        mask : Tensor, optional
            Boolean ``(T, S)`` or broadcastable to ``(B, H, T, S)``; True means "may attend".
        causal : bool
            Also hide later positions (:func:`causal_mask`).
        positions : Tensor, optional
            Integer ``(T,)`` or ``(B, T)``, for ``rotary``; counted on from the cache, or from 0,
            when left out.
        bias : Tensor, optional
            Added to the scores, broadcastable to ``(B, H, T, S)``: a position bias that several
            layers share (T5).
        cache : LayerCache, optional
            Earlier keys and values. Self-attention adds to it and attends to all it holds, so S
            is its length afterwards. Attention to a ``context`` fills it once and then reads it.
        return_weights : bool
            Return the weights of every head too.

        Returns
        -------
        Tensor or tuple of Tensor
            ``(B, T, D)``; with ``return_weights`` also ``(B, H, T, S)``.
        """
        self._check_call(x, context, mask)
        query = self._split(self.q_proj(x))  # (B, H, T, K)
        if self.query_norm is not None:
            query = self.query_norm(query)
        if context is not None and cache is not None and cache.length > 0:
            key, value = cache.used()  # (B, H_kv, S, K)
        else:
            source = x if context is None else context
            key = self._split(self.k_proj(source))  # (B, H_kv, S, K)
            if self.key_norm is not None:
                key = self.key_norm(key)
            value = self._split(self.v_proj(source))
            seen = 0 if cache is None else cache.length
            if self.rotary is not None:
                if positions is None and seen:
                    positions = torch.arange(seen, seen + x.shape[1], device=x.device)
                query, key = self.rotary(query, positions), self.rotary(key, positions)
            if cache is not None:
                key, value = cache.append(key, value)
        query_len, key_len = query.shape[-2], key.shape[-2]
        if self.position_bias is not None:
            slots = torch.arange(key_len, device=x.device)
            own = self.position_bias(slots[key_len - query_len :], slots)  # (H, T, S)
            bias = own if bias is None else own + bias
        if self.window is not None and key_len > self.window:
            recent = window_mask(query_len, key_len, window=self.window, device=x.device)
            mask = recent if mask is None else mask & recent
        options = {
            "causal": causal,
            "dropout": self.dropout if self.training else 0.0,
            "bias": bias,
            "scale": self.scale,
        }
        if return_weights:
            heads, weights = plain_attention(
                query, key, value, mask, return_weights=True, **options
            )
        else:
            heads = self.attend(query, key, value, mask, **options)
        output = self.out_proj(heads.transpose(1, 2).flatten(2))  # (B, T, H * K) -> (B, T, D)
        return (output, weights) if return_weights else output

    def _check_call(self, x: Tensor, context: Tensor | None, mask: Tensor | None) -> None:
        self._check_width("x", x)
        if context is not None:
            self._check_width("context", context)
        if mask is not None and mask.dim() not in (2, 4):
            raise ValueError(
                f"mask has shape {tuple(mask.shape)}, but (T, S) or (B, H, T, S) is needed: give "
                "a mask per sequence an axis for the heads with mask[:, None]"
            )
        if context is not None and (self.rotary is not None or self.window is not None):
            raise ValueError(
                "context is given, but rotary positions and a window are for self-attention: "
                "leave them out of the module that attends to another sequence"
            )

    def _check_width(self, name: str, given: Tensor) -> None:
        if given.dim() != 3 or given.shape[-1] != self.dim:
            raise ValueError(
                f"{name} has shape {tuple(given.shape)}, but (batch, length, {self.dim}) is "
                "needed: reshape it, or build the module with another dim"
            )

    def _split(self, projected: Tensor) -> Tensor:
        """Give every head its own axis: ``(B, T, H * K) -> (B, H, T, K)``."""
        return projected.view(*projected.shape[:2], -1, self.head_dim).transpose(1, 2)

    def extra_repr(self) -> str:
        """Sizes shown by ``print(module)``."""
        return f"dim={self.dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"


def _check_sizes(
    dim: int, num_heads: int, num_kv_heads: int, head_dim: int | None, dropout: float
) -> None:
    if min(dim, num_heads, num_kv_heads) < 1:
        raise ValueError(
            f"dim={dim}, num_heads={num_heads}, num_kv_heads={num_kv_heads}: each must be at "
            "least 1"
        )
    if head_dim is None and dim % num_heads:
        raise ValueError(
            f"num_heads={num_heads} does not divide dim={dim}: choose a divisor of {dim}, or give "
            "head_dim"
        )
    if num_heads % num_kv_heads:
        raise ValueError(
            f"num_kv_heads={num_kv_heads} does not divide num_heads={num_heads}: choose a divisor "
            f"of {num_heads}"
        )
    check_dropout(dropout)

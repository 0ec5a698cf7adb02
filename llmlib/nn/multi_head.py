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
``head_dim``      :math:`d_k = d_v`                 K = D / H
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
"""

from __future__ import annotations

from torch import Tensor, nn

from llmlib.nn.attention import check_dropout, scaled_dot_product_attention

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each in its own subspace of the model width.

    Query head i uses key-value head ``i * num_kv_heads // num_heads``.

    Parameters
    ----------
    dim : int
        Model width D.
    num_heads : int
        Query heads H. Each is ``K = D / H`` wide.
    num_kv_heads : int, optional
        Key and value heads. H (the default) is multi-head, 1 is multi-query, and a divisor of H
        in between is grouped-query attention.
    bias : bool
        Whether the four projections add a bias.
    dropout : float
        Dropout of the attention weights during training.

    Attributes
    ----------
    q_proj, out_proj : torch.nn.Linear
        ``D -> H * K`` and ``H * K -> D``.
    k_proj, v_proj : torch.nn.Linear
        ``D -> num_kv_heads * K``.

    Raises
    ------
    ValueError
        ``num_heads`` does not divide ``dim``, or ``num_kv_heads`` does not divide ``num_heads``.

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
    ) -> None:
        super().__init__()
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        _check_sizes(dim, num_heads, num_kv_heads, dropout)
        self.dim = dim
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = dim // num_heads
        self.dropout = dropout
        self.q_proj = nn.Linear(dim, num_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(dim, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(dim, num_kv_heads * self.head_dim, bias=bias)
        self.out_proj = nn.Linear(num_heads * self.head_dim, dim, bias=bias)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
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
        return_weights : bool
            Return the weights of every head too.

        Returns
        -------
        Tensor or tuple of Tensor
            ``(B, T, D)``; with ``return_weights`` also ``(B, H, T, S)``.
        """
        context = x if context is None else context
        for name, given in (("x", x), ("context", context)):
            if given.dim() != 3 or given.shape[-1] != self.dim:
                raise ValueError(
                    f"{name} has shape {tuple(given.shape)}, but (batch, length, {self.dim}) is "
                    "needed: reshape it, or build the module with another dim"
                )
        if mask is not None and mask.dim() not in (2, 4):
            raise ValueError(
                f"mask has shape {tuple(mask.shape)}, but (T, S) or (B, H, T, S) is needed: give "
                "a mask per sequence an axis for the heads with mask[:, None]"
            )
        query = self._split(self.q_proj(x))  # (B, H, T, K)
        key = self._share(self._split(self.k_proj(context)))  # (B, H, S, K)
        value = self._share(self._split(self.v_proj(context)))  # (B, H, S, K)
        heads, weights = scaled_dot_product_attention(
            query,
            key,
            value,
            mask,
            causal=causal,
            dropout=self.dropout if self.training else 0.0,
            return_weights=True,
        )
        output = self.out_proj(heads.transpose(1, 2).flatten(2))  # (B, T, H * K) -> (B, T, D)
        return (output, weights) if return_weights else output

    def _split(self, projected: Tensor) -> Tensor:
        """Give every head its own axis: ``(B, T, H * K) -> (B, H, T, K)``."""
        return projected.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def _share(self, heads: Tensor) -> Tensor:
        """Repeat each key or value head for its group of query heads: ``-> (B, H, S, K)``."""
        return heads.repeat_interleave(self.num_heads // self.num_kv_heads, dim=1)

    def extra_repr(self) -> str:
        """Sizes shown by ``print(module)``."""
        return f"dim={self.dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"


def _check_sizes(dim: int, num_heads: int, num_kv_heads: int, dropout: float) -> None:
    if min(dim, num_heads, num_kv_heads) < 1:
        raise ValueError(
            f"dim={dim}, num_heads={num_heads}, num_kv_heads={num_kv_heads}: each must be at "
            "least 1"
        )
    if dim % num_heads:
        raise ValueError(
            f"num_heads={num_heads} does not divide dim={dim}: choose a divisor of {dim}"
        )
    if num_heads % num_kv_heads:
        raise ValueError(
            f"num_kv_heads={num_kv_heads} does not divide num_heads={num_heads}: choose a divisor "
            f"of {num_heads}"
        )
    check_dropout(dropout)

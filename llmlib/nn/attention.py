r"""Scaled dot-product attention and its masks.

.. math::

   \mathrm{Attention}(Q, K, V)
     = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}} + M\right) V,
   \qquad
   M_{ts} = \begin{cases} 0 & \text{query } t \text{ may attend to key } s\\
                          -\infty & \text{otherwise} \end{cases}

==============  ===================================  ==================================
code            symbol                               shape
==============  ===================================  ==================================
``query``       :math:`Q`                            ``(..., T, K)``
``key``         :math:`K`                            ``(..., S, K)``
``value``       :math:`V`                            ``(..., S, V)``, any width
``scores``      :math:`Q K^\top / \sqrt{d_k}`        ``(..., T, S)``
``mask``        where :math:`M = 0`                  broadcasts to ``(..., T, S)``
``weights``     :math:`A`, rows sum to 1             ``(..., T, S)``
==============  ===================================  ==================================

References
----------
1. Vaswani et al., *Attention Is All You Need*, 2017, arXiv:1706.03762, section 3.2.

**Differs from the paper in**

* The query is scaled before the product, not the scores after it: the same number, and T * K
  multiplications instead of T * S.
* Scores and softmax are float32 when the inputs are float16 or bfloat16. The product of long
  float16 vectors overflows, and a score rounded to bfloat16 changes the weights by a per cent,
  whatever the softmax computes in.
* A query that may attend to nothing gets zeros. The formula leaves 0/0 there.

**Differs from** ``torch.nn.functional.scaled_dot_product_attention`` **in** the alignment of
``causal`` when T and S differ: see :func:`causal_mask`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = [
    "causal_mask",
    "padding_mask",
    "scaled_dot_product_attention",
    "window_mask",
]


def causal_mask(
    query_len: int, key_len: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Mask in which each query may attend to its own position and to earlier ones.

    The last query is aligned with the last key ("bottom right"): query ``t`` may attend to key
    ``s`` when ``s <= t + S - T``. This is what a key-value cache needs, where the queries are
    the newest ``T`` of ``S`` positions. PyTorch's ``is_causal=True`` aligns the first query
    with the first key instead ("top left"); the two agree when ``T == S``.

    Parameters
    ----------
    query_len : int
        Number of queries, T.
    key_len : int, optional
        Number of keys, S. As many as there are queries when left out.
    device : torch.device or str, optional
        Where the mask is made.

    Returns
    -------
    Tensor
        Boolean ``(T, S)``; True where the query may attend. With ``T > S`` the first ``T - S``
        rows are wholly False.

    Examples
    --------
    >>> causal_mask(3).int()
    tensor([[1, 0, 0],
            [1, 1, 0],
            [1, 1, 1]], dtype=torch.int32)
    >>> causal_mask(2, 4).int()  # two new queries behind two cached positions
    tensor([[1, 1, 1, 0],
            [1, 1, 1, 1]], dtype=torch.int32)
    """
    key_len = query_len if key_len is None else key_len
    if query_len < 0 or key_len < 0:
        raise ValueError(
            f"a mask of {query_len} queries by {key_len} keys cannot be made: "
            "give lengths of 0 or more"
        )
    every_pair = torch.ones(query_len, key_len, dtype=torch.bool, device=device)  # (T, S)
    return every_pair.tril(diagonal=key_len - query_len)


def window_mask(
    query_len: int,
    key_len: int | None = None,
    *,
    window: int,
    device: torch.device | str | None = None,
) -> Tensor:
    """Causal mask in which a query also forgets what is ``window`` or more tokens back.

    Parameters
    ----------
    query_len, key_len, device
        As for :func:`causal_mask`.
    window : int
        Keys a query may attend to, itself included.

    Returns
    -------
    Tensor
        Boolean ``(T, S)``; True where the query may attend.

    Notes
    -----
    Source: Jiang et al., *Mistral 7B*, 2023, arXiv:2310.06825, section 2.

    Examples
    --------
    >>> window_mask(4, window=2).int()
    tensor([[1, 0, 0, 0],
            [1, 1, 0, 0],
            [0, 1, 1, 0],
            [0, 0, 1, 1]], dtype=torch.int32)
    """
    if window < 1:
        raise ValueError(f"window={window}, but a query must see itself: choose 1 or more")
    causal = causal_mask(query_len, key_len, device=device)  # (T, S)
    return causal.triu(diagonal=causal.shape[1] - query_len - window + 1)


def padding_mask(lengths: Tensor | Sequence[int], max_len: int) -> Tensor:
    """Mask that hides the padding at the end of each sequence of a batch.

    Parameters
    ----------
    lengths : Tensor or sequence of int
        ``(B,)``, the number of real tokens of each sequence.
    max_len : int
        Length S that the sequences were padded to.

    Returns
    -------
    Tensor
        Boolean ``(B, 1, 1, S)``; True at real tokens. The two axes of size 1 stand for the
        heads and the queries: every head and every query sees the same keys.

    Raises
    ------
    ValueError
        A length is negative or longer than ``max_len``.

    Examples
    --------
    >>> padding_mask([3, 1], max_len=4).shape
    torch.Size([2, 1, 1, 4])
    >>> padding_mask([3, 1], max_len=4)[:, 0, 0].int()
    tensor([[1, 1, 1, 0],
            [1, 0, 0, 0]], dtype=torch.int32)
    """
    lengths = torch.as_tensor(lengths)  # (B,)
    if lengths.dim() != 1:
        raise ValueError(
            f"lengths has shape {tuple(lengths.shape)}, but one number per sequence is needed: "
            "pass shape (B,)"
        )
    if lengths.numel() and not (lengths.min() >= 0 and lengths.max() <= max_len):
        raise ValueError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}, but must lie in "
            f"0..{max_len}: raise max_len or cut the sequences"
        )
    position = torch.arange(max_len, device=lengths.device)  # (S,)
    return (position < lengths[:, None])[:, None, None, :]  # (B, S) -> (B, 1, 1, S)


def scaled_dot_product_attention(
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
    """Average of the values, weighted by how well each key matches the query.

    Leading axes (batch, heads) broadcast against one another.

    Parameters
    ----------
    query : Tensor
        ``(..., T, K)``.
    key : Tensor
        ``(..., S, K)``.
    value : Tensor
        ``(..., S, V)``. V may differ from K.
    mask : Tensor, optional
        Boolean, broadcastable to ``(..., T, S)``. True means "may attend".
    causal : bool
        Also hide later positions, as :func:`causal_mask` does (the last query sees every key).
    dropout : float
        Probability with which a weight is set to zero; the others grow by ``1 / (1 - dropout)``.
        It acts whenever it is not 0: pass 0 outside training.
    bias : Tensor, optional
        Added to the scaled scores, broadcastable to ``(..., T, S)``: a relative position bias.
    scale : float, optional
        Factor of the scores, :math:`1 / \\sqrt{d_k}` when left out. T5 uses 1.
    return_weights : bool
        Return the weights too, as they are before dropout.

    Returns
    -------
    Tensor or tuple of Tensor
        Output ``(..., T, V)``; with ``return_weights`` also the weights ``(..., T, S)``. A query
        with nothing to attend to gets zeros in both, and gradients stay finite.

    Raises
    ------
    ValueError
        Shapes or dtypes do not fit together, or ``dropout`` is outside ``[0, 1)``.

    Notes
    -----
    Source: Vaswani et al. 2017, equation 1. Equal to
    ``torch.nn.functional.scaled_dot_product_attention`` with ``is_causal=False``, and with
    ``is_causal=True`` when T equals S.

    Examples
    --------
    The query matches the first key by ln 3 and the second by 0, so the weights are 3/4 and 1/4:

    >>> from math import log
    >>> query = torch.tensor([[log(3.0)]])      # (T=1, K=1)
    >>> key = torch.tensor([[1.0], [0.0]])      # (S=2, K=1)
    >>> value = torch.tensor([[4.0], [8.0]])    # (S=2, V=1)
    >>> output, weights = scaled_dot_product_attention(query, key, value, return_weights=True)
    >>> weights
    tensor([[0.7500, 0.2500]])
    >>> output
    tensor([[5.]])
    """
    _check_inputs(query, key, value, mask, dropout)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    wide = torch.promote_types(query.dtype, torch.float32)
    scores = (query.to(wide) * scale) @ key.to(wide).transpose(-2, -1)  # (..., T, S)
    if bias is not None:
        scores = scores + bias
    if causal:
        earlier = causal_mask(query.shape[-2], key.shape[-2], device=query.device)
        mask = earlier if mask is None else mask & earlier
    if mask is not None:
        # The lowest finite number, not -inf: a row of -inf would become 0/0 in the softmax.
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)
    if mask is not None:
        # A row with nothing to attend to came out uniform; nothing may flow through it.
        weights = weights.masked_fill(~mask, 0.0)
    weights = weights.to(value.dtype)
    output = torch.dropout(weights, dropout, train=True) @ value  # (..., T, S) @ (..., S, V)
    return (output, weights) if return_weights else output


def check_dropout(dropout: float) -> None:
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout={dropout} is outside [0, 1): give a probability below 1")


def _check_inputs(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float
) -> None:
    for name, given in (("query", query), ("key", key), ("value", value)):
        if given.dim() < 2:
            raise ValueError(
                f"{name} has shape {tuple(given.shape)}, but (..., length, width) is needed: "
                "give a single vector an axis with x[None]"
            )
        if not given.is_floating_point() or given.dtype != query.dtype:
            raise ValueError(
                f"{name} has dtype {given.dtype}, query has {query.dtype}, but all three need one "
                "floating-point dtype: convert with .float() or .to(query.dtype)"
            )
    if query.shape[-1] != key.shape[-1] or query.shape[-1] == 0:
        raise ValueError(
            f"query has width {query.shape[-1]} and key has width {key.shape[-1]}, but their dot "
            "product needs one width above 0: project both to the same head width"
        )
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"there are {key.shape[-2]} keys and {value.shape[-2]} values, but each key needs its "
            "value: make both from the same sequence"
        )
    check_dropout(dropout)
    if mask is not None:
        leading = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        check_mask(mask, (*leading, query.shape[-2], key.shape[-2]))


def check_mask(mask: Tensor, wanted: tuple[int, ...]) -> None:
    """Refuse a mask that is not boolean or does not broadcast to ``wanted = (..., T, S)``."""
    if mask.dtype != torch.bool:
        raise ValueError(
            f"mask has dtype {mask.dtype}, but torch.bool is needed, True where the query may "
            "attend: convert a 0/1 mask with mask.bool(), an additive one with mask == 0"
        )
    sizes = zip(reversed(mask.shape), reversed(wanted), strict=False)
    if mask.dim() > len(wanted) or any(have not in (1, want) for have, want in sizes):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}, but must broadcast to (..., T, S) = {wanted}: "
            "add axes of size 1 with mask[:, None], or transpose it if queries and keys are "
            "swapped"
        )

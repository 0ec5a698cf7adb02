r"""Positions that are added: to the embeddings (absolute) or to the scores (relative).

.. math::

   P_{m,2i} = \sin\bigl(m \, b^{-2i/D}\bigr),\quad P_{m,2i+1} = \cos\bigl(m \, b^{-2i/D}\bigr)
   \qquad\text{(sinusoidal)}

.. math::

   \mathrm{bias}_{h,t,s} = r_{h,\,\mathrm{bucket}(s - t)} \quad\text{(T5)}, \qquad
   \mathrm{bias}_{h,t,s} = -\,m_h \, |t - s| \quad\text{(ALiBi)}

===============  ===================  ======================================
code             symbol               shape
===============  ===================  ======================================
``positions``    :math:`m`            ``(T,)`` or ``(B, T)``, integers
``query_slots``  :math:`t`            ``(T,)``, integers
``key_slots``    :math:`s`            ``(S,)``, integers
``slopes``       :math:`m_h`          ``(H,)``
bias             added to the scores  ``(H, T, S)``
===============  ===================  ======================================

A bias depends on :math:`s - t` only, so it may be computed from places in the sequence ("slots")
even when padding on the left shifts the positions.

References
----------
1. Vaswani et al., *Attention Is All You Need*, 2017, arXiv:1706.03762, section 3.5.
2. Raffel et al., *Exploring the Limits of Transfer Learning with a Unified Text-to-Text
   Transformer*, 2020, arXiv:1910.10683, section 2.1 (T5's buckets).
3. Press, Smith and Lewis, *Train Short, Test Long*, 2021, arXiv:2108.12409 (ALiBi).

**Differs from the papers in**

* ``layout="halves"`` puts all sines before all cosines, as Marian's checkpoints do.
* ALiBi's slopes for a number of heads that is not a power of two follow the authors' code.
* For bidirectional attention, ALiBi takes the distance without its sign.
"""

from __future__ import annotations

from math import floor, log, log2

import torch
from torch import Tensor, nn

from llmlib.nn.rotary import check_positions, rotary_frequencies

__all__ = ["ALiBi", "LearnedPositions", "RelativePositionBias", "SinusoidalPositions"]


class SinusoidalPositions(nn.Module):
    """A fixed vector per position, made of waves of growing length.

    Parameters
    ----------
    dim : int
        Model width D, even.
    max_len : int
        Positions 0 to ``max_len - 1`` are tabulated.
    base : float
        The longest wave is about ``2 * pi * base`` tokens long.
    layout : str
        ``"interleaved"`` (sine, cosine, sine, …: the paper) or ``"halves"`` (all sines, then all
        cosines: Marian).

    Notes
    -----
    Source: Vaswani et al. 2017, section 3.5. Nothing to train, nothing in the checkpoint.

    Examples
    --------
    >>> positions = SinusoidalPositions(4, max_len=8, base=100.0)
    >>> positions(torch.tensor([0, 1]))  # sin 1, cos 1, sin 0.1, cos 0.1
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0998, 0.9950]])
    """

    def __init__(
        self, dim: int, max_len: int, *, base: float = 10_000.0, layout: str = "interleaved"
    ) -> None:
        super().__init__()
        if dim < 2 or dim % 2:
            raise ValueError(f"dim={dim}, but sines and cosines come in pairs: choose an even dim")
        if layout not in ("interleaved", "halves"):
            raise ValueError(f"layout={layout!r} is not known: choose 'interleaved' or 'halves'")
        # In float64: position 1000 times a rounded frequency would be off by 1e-4 radians.
        angles = torch.arange(max_len)[:, None] * rotary_frequencies(dim, base, dtype=torch.float64)
        waves = (angles.sin().float(), angles.cos().float())  # (max_len, D/2) each
        table = (
            torch.stack(waves, dim=-1).flatten(1)  # (max_len, D/2, 2) -> (max_len, D)
            if layout == "interleaved"
            else torch.cat(waves, dim=-1)
        )
        self.max_len = max_len
        self.register_buffer("table", table, persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        """``(T,)`` or ``(B, T)`` integers ``-> (T, D)`` or ``(B, T, D)``."""
        check_positions(positions, self.max_len)
        return self.table[positions]


class LearnedPositions(nn.Embedding):
    """A trained vector per position, as in GPT-2 and BERT.

    Parameters
    ----------
    max_len : int
        Positions 0 to ``max_len - 1`` have a vector; there is none beyond.
    dim : int
        Model width D.

    Examples
    --------
    >>> positions = LearnedPositions(max_len=8, dim=4)
    >>> positions(torch.arange(3)).shape
    torch.Size([3, 4])
    """

    def __init__(self, max_len: int, dim: int) -> None:
        super().__init__(max_len, dim)

    def forward(self, positions: Tensor) -> Tensor:
        """``(T,)`` or ``(B, T)`` integers ``-> (T, D)`` or ``(B, T, D)``."""
        check_positions(positions, self.num_embeddings)
        return super().forward(positions)


class RelativePositionBias(nn.Module):
    """T5's trained bias: one number per head and bucket of distances.

    Near distances have a bucket each; far ones share buckets that grow logarithmically up to
    ``max_distance``, beyond which all distances share the last.

    Parameters
    ----------
    num_heads : int
        Query heads H.
    num_buckets : int
        Distinguished distances.
    max_distance : int
        Distance from which all are one, in tokens.
    bidirectional : bool
        Half of the buckets are for later positions (an encoder); otherwise later positions fall
        into the bucket of distance 0 (a decoder, where the mask hides them).

    Notes
    -----
    Source: Raffel et al. 2020, section 2.1. Equal to ``T5Attention.compute_bias`` of
    transformers. T5 computes the bias once and adds it in every layer.

    Examples
    --------
    >>> bias = RelativePositionBias(num_heads=2, num_buckets=8, max_distance=16)
    >>> bias.bucket(torch.tensor([-20, -3, -1, 0, 1, 3, 20]))
    tensor([3, 2, 1, 0, 5, 6, 7])
    >>> bias(torch.arange(3), torch.arange(5)).shape
    torch.Size([2, 3, 5])
    """

    def __init__(
        self,
        num_heads: int,
        *,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        exact = num_buckets // (4 if bidirectional else 2)  # distances with a bucket each
        if exact < 1 or max_distance <= exact:
            raise ValueError(
                f"num_buckets={num_buckets} gives {exact} exact distances and "
                f"max_distance={max_distance}: at least 1 is needed, and fewer than max_distance"
            )
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.embedding = nn.Embedding(num_buckets, num_heads)

    def bucket(self, relative: Tensor) -> Tensor:
        """Bucket of each ``key position - query position``; integers of the same shape."""
        if self.bidirectional:
            num_buckets = self.num_buckets // 2
            offset = num_buckets * (relative > 0)
            distance = relative.abs()
        else:
            num_buckets = self.num_buckets
            offset = torch.zeros_like(relative)
            distance = (-relative).clamp(min=0)
        exact = num_buckets // 2
        # The logarithm runs from 0 at `exact` to 1 at `max_distance`. Below `exact` it is not
        # used; the clamp only keeps log(0) away.
        ratio = torch.log(distance.clamp(min=1).float() / exact) / log(self.max_distance / exact)
        far = exact + (ratio * (num_buckets - exact)).long()
        return offset + torch.where(distance < exact, distance, far.clamp(max=num_buckets - 1))

    def forward(self, query_slots: Tensor, key_slots: Tensor) -> Tensor:
        """``(T,), (S,) -> (H, T, S)``, to be added to the scores."""
        buckets = self.bucket(key_slots - query_slots[:, None])  # (T, S)
        return self.embedding(buckets).permute(2, 0, 1)  # (T, S, H) -> (H, T, S)


class ALiBi(nn.Module):
    """A fixed penalty that grows linearly with the distance, at a slope per head.

    Parameters
    ----------
    num_heads : int
        Query heads H.

    Notes
    -----
    Source: Press et al. 2021, section 3. Equal to BLOOM's ``build_alibi_tensor`` of transformers
    up to a constant per query, which the softmax does not see.

    Examples
    --------
    >>> ALiBi(4).slopes
    tensor([0.2500, 0.0625, 0.0156, 0.0039])
    >>> ALiBi(1)(torch.tensor([2]), torch.arange(3)) * 256
    tensor([[[-2., -1., -0.]]])
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1:
            raise ValueError(f"num_heads={num_heads}: at least 1 is needed")
        power = 2 ** floor(log2(num_heads))  # the largest power of two among the heads
        slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
        # The remaining heads take every other slope of twice as many heads.
        slopes += [2 ** (-4 * (2 * i + 1) / power) for i in range(num_heads - power)]
        self.register_buffer("slopes", torch.tensor(slopes), persistent=False)

    def forward(self, query_slots: Tensor, key_slots: Tensor) -> Tensor:
        """``(T,), (S,) -> (H, T, S)``, to be added to the scores."""
        distance = (query_slots[:, None] - key_slots).abs()  # (T, S)
        return -self.slopes[:, None, None] * distance

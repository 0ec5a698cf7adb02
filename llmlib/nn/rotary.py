r"""Rotary position embedding: position as an angle.

.. math::

   \begin{pmatrix} x'_a \\ x'_b \end{pmatrix} =
   \begin{pmatrix} \cos m\theta_i & -\sin m\theta_i \\ \sin m\theta_i & \cos m\theta_i
   \end{pmatrix}
   \begin{pmatrix} x_a \\ x_b \end{pmatrix},
   \qquad \theta_i = \mathrm{base}^{-2i/K}, \quad i = 0 \dots K/2 - 1

Each pair :math:`(a, b)` of a head's features is turned by the token's position :math:`m` times
the pair's own frequency. The dot product of a query at :math:`m` with a key at :math:`n` then
depends on positions only through :math:`m - n`. Two pairings are in use, and a checkpoint works
with one of them only:

* ``"half"``: feature i with feature i + K/2 (Llama and everything in transformers);
* ``"interleaved"``: feature 2i with feature 2i + 1 (the paper, GPT-J, Meta's own Llama files).

===============  ==================  ===================================
code             symbol              shape
===============  ==================  ===================================
``x``            :math:`x`           ``(B, H, T, K)`` or ``(..., T, K)``
``positions``    :math:`m`           ``(T,)`` or ``(B, T)``, integers
``frequencies``  :math:`\theta`      ``(K / 2,)``, radians per token
===============  ==================  ===================================

References
----------
1. Su et al., *RoFormer: Enhanced Transformer with Rotary Position Embedding*, 2021,
   arXiv:2104.09864, section 3.4.
2. Chen et al., *Extending Context Window of Large Language Models via Positional
   Interpolation*, 2023, arXiv:2306.15595 (linear scaling).
3. Grattafiori et al., *The Llama 3 Herd of Models*, 2024, arXiv:2407.21783 (the scaling by
   wavelength is in the code released with Llama 3.1).

**Differs from the paper in** the pairing, where ``pairing="half"`` is the default; the two are
equal up to a fixed permutation of the features (:func:`interleaved_to_half`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor, nn

__all__ = [
    "LinearRopeScaling",
    "Llama3RopeScaling",
    "RotaryEmbedding",
    "interleaved_to_half",
    "rotary_frequencies",
]


def rotary_frequencies(
    head_dim: int, base: float = 10_000.0, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Angle per token of each pair, from one radian down to almost none.

    Parameters
    ----------
    head_dim : int
        Head width K, even.
    base : float
        The larger, the slower the last pairs turn.
    dtype : torch.dtype
        Of the result. Checkpoints of rotary models were trained with float32.

    Returns
    -------
    Tensor
        ``(K / 2,)``, radians per token.

    Examples
    --------
    >>> rotary_frequencies(4, base=100.0)
    tensor([1.0000, 0.1000])
    """
    if head_dim < 2 or head_dim % 2:
        raise ValueError(
            f"head_dim={head_dim}, but features are turned in pairs: choose an even head width"
        )
    if base <= 0:
        raise ValueError(f"base={base}, but a frequency needs a base above 0: 10000 is usual")
    exponents = torch.arange(0, head_dim, 2, dtype=dtype) / head_dim  # (K/2,)
    return 1.0 / base**exponents


@dataclass(frozen=True, kw_only=True)
class LinearRopeScaling:
    """Squeeze all positions by one factor, so that a longer text fits the trained angles.

    Parameters
    ----------
    factor : float
        New context length divided by the trained one.

    Examples
    --------
    >>> LinearRopeScaling(factor=4.0)(torch.tensor([1.0, 0.1]))
    tensor([0.2500, 0.0250])
    """

    factor: float

    def __call__(self, frequencies: Tensor) -> Tensor:
        """``(K / 2,) -> (K / 2,)``."""
        return frequencies / self.factor


@dataclass(frozen=True, kw_only=True)
class Llama3RopeScaling:
    """Squeeze only the slow pairs, as Llama 3.1 does.

    A pair that turns fast (wavelength below ``original_context / high_freq_factor``) tells
    neighbours apart and is kept. A slow one (wavelength above ``original_context /
    low_freq_factor``) is divided by ``factor``. Between the two, the change is gradual.

    Parameters
    ----------
    factor : float
        New context length divided by the trained one.
    low_freq_factor, high_freq_factor : float
        Turns within the original context below which a pair is slow, above which it is fast.
    original_context : int
        Context length of the first training, in tokens.

    Examples
    --------
    >>> scaling = Llama3RopeScaling(
    ...     factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context=8192)
    >>> scaling(torch.tensor([1.0, 1e-4]))  # wavelengths of 6 and of 62832 tokens
    tensor([1.0000e+00, 1.2500e-05])
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int

    def __call__(self, frequencies: Tensor) -> Tensor:
        """``(K / 2,) -> (K / 2,)``."""
        wavelengths = 2 * pi / frequencies  # tokens per turn
        turns = self.original_context / wavelengths  # within the original context
        span = self.high_freq_factor - self.low_freq_factor
        keep = ((turns - self.low_freq_factor) / span).clamp(0, 1)  # 1 fast, 0 slow
        return keep * frequencies + (1 - keep) * frequencies / self.factor


class RotaryEmbedding(nn.Module):
    """Turn queries and keys by their positions.

    Parameters
    ----------
    head_dim : int
        Head width K, even.
    base : float
        Base of the frequencies. 10 000 in the paper and Llama 2, 500 000 in Llama 3.
    pairing : str
        ``"half"`` (Llama, transformers) or ``"interleaved"`` (the paper).
    scaling : callable, optional
        Maps frequencies ``(K / 2,)`` to frequencies: :class:`LinearRopeScaling`,
        :class:`Llama3RopeScaling`.
    max_len : int
        Positions 0 to ``max_len - 1`` are tabulated.

    Notes
    -----
    Source: Su et al. 2021, equation 34. Equal to ``apply_rotary_pos_emb`` of transformers: of
    Llama for ``"half"``, of GPT-J for ``"interleaved"``. No parameters, nothing in the
    checkpoint.

    Examples
    --------
    Two features, base anything: position m turns them by m radians.

    >>> rotary = RotaryEmbedding(2)
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])     # (T=2, K=2)
    >>> rotary(x, torch.tensor([0, 1]))                # cos 1 = 0.5403, sin 1 = 0.8415
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """

    def __init__(
        self,
        head_dim: int,
        *,
        base: float = 10_000.0,
        pairing: str = "half",
        scaling: Callable[[Tensor], Tensor] | None = None,
        max_len: int = 2048,
    ) -> None:
        super().__init__()
        if pairing not in ("half", "interleaved"):
            raise ValueError(f"pairing={pairing!r} is not known: choose 'half' or 'interleaved'")
        frequencies = rotary_frequencies(head_dim, base)
        if scaling is not None:
            frequencies = scaling(frequencies)
        angles = torch.arange(max_len).float()[:, None] * frequencies  # (max_len, K/2)
        cos, sin = angles.cos(), angles.sin()
        # What each feature is multiplied by, and what its partner is, with the sign.
        own, partner = (cos, cos), (-sin, sin)  # (max_len, K/2) each
        if pairing == "half":
            table = [torch.cat(pair, dim=-1) for pair in (own, partner)]
        else:
            table = [torch.stack(pair, dim=-1).flatten(-2) for pair in (own, partner)]
        self.head_dim = head_dim
        self.pairing = pairing
        self.max_len = max_len
        self.register_buffer("table", torch.stack(table, dim=1), persistent=False)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Turn ``x`` by its positions.

        Parameters
        ----------
        x : Tensor
            ``(..., T, K)``; with a batch of positions it must be ``(B, H, T, K)``.
        positions : Tensor, optional
            Integer ``(T,)`` or ``(B, T)``; 0 to T - 1 when left out. Several layers may share what
            :meth:`factors` makes of them, and pass that.

        Returns
        -------
        Tensor
            The shape of ``x``; the length of every vector is unchanged.
        """
        length, width = x.shape[-2:]
        if width != self.head_dim:
            raise ValueError(
                f"x has width {width}, but head_dim={self.head_dim}: split it into heads first"
            )
        if positions is None:
            positions = torch.arange(length, device=x.device)
        factors = positions if positions.is_floating_point() else self.factors(positions)
        if factors.dtype != x.dtype:
            factors = factors.to(x.dtype)
        own, partner = factors.unbind(-2)  # (T, K) or (B, 1, T, K) each
        return torch.addcmul(x * own, self._swap(x), partner)

    def factors(self, positions: Tensor) -> Tensor:
        """What features and their partners are multiplied by.

        Parameters
        ----------
        positions : Tensor
            Integer ``(T,)`` or ``(B, T)``.

        Returns
        -------
        Tensor
            ``(T, 2, K)`` or ``(B, 1, T, 2, K)``, the same for every head.
        """
        check_positions(positions, self.max_len)
        factors = self.table[positions]
        return factors[:, None] if positions.dim() == 2 else factors

    def _swap(self, x: Tensor) -> Tensor:
        """Exchange the partners of every pair."""
        if self.pairing == "half":
            return x.roll(self.head_dim // 2, dims=-1)
        return x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)

    def extra_repr(self) -> str:
        """Sizes shown by ``print(module)``."""
        return f"head_dim={self.head_dim}, pairing={self.pairing!r}, max_len={self.max_len}"


def interleaved_to_half(weight: Tensor, head_dim: int) -> Tensor:
    """Reorder a query or key projection so that the ``"half"`` pairing gives the same scores.

    Parameters
    ----------
    weight : Tensor
        ``(H * K, D)`` or a bias ``(H * K,)``, made for the ``"interleaved"`` pairing.
    head_dim : int
        Head width K.

    Returns
    -------
    Tensor
        The same shape; in each head the even features come first, then the odd ones.

    Examples
    --------
    >>> interleaved_to_half(torch.tensor([0, 1, 2, 3, 10, 11, 12, 13]), head_dim=4)
    tensor([ 0,  2,  1,  3, 10, 12, 11, 13])
    """
    if weight.shape[0] % head_dim or head_dim % 2:
        raise ValueError(
            f"weight has {weight.shape[0]} rows, which are not heads of even width "
            f"head_dim={head_dim}: pass the head width it was made with"
        )
    pairs = weight.unflatten(0, (-1, head_dim // 2, 2))  # (H, K/2, 2, ...)
    return pairs.transpose(1, 2).flatten(0, 2)  # (H, 2, K/2, ...) -> (H * K, ...)


def check_positions(positions: Tensor, max_len: int) -> None:
    """Refuse positions that have no vector; looked at where that costs nothing, on the CPU."""
    if positions.device.type != "cpu" or torch.compiler.is_compiling() or not positions.numel():
        return
    low, high = (end.item() for end in torch.aminmax(positions))
    if low < 0 or high >= max_len:
        raise ValueError(
            f"positions run from {low} to {high}, but must lie in 0..{max_len - 1}: "
            "shorten the sequence or build the model with a longer context"
        )

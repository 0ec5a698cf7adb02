r"""Gradient compression: smaller messages, and what they leave out kept for the next one.

.. math::

   c_t = C(g_t + e_t), \qquad e_{t+1} = g_t + e_t - c_t
   \qquad\Longrightarrow\qquad
   \sum_{t < T} c_t = \sum_{t < T} g_t - e_T

===============  ===========  ====================================================
code             symbol       what it is
===============  ===========  ====================================================
``vector``       :math:`g`    gradient of a step, ``(n,)``
``compressor``   :math:`C`    :class:`TopK`, :class:`Signs` or :class:`Int8`
``remainder``    :math:`e`    what has not been sent yet
===============  ===========  ====================================================

With the remainder, *error feedback*, nothing is lost: what is sent in the end is what was to be
sent, but for one last remainder. Without it a small gradient that is always the same may never
get through.

References
----------
1. Seide et al., *1-Bit Stochastic Gradient Descent and its Application to Data-Parallel
   Distributed Training of Speech DNNs*, Interspeech 2014.
2. Lin et al., *Deep Gradient Compression: Reducing the Communication Bandwidth for Distributed
   Training*, ICLR 2018, arXiv:1712.01887.
3. Karimireddy et al., *Error Feedback Fixes SignSGD and other Gradient Compression Schemes*, ICML
   2019, arXiv:1901.09847.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["ErrorFeedback", "Int8", "Packet", "Signs", "TopK"]


@dataclass(frozen=True, kw_only=True)
class Packet:
    """What is sent for a vector.

    Parameters
    ----------
    tensors : dict
        By name.
    size : int
        Numbers of the vector.
    """

    tensors: dict[str, Tensor]
    size: int

    @property
    def nbytes(self) -> int:
        """Bytes that are sent."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


class Compressor(Protocol):
    """From a vector to a packet and back."""

    def encode(self, vector: Tensor) -> Packet:
        """What to send for a vector."""

    def decode(self, packet: Packet) -> Tensor:
        """What the receiver makes of it."""


@dataclass(frozen=True)
class TopK:
    """The k numbers furthest from 0, and their places.

    Parameters
    ----------
    k : int
        How many.

    Examples
    --------
    >>> packet = TopK(2).encode(torch.tensor([0.1, -3.0, 0.2, 1.0]))
    >>> packet.nbytes, TopK(2).decode(packet)
    (16, tensor([ 0., -3.,  0.,  1.]))
    """

    k: int

    def encode(self, vector: Tensor) -> Packet:
        """``(n,)`` to k numbers of 4 bytes and k places of 4 bytes."""
        if not 1 <= self.k <= len(vector):
            raise ValueError(f"k={self.k}, but the vector has {len(vector)} numbers")
        places = vector.abs().topk(self.k).indices
        tensors = {"places": places.to(torch.int32), "values": vector[places]}
        return Packet(tensors=tensors, size=len(vector))

    def decode(self, packet: Packet) -> Tensor:
        """0 wherever nothing was sent."""
        values = packet.tensors["values"]
        return values.new_zeros(packet.size).scatter(0, packet.tensors["places"].long(), values)


@dataclass(frozen=True)
class Signs:
    """One bit for each number, its sign; and one scale, the mean distance from 0.

    Examples
    --------
    >>> packet = Signs().encode(torch.tensor([1.0, -2.0, 3.0]))
    >>> packet.nbytes, Signs().decode(packet)
    (5, tensor([ 2., -2.,  2.]))
    """

    def encode(self, vector: Tensor) -> Packet:
        """``(n,)`` to ``n / 8`` bytes, rounded up, and a scale of 4."""
        bits = (vector >= 0).to(torch.uint8)
        bits = torch.nn.functional.pad(bits, (0, -len(bits) % 8)).view(-1, 8)  # (n / 8, 8)
        tensors = {
            "signs": (bits * _places()).sum(1, dtype=torch.uint8),
            "scale": vector.abs().mean(),
        }
        return Packet(tensors=tensors, size=len(vector))

    def decode(self, packet: Packet) -> Tensor:
        """The scale with each sign."""
        bits = (packet.tensors["signs"][:, None] & _places()) > 0  # (n / 8, 8)
        scale = packet.tensors["scale"]
        return torch.where(bits.flatten()[: packet.size], scale, -scale)


@dataclass(frozen=True)
class Int8:
    """A whole number from -127 to 127 for each number, and one scale.

    Examples
    --------
    >>> packet = Int8().encode(torch.tensor([1.27, -0.011, 0.5]))
    >>> packet.nbytes, Int8().decode(packet)
    (7, tensor([ 1.2700, -0.0100,  0.5000]))
    """

    def encode(self, vector: Tensor) -> Packet:
        """``(n,)`` to n bytes and a scale of 4."""
        scale = vector.abs().max() / 127
        steps = vector / torch.where(scale > 0, scale, 1)
        return Packet(
            tensors={"steps": steps.round().to(torch.int8), "scale": scale}, size=len(vector)
        )

    def decode(self, packet: Packet) -> Tensor:
        """Steps times scale."""
        return packet.tensors["steps"] * packet.tensors["scale"]


class ErrorFeedback:
    """A compressor that adds what it left out to the next vector. Each rank has its own.

    Parameters
    ----------
    compressor : TopK, Signs or Int8
        What compresses.

    Attributes
    ----------
    remainder : Tensor or None
        What has not been sent yet, ``(n,)``.

    Examples
    --------
    >>> sender = ErrorFeedback(TopK(1))
    >>> for _ in range(3):
    ...     print(sender.decode(sender.encode(torch.tensor([3.0, 2.0]))))
    tensor([3., 0.])
    tensor([0., 4.])
    tensor([6., 0.])
    """

    def __init__(self, compressor: Compressor) -> None:
        self.compressor = compressor
        self.remainder: Tensor | None = None

    def encode(self, vector: Tensor) -> Packet:
        """Compress a vector and what was left of those before."""
        wanted = vector if self.remainder is None else vector + self.remainder
        packet = self.compressor.encode(wanted)
        self.remainder = wanted - self.decode(packet)
        return packet

    def decode(self, packet: Packet) -> Tensor:
        """What the receiver makes of a packet."""
        return self.compressor.decode(packet)


def _places() -> Tensor:
    """Value of each bit of a byte."""
    return 2 ** torch.arange(8, dtype=torch.uint8)

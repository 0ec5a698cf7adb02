r"""DoRA: the length of every row of a matrix learns on its own, the direction by LoRA.

.. math::

   V = W_0 + s\, B A, \qquad
   W_i = m_i\, \frac{V_i}{\lVert V_i \rVert}, \qquad y = W x + b

for every row i, which computes one output. At first :math:`m_i` is the length of row i of
:math:`W_0`, so that nothing has changed.

==============  ========================  ================================
code            symbol                    shape
==============  ========================  ================================
``magnitude``   :math:`m`                 ``(out_features,)``, trained
``direction``   :math:`V`                 ``(out_features, in_features)``
``gain``        :math:`m/\lVert V\rVert`  ``(out_features,)``
==============  ========================  ================================

The rest is as in :mod:`llmlib.post_training.lora`.

References
----------
1. Liu et al., *DoRA: Weight-Decomposed Low-Rank Adaptation*, ICML 2024, arXiv:2402.09353.

**Differs from the paper in** the word: it writes a matrix with outputs as columns and speaks of
columns; a ``torch.nn.Linear`` keeps an output as a row. The lengths :math:`\lVert V_i \rVert` are
taken as constants in the gradient, as its section 4.3 proposes and peft does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from llmlib.nn import linear
from llmlib.post_training.lora import LoRALinear, lora_scale

__all__ = ["DoRALinear"]


class DoRALinear(LoRALinear):
    """A frozen linear layer whose rows learn a length, and a direction of low rank.

    Parameters
    ----------
    base, rank, alpha, scale, dropout
        As for :class:`~llmlib.post_training.LoRALinear`.

    Attributes
    ----------
    magnitude : torch.nn.Parameter
        ``(out_features,)``.

    Notes
    -----
    Source: Liu et al. 2024, equation 5. Equal to peft with ``use_dora=True``. A training step
    builds the whole matrix V to measure its rows, so it is slower than LoRA; merged, both cost
    nothing.

    Examples
    --------
    >>> layer = DoRALinear(nn.Linear(6, 4), rank=2, alpha=4)
    >>> x = torch.randn(3, 6)
    >>> torch.allclose(layer(x), layer.base(x), atol=1e-6)
    True
    >>> with torch.no_grad():
    ...     _ = layer.magnitude.mul_(2)                   # every row twice as long
    >>> torch.allclose(layer(x) - layer.bias, 2 * (layer.base(x) - layer.bias), atol=1e-5)
    True
    """

    peft_fields: ClassVar[dict[str, bool]] = {"use_dora": True}

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        alpha: float,
        *,
        scale: Callable[[float, int], float] = lora_scale,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(base, rank, alpha, scale=scale, dropout=dropout)
        length = base.weight.detach().to(self.lora_A.dtype).norm(dim=1)
        self.magnitude = nn.Parameter(length)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        output, seen, gain = self.base(x), self.dropped(x), self.gain()
        if seen is not x:
            plain = linear(seen, self.base.weight)  # (..., out)
        else:
            plain = output if self.bias is None else output - self.bias  # a bias has no length
        changed = gain * (plain + self.update(seen)) - plain  # 0 at first
        return output + changed.to(output.dtype)

    def direction(self) -> Tensor:
        """V, ``(out_features, in_features)``."""
        return self.base.weight + self.delta()

    def gain(self) -> Tensor:
        """Factor of each row, ``(out_features,)``; the lengths under it get no gradient."""
        with torch.no_grad():
            length = self.direction().norm(dim=1)
        return self.magnitude / length

    @property
    def weight(self) -> Tensor:
        """Matrix of the plain layer that gives the same outputs, in the base's dtype."""
        return (self.gain()[:, None] * self.direction()).to(self.base.weight.dtype)

    def adapter(self) -> dict[str, nn.Parameter]:
        """What is trained and stored, by the names that peft gives it in a file."""
        return super().adapter() | {"lora_magnitude_vector": self.magnitude}

r"""The feed-forward half of a transformer block, plain and gated.

.. math::

   \mathrm{FeedForward}(x) = W_{down}\, f(W_{up}\, x), \qquad
   \mathrm{SwiGLU}(x) = W_{down} \bigl( \mathrm{SiLU}(W_{gate}\, x) \odot W_{up}\, x \bigr)

with :math:`f` an activation, by default
:math:`\mathrm{GELU}(a) = a\,\Phi(a) \approx
\tfrac a2 \bigl(1 + \tanh\bigl(\sqrt{2/\pi}\,(a + 0.044715\,a^3)\bigr)\bigr)`, and
:math:`\mathrm{SiLU}(a) = a / (1 + e^{-a})`.

==============  ====================  =================
code            symbol                shape
==============  ====================  =================
``x``           :math:`x`             ``(..., D)``
``up_proj``     :math:`W_{up}`        ``D -> F``
``gate_proj``   :math:`W_{gate}`      ``D -> F``
``down_proj``   :math:`W_{down}`      ``F -> D``
``activation``  :math:`f`             elementwise
==============  ====================  =================

References
----------
1. Vaswani et al., *Attention Is All You Need*, 2017, arXiv:1706.03762, section 3.3 (ReLU).
2. Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016, arXiv:1606.08415.
3. Shazeer, *GLU Variants Improve Transformer*, 2020, arXiv:2002.05202.

**Differs from the papers in**

* :math:`f` is a module that you pass; reference 1 has ReLU, GPT-2 the tanh form of GELU.
* Biases are optional; reference 3 has none.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmlib.nn.attention import check_dropout
from llmlib.nn.linear_layer import Linear

__all__ = [
    "FeedForward",
    "GatedFeedForward",
    "SwiGLU",
    "gelu",
    "make_activation",
    "swiglu_width",
]


def gelu(x: Tensor, *, tanh: bool = False) -> Tensor:
    """Gaussian error linear unit: the plain version of ``torch.nn.GELU``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    tanh : bool
        Use the approximation that GPT-2 was trained with.

    Returns
    -------
    Tensor
        The same shape.

    Examples
    --------
    >>> gelu(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.0000,  0.8413])
    >>> gelu(torch.tensor([-1.0, 0.0, 1.0]), tanh=True)
    tensor([-0.1588,  0.0000,  0.8412])
    """
    if tanh:
        inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + torch.tanh(inner))
    return 0.5 * x * (1 + torch.erf(x * 0.5**0.5))  # x times the normal distribution function


def make_activation(name: str) -> nn.Module:
    """Build an activation from the name that a model's config carries.

    Parameters
    ----------
    name : str
        ``"relu"``, ``"gelu"``, ``"gelu_tanh"`` or ``"silu"``.

    Examples
    --------
    >>> make_activation("gelu_tanh")
    GELU(approximate='tanh')
    """
    activations = {
        "relu": nn.ReLU,
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
        "silu": nn.SiLU,
    }
    if name not in activations:
        raise ValueError(f"activation={name!r} is not known: choose one of {sorted(activations)}")
    return activations[name]()


def swiglu_width(dim: int, multiple_of: int = 256) -> int:
    """Hidden width that gives a gated layer the parameters of a plain one of width ``4 * dim``.

    Three matrices of ``8/3 * dim`` weigh as much as two of ``4 * dim``; the width is rounded up
    to a multiple that suits the hardware.

    Examples
    --------
    >>> swiglu_width(4096)  # Llama 7B
    11008
    """
    return -(-(8 * dim // 3) // multiple_of) * multiple_of


class FeedForward(nn.Module):
    """Widen, bend, narrow: two linear layers with an activation between them.

    Parameters
    ----------
    dim : int
        Model width D.
    hidden_dim : int, optional
        Width F in the middle; ``4 * dim`` when left out.
    activation : torch.nn.Module, optional
        What stands between the layers; GELU in its tanh form when left out.
    bias : bool
        Whether both layers add a bias.
    dropout : float
        Dropout of the hidden activations during training.

    Notes
    -----
    Source: Vaswani et al. 2017, equation 2. Equal to ``GPT2MLP`` and ``T5DenseActDense`` of
    transformers with the same weights.

    Examples
    --------
    >>> layer = FeedForward(8, 32, activation=nn.ReLU())
    >>> layer(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int | None = None,
        *,
        activation: nn.Module | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden_dim = 4 * dim if hidden_dim is None else hidden_dim
        _check_widths(dim, hidden_dim, dropout)
        self.up_proj = Linear(dim, hidden_dim, bias=bias)
        self.activation = make_activation("gelu_tanh") if activation is None else activation
        self.dropout = dropout
        self.down_proj = Linear(hidden_dim, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D) -> (..., D)``."""
        hidden = self.activation(self.up_proj(x))  # (..., F)
        if self.training and self.dropout:
            hidden = F.dropout(hidden, self.dropout)
        return self.down_proj(hidden)


class GatedFeedForward(nn.Module):
    """A feed-forward layer whose hidden features are multiplied by a learned gate.

    Parameters
    ----------
    dim : int
        Model width D.
    hidden_dim : int
        Width F in the middle.
    activation : torch.nn.Module
        Applied to the gate.
    bias : bool
        Whether the three layers add a bias.
    dropout : float
        Dropout of the hidden activations during training.

    Notes
    -----
    Source: Shazeer 2020. With GELU it is GEGLU, the layer of T5 v1.1
    (``T5DenseGatedActDense`` of transformers).

    Examples
    --------
    >>> layer = GatedFeedForward(8, 16, activation=nn.GELU(approximate="tanh"))
    >>> sum(p.numel() for p in layer.parameters())  # three matrices of 8 by 16
    384
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        *,
        activation: nn.Module,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_widths(dim, hidden_dim, dropout)
        self.gate_proj = Linear(dim, hidden_dim, bias=bias)
        self.up_proj = Linear(dim, hidden_dim, bias=bias)
        self.activation = activation
        self.dropout = dropout
        self.down_proj = Linear(hidden_dim, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D) -> (..., D)``."""
        hidden = self.activation(self.gate_proj(x)) * self.up_proj(x)  # (..., F)
        if self.training and self.dropout:
            hidden = F.dropout(hidden, self.dropout)
        return self.down_proj(hidden)


class SwiGLU(GatedFeedForward):
    """The gated feed-forward layer of Llama: the gate goes through SiLU.

    Parameters
    ----------
    dim : int
        Model width D.
    hidden_dim : int, optional
        Width F in the middle; :func:`swiglu_width` of ``dim`` when left out.
    bias : bool
        Whether the three layers add a bias.
    dropout : float
        Dropout of the hidden activations during training.

    Notes
    -----
    Source: Shazeer 2020, equation 6. Equal to ``LlamaMLP`` of transformers.

    Examples
    --------
    With all weights 1 and x = 1 the gate is SiLU(1) = 0.7311 and what it gates is 1:

    >>> layer = SwiGLU(1, 1)
    >>> for weight in layer.parameters():
    ...     _ = nn.init.ones_(weight)
    >>> layer(torch.ones(1)).detach()
    tensor([0.7311])
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int | None = None,
        *,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        hidden_dim = swiglu_width(dim) if hidden_dim is None else hidden_dim
        super().__init__(dim, hidden_dim, activation=nn.SiLU(), bias=bias, dropout=dropout)


def _check_widths(dim: int, hidden_dim: int, dropout: float) -> None:
    if min(dim, hidden_dim) < 1:
        raise ValueError(f"dim={dim}, hidden_dim={hidden_dim}: each must be at least 1")
    check_dropout(dropout)

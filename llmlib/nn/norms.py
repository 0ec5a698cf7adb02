r"""Layer normalisation and root-mean-square normalisation.

.. math::

   \mathrm{LayerNorm}(x) = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta,
   \qquad
   \mathrm{RMSNorm}(x) = \gamma \odot \frac{x}{\sqrt{\tfrac1D \sum_i x_i^2 + \varepsilon}}

with :math:`\mu = \tfrac1D \sum_i x_i` and :math:`\sigma^2 = \tfrac1D \sum_i (x_i - \mu)^2`, each
over the last axis: every token is normalised by itself.

==========  =====================  ==============
code        symbol                 shape
==========  =====================  ==============
``x``       :math:`x`              ``(..., D)``
``weight``  :math:`\gamma`         ``(D,)``
``bias``    :math:`\beta`          ``(D,)``
``eps``     :math:`\varepsilon`    number
==========  =====================  ==============

References
----------
1. Ba, Kiros and Hinton, *Layer Normalization*, 2016, arXiv:1607.06450.
2. Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019, arXiv:1910.07467.

**Differs from the papers in**

* :math:`\varepsilon` keeps a constant input from dividing by zero; the papers leave it out.
* :class:`RMSNorm` computes in float32 whatever the input, and rounds before it multiplies by
  the weight. Llama's and T5's checkpoints were trained that way.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LayerNorm", "RMSNorm", "layer_norm", "rms_norm"]


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Layer normalisation as the formula says it: the plain version of :class:`LayerNorm`.

    Parameters
    ----------
    x : Tensor
        ``(..., D)``.
    weight : Tensor
        ``(D,)``, the gain.
    bias : Tensor, optional
        ``(D,)``, the shift.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        ``(..., D)``.

    Examples
    --------
    Mean 2 and variance 1, so the numbers become -1 and 1:

    >>> layer_norm(torch.tensor([1.0, 3.0]), weight=torch.ones(2), eps=0.0)
    tensor([-1.,  1.])
    """
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)  # divided by D, not by D - 1
    normed = centred * torch.rsqrt(variance + eps) * weight
    return normed if bias is None else normed + bias


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    """Divide by the root of the mean square, then scale each feature.

    Parameters
    ----------
    x : Tensor
        ``(..., D)``.
    weight : Tensor
        ``(D,)``, the gain.
    eps : float
        Added to the mean square.

    Returns
    -------
    Tensor
        ``(..., D)``.

    Examples
    --------
    The mean square of 3 and 4 is 12.5:

    >>> rms_norm(torch.tensor([3.0, 4.0]), weight=torch.ones(2), eps=0.0)
    tensor([0.8485, 1.1314])
    """
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    return weight * normed.to(x.dtype)


class LayerNorm(nn.Module):
    """Layer normalisation with a learned gain and shift.

    Parameters
    ----------
    dim : int
        Width D of the last axis.
    eps : float
        Added to the variance. GPT-2 uses 1e-5, BERT 1e-12.
    bias : bool
        Whether there is a shift.

    Notes
    -----
    Source: Ba et al. 2016, equation 4. Equal to ``torch.nn.LayerNorm`` and to the plain
    :func:`layer_norm`; computed by PyTorch's fused kernel.

    Examples
    --------
    >>> norm = LayerNorm(4)
    >>> x = torch.tensor([[0.0, 2.0, 4.0, 6.0]])
    >>> norm(x).mean().abs() < 1e-6, norm(x).std(correction=0)
    (tensor(True), tensor(1.0000, grad_fn=<StdBackward0>))
    """

    def __init__(self, dim: int, *, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        _check_width(dim)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D) -> (..., D)``."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Sizes shown by ``print(module)``."""
        return f"{self.weight.shape[0]}, eps={self.eps}, bias={self.bias is not None}"


class RMSNorm(nn.Module):
    """Root-mean-square normalisation with a learned gain.

    Parameters
    ----------
    dim : int
        Width D of the last axis.
    eps : float
        Added to the mean square. Llama 2 and 3 use 1e-5, T5 and Qwen 1e-6.

    Notes
    -----
    Source: Zhang and Sennrich 2019, equation 4. Equal to ``torch.nn.RMSNorm`` and to
    ``LlamaRMSNorm`` of transformers. In float32 computed by PyTorch's own function, which
    :func:`rms_norm` spells out; in half precision by :func:`rms_norm` itself, because the two
    round at different places.

    Examples
    --------
    >>> norm = RMSNorm(3)
    >>> norm(torch.tensor([10.0, 10.0, 10.0])).detach()
    tensor([1., 1., 1.])
    """

    def __init__(self, dim: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        _check_width(dim)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D) -> (..., D)``."""
        if x.dtype in (torch.float16, torch.bfloat16):
            return rms_norm(x, self.weight, self.eps)
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Sizes shown by ``print(module)``."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


def _check_width(dim: int) -> None:
    if dim < 1:
        raise ValueError(f"dim={dim}, but a vector to normalise needs a width of at least 1")

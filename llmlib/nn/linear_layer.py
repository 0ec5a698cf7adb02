r"""The linear layer, computed by the faster of two matrix-product kernels.

.. math::

   y = x W^\top + b

==========  ============  ========================
code        symbol        shape
==========  ============  ========================
``x``       :math:`x`     ``(..., in_features)``
``weight``  :math:`W`     ``(out_features, in_features)``
``bias``    :math:`b`     ``(out_features,)``
==========  ============  ========================

PyTorch on x86 carries two libraries that multiply float32 matrices: Intel's MKL, which
``torch.nn.functional.linear`` calls, and oneDNN, which compiles a kernel for the processor it
meets. MKL keeps its widest instructions for Intel processors; on others oneDNN is about twice
as fast on the large products of a training step, and about as fast on Intel. A product with few
rows (one new token) is limited by memory, and there MKL's smaller overhead wins.

:func:`linear` picks the kernel by the size of the product, so the choice needs no setting. The
plain formula in the docstring of :func:`linear` is its test.

**Differs from** ``torch.nn.functional.linear`` **in** the last bits of the result, as any two
orders of summation do.
"""

from __future__ import annotations

import functools
import platform

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Linear", "linear"]

# A product with fewer rows is bound by reading the weight, where both kernels are equal.
_MIN_ROWS = 16
# Multiplications below which oneDNN saves less time than its autograd node costs.
_MIN_PRODUCTS = 2**21


class Linear(nn.Linear):
    """``torch.nn.Linear`` with the same weights and initial values, through :func:`linear`.

    Examples
    --------
    >>> layer = Linear(3, 2)
    >>> layer(torch.zeros(4, 3)).shape
    torch.Size([4, 2])
    >>> isinstance(layer, torch.nn.Linear)
    True
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` by the kernel that suits the size.

    Parameters
    ----------
    x : Tensor
        ``(..., in_features)``.
    weight : Tensor
        ``(out_features, in_features)``.
    bias : Tensor, optional
        ``(out_features,)``.

    Returns
    -------
    Tensor
        ``(..., out_features)``. Differentiable as often as you like.

    Examples
    --------
    >>> x, weight, bias = torch.randn(64, 256), torch.randn(256, 256), torch.randn(256)
    >>> torch.allclose(linear(x, weight, bias), x @ weight.T + bias, atol=1e-4)
    True
    """
    if _onednn_pays(x, weight):
        return _OneDNNLinear.apply(x.reshape(-1, x.shape[-1]), weight, bias).view(
            *x.shape[:-1], weight.shape[0]
        )
    return F.linear(x, weight, bias)


def _onednn_pays(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.shape[-1] == weight.shape[-1]  # otherwise F.linear words the error
        and x.numel() >= _MIN_ROWS * x.shape[-1]
        and x.numel() * weight.shape[0] >= _MIN_PRODUCTS
        and _onednn_built()
        # Autocast and the compiler know F.linear and bring their own kernels.
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


@functools.cache
def _onednn_built() -> bool:
    return torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")


class _OneDNNLinear(torch.autograd.Function):
    """``x (N, I), weight (O, I) -> (N, O)``; its gradients are two more such products."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # The operator that PyTorch's own compiler emits for a linear layer on the CPU.
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        x, weight, _ = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        x_needs, weight_needs, bias_needs = ctx.needs_input_grad
        # (N, O) @ (O, I) and (O, N) @ (N, I): linear() transposes its second argument.
        grad_x = linear(grad, weight.t()) if x_needs else None
        grad_weight = linear(grad.t(), x.t()) if weight_needs else None
        grad_bias = grad.sum(0) if bias_needs else None
        return grad_x, grad_weight, grad_bias

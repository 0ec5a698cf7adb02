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

One new token of one text reads every weight once, and then it matters in which order they lie: a
short row ends before the processor has noticed that it is being read on. While a text is written,
:func:`read_by_columns` keeps a copy of each matrix of short rows that lies by columns; such a
product takes about two thirds of the time.

**Differs from** ``torch.nn.functional.linear`` **in** the last bits of the result, as any two
orders of summation do.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Linear", "linear", "read_by_columns"]

# A product with fewer rows is bound by reading the weight, where both kernels are equal.
_MIN_ROWS = 16
# Multiplications below which oneDNN saves less time than its autograd node costs.
_MIN_PRODUCTS = 2**21
# A longer row is read as fast as a column.
_SHORT_ROW = 512


class ColumnReader(nn.Module):
    """A layer with a ``weight`` that :func:`read_by_columns` may copy."""

    weight: Tensor
    columns: Tensor | None = None  # the copy ``(in, out)``, while there is one


class Linear(ColumnReader, nn.Linear):
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
        if self.columns is not None and x.numel() == self.in_features:
            return linear_by_columns(x, self.columns, self.bias)
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


def linear_by_columns(x: Tensor, columns: Tensor, bias: Tensor | None = None) -> Tensor:
    """:func:`linear` for a single row of ``x`` and the transposed weight.

    Parameters
    ----------
    x : Tensor
        ``(..., in_features)`` with one row in all.
    columns : Tensor
        ``(in_features, out_features)``, contiguous.
    bias : Tensor, optional
        ``(out_features,)``.

    Examples
    --------
    >>> linear_by_columns(torch.ones(1, 2), torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    tensor([[5., 7., 9.]])
    """
    row = x.reshape(1, -1)
    output = row @ columns if bias is None else torch.addmm(bias, row, columns)
    return output.view(*x.shape[:-1], -1)


@contextmanager
def read_by_columns(layers: Iterable[ColumnReader]) -> Iterator[None]:
    """Let single rows go through copies of the weights that lie by columns.

    The copies are made on entering, of the float32 matrices on the CPU whose rows are short, and
    dropped on leaving. Weights must not change in between.

    Parameters
    ----------
    layers : iterable of ColumnReader
        :class:`Linear` layers, and a :class:`~llmlib.nn.TokenEmbedding` that is the output layer.

    Examples
    --------
    >>> layer = Linear(3, 2)
    >>> with read_by_columns([layer]):
    ...     layer.columns.shape
    torch.Size([3, 2])
    >>> layer.columns is None
    True
    """
    short = [layer for layer in layers if _has_short_rows(layer.weight)]
    for layer in short:
        layer.columns = layer.weight.detach().t().contiguous()
    try:
        yield
    finally:
        for layer in short:
            layer.columns = None


def _has_short_rows(weight: Tensor) -> bool:
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    return on_cpu and weight.shape[1] <= _SHORT_ROW


def _onednn_pays(x: Tensor, weight: Tensor) -> bool:
    # The cheapest question that a single token fails comes first: it is asked at every layer.
    width, numbers = weight.shape[1], x.numel()
    return (
        numbers >= _MIN_ROWS * width
        and numbers * weight.shape[0] >= _MIN_PRODUCTS
        and x.shape[-1] == width  # otherwise F.linear words the error
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and type(x) is Tensor  # a tensor of many devices brings its own products
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

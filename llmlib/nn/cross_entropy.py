r"""Cross-entropy of the output layer, without ever holding all the logits.

.. math::

   z = h W^\top, \qquad
   \mathcal L = \frac1n \sum_t \Bigl( \log \sum_v e^{z_{tv}} - z_{t,y_t} \Bigr), \qquad
   \frac{\partial \mathcal L}{\partial z_{tv}} = \frac1n \bigl( \mathrm{softmax}(z_t)_v -
   [v = y_t] \bigr)

A language model's largest tensor is its logits: B·T·V numbers, and as many again for their
gradient. But the gradient is known as soon as the logits are, so both can be made for a few rows
at a time, used and thrown away.

===============  ==========  ===============================
code             symbol      shape
===============  ==========  ===============================
``hidden``       :math:`h`   ``(rows, D)``
``weight``       :math:`W`   ``(V, D)``
``targets``      :math:`y`   ``(rows,)``, integers
``logits``       :math:`z`   ``(chunk, V)``
===============  ==========  ===============================

References
----------
1. Wijmans et al., *Cut Your Losses in Large-Vocabulary Language Models*, 2024,
   arXiv:2411.09009.
2. Hsu et al., *Liger Kernel: Efficient Triton Kernels for LLM Training*, 2024,
   arXiv:2410.10989 (the gradient made in the forward pass).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from llmlib.nn.linear_layer import linear

__all__ = ["linear_cross_entropy", "plain_linear_cross_entropy"]

# Rows whose logits (4 MB at V = 4096 in float32) still fit a processor's cache.
_CHUNK_NUMBERS = 2**20


def plain_linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None = None,
    *,
    ignore_index: int = -100,
) -> Tensor:
    """What :func:`linear_cross_entropy` computes, with all the logits at once.

    Parameters
    ----------
    hidden, weight, targets, bias, ignore_index
        As for :func:`linear_cross_entropy`.

    Examples
    --------
    Logits of zero give each of the V = 8 tokens 1/8, and ln 8 = 2.0794:

    >>> hidden, weight = torch.zeros(3, 4), torch.randn(8, 4)
    >>> plain_linear_cross_entropy(hidden, weight, torch.tensor([0, 5, -100]))
    tensor(2.0794)
    """
    logits = linear(hidden, weight, bias)  # (..., V)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = F.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), ignore_index=ignore_index, reduction="sum"
    )
    return losses / (targets != ignore_index).sum().clamp(min=1)


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None = None,
    *,
    ignore_index: int = -100,
) -> Tensor:
    """Mean cross-entropy of ``hidden @ weight.T + bias`` against the targets, in chunks.

    Parameters
    ----------
    hidden : Tensor
        ``(..., D)``, what the model's last norm gives.
    weight : Tensor
        ``(V, D)``, the output layer.
    targets : Tensor
        ``(...,)``, the token that should come out at each place.
    bias : Tensor, optional
        ``(V,)``.
    ignore_index : int
        Target that does not count.

    Returns
    -------
    Tensor
        A number, in nats per token. 0 when no target counts.

    Raises
    ------
    ValueError
        The targets do not match ``hidden`` in shape, or name no token.

    Examples
    --------
    >>> hidden, weight = torch.randn(2, 5, 4), torch.randn(8, 4)
    >>> targets = torch.tensor([[0, 1, 2, 3, 4], [5, 6, 7, -100, -100]])
    >>> loss = linear_cross_entropy(hidden, weight, targets)
    >>> torch.allclose(loss, plain_linear_cross_entropy(hidden, weight, targets))
    True
    """
    if targets.shape != hidden.shape[:-1]:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}, but hidden has {tuple(hidden.shape)}: "
            "one target for each vector is needed"
        )
    _check_targets(targets, weight.shape[0], ignore_index)
    rows = hidden.reshape(-1, hidden.shape[-1])  # (..., D) -> (rows, D)
    return _ChunkedLoss.apply(rows, weight, bias, targets.reshape(-1), ignore_index)


def _check_targets(targets: Tensor, vocab_size: int, ignore_index: int) -> None:
    if targets.device.type != "cpu" or torch.compiler.is_compiling():
        return
    strange = (targets != ignore_index) & ((targets < 0) | (targets >= vocab_size))
    if strange.any():
        raise ValueError(
            f"target {int(targets[strange][0])} names no token of 0..{vocab_size - 1}: mark what "
            f"is not to be predicted with {ignore_index}"
        )


class _ChunkedLoss(torch.autograd.Function):
    """The forward pass makes the gradients too; the backward pass scales them."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, ignore_index):
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        needs_any = needs_hidden or needs_weight or needs_bias
        counted = targets != ignore_index  # (rows,)
        exact = torch.promote_types(hidden.dtype, torch.float32)  # half precision is too coarse
        share = 1.0 / counted.sum().clamp(min=1).to(exact)  # of one row in the mean
        total = hidden.new_zeros((), dtype=exact)
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        grad_weight = torch.zeros_like(weight) if needs_weight else None
        grad_bias = torch.zeros_like(bias) if needs_bias else None
        step = max(1, _CHUNK_NUMBERS // weight.shape[0])
        for start in range(0, len(hidden), step):
            rows = slice(start, start + step)
            target = targets[rows].where(counted[rows], 0)[:, None]  # (chunk, 1)
            logits = linear(hidden[rows], weight, bias).to(exact)  # (chunk, V)
            top = logits.amax(dim=-1, keepdim=True)  # keeps exp from overflowing
            right = logits.gather(1, target)  # (chunk, 1)
            powers = logits.sub_(top).exp_()
            sums = powers.sum(dim=-1, keepdim=True)  # (chunk, 1)
            losses = sums.log() + top - right
            total += losses[counted[rows]].sum()
            if not needs_any:
                continue
            # softmax minus one-hot, times the row's share: the gradient of the logits
            row_share = share * counted[rows, None]  # (chunk, 1), 0 where ignored
            grad = powers.mul_(row_share / sums)
            grad.scatter_add_(1, target, -row_share)
            grad = grad.to(hidden.dtype)
            if needs_hidden:
                grad_hidden[rows] = linear(grad, weight.t())  # (chunk, V) @ (V, D)
            if needs_weight:
                grad_weight += linear(grad.t(), hidden[rows].t())  # (V, chunk) @ (chunk, D)
            if needs_bias:
                grad_bias += grad.sum(0)
        ctx.save_for_backward(*(g for g in (grad_hidden, grad_weight, grad_bias) if g is not None))
        return total * share

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        made = iter(ctx.saved_tensors)
        return (
            *(next(made) * grad if needed else None for needed in ctx.needs_input_grad[:3]),
            None,
            None,
        )

r"""The size of a gradient, and its limit.

.. math::

   \lVert g \rVert = \sqrt{\textstyle\sum_i \lVert g_i \rVert^2}, \qquad
   g \leftarrow g \cdot \min\bigl(1,\ c / (\lVert g \rVert + 10^{-6})\bigr)

References
----------
1. Pascanu, Mikolov and Bengio, *On the difficulty of training recurrent neural networks*, ICML
   2013, arXiv:1211.5063.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["checkpoint_activations", "clip_grad_norm"]


@torch.no_grad()
def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Shorten the gradient of all parameters together to ``max_norm``, and return what it was.

    Parameters
    ----------
    parameters : iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
        Longest allowed gradient; ``inf`` only measures.

    Returns
    -------
    Tensor
        Norm before clipping, a number; 0 when there is no gradient.

    Raises
    ------
    ValueError
        ``max_norm`` is not positive.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> w.grad = torch.tensor([3.0, 4.0])
    >>> clip_grad_norm([w], 1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm={max_norm}: it must be positive")
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norm = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]).norm()
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)
    return norm


def checkpoint_activations(blocks: Iterable[nn.Module]) -> None:
    """Keep only the input of each block, and compute the rest again in the backward pass.

    Memory for activations shrinks from all layers to one; a step costs one more forward pass,
    about a third. Nothing changes in evaluation.

    Parameters
    ----------
    blocks : iterable of torch.nn.Module
        Layers, for example ``model.blocks``; changed in place.

    Notes
    -----
    Source: Chen et al., *Training Deep Nets with Sublinear Memory Cost*, 2016, arXiv:1604.06174.

    Examples
    --------
    >>> layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    >>> checkpoint_activations(layers)
    >>> layers(torch.ones(1, 2)).sum().backward()
    >>> layers[0].weight.grad.shape
    torch.Size([2, 2])
    """
    for block in blocks:
        block.forward = functools.partial(_forward_again, block, block.forward)


def _forward_again(block, forward, *arguments, **options):
    if not (block.training and torch.is_grad_enabled()):
        return forward(*arguments, **options)
    return checkpoint(forward, *arguments, use_reentrant=False, **options)

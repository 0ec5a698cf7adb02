r"""What an adapter costs, as formulas.

.. math::

   n_{\text{LoRA}} = \sum_{W} r\,(d_{in} + d_{out}), \qquad
   n_{\text{DoRA}} = n_{\text{LoRA}} + \sum_{W} d_{out}

and the bytes that a training with Adam holds for N weights of which n are trained, before any
activation:

.. math::

   \text{bytes} = w N + (g + 2 o)\, n

with w bytes of a weight, g of a gradient and o of each of Adam's two means.

References
----------
1. Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, ICLR 2022, section 4.2.
2. Rajbhandari et al., *ZeRO: Memory Optimizations Toward Training Trillion Parameter Models*,
   2020, arXiv:1910.02054, section 3.1 (what Adam holds).
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

__all__ = ["dora_size", "lora_size", "trainable_share", "training_bytes"]


def lora_size(matrices: Iterable[tuple[int, int]], rank: int) -> int:
    """Trainable numbers of LoRA on matrices of these shapes.

    Parameters
    ----------
    matrices : iterable of (int, int)
        ``(out_features, in_features)`` of each adapted layer.
    rank : int
        Rank r.

    Examples
    --------
    GPT-3's query and value projections at rank 4 (Hu et al. 2022 count 18.9 million for two
    matrices in each of the 96 layers):

    >>> lora_size([(12288, 12288)] * 2 * 96, rank=4)
    18874368
    """
    return sum(rank * (out + into) for out, into in matrices)


def dora_size(matrices: Iterable[tuple[int, int]], rank: int) -> int:
    """Trainable numbers of DoRA: those of LoRA, and a length for each row.

    >>> dora_size([(4, 6)], rank=2)                      # 2 (4 + 6) + 4
    24
    """
    matrices = list(matrices)
    return lora_size(matrices, rank) + sum(out for out, _ in matrices)


def trainable_share(model: nn.Module) -> float:
    """Share of a model's parameters that are trained, a tied one counted once.

    >>> trainable_share(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3).requires_grad_(False)))
    0.516...
    """
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trained in counts if trained) / sum(n for n, _ in counts)


def training_bytes(
    parameters: int,
    trained: int,
    *,
    weight: float = 4,
    gradient: float = 4,
    mean: float = 4,
) -> float:
    """Bytes for weights, gradients and Adam's two means; activations come on top.

    Parameters
    ----------
    parameters : int
        All N weights, the trained ones included.
    trained : int
        Of which n are trained.
    weight, gradient, mean : float
        Bytes of one number of each; 4 is float32, 2 is bfloat16, 0.5 a weight of 4 bits.

    Examples
    --------
    Seven billion weights, all trained in float32, and an adapter of 20 million on the same weights
    in bfloat16, in GB:

    >>> training_bytes(7e9, 7e9) / 1e9
    112.0
    >>> round(training_bytes(7e9, 20e6, weight=2) / 1e9, 2)
    14.24
    """
    return weight * parameters + (gradient + 2 * mean) * trained

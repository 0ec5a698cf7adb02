"""Random inputs of exercises. Each draw takes a seeded ``torch.Generator`` first."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

__all__ = ["integer", "mask", "normal", "tokens", "uniform"]


def normal(generator: Generator, *shape: int) -> Tensor:
    """Standard normal numbers.

    Examples
    --------
    >>> normal(torch.Generator().manual_seed(0), 2, 3).shape
    torch.Size([2, 3])
    """
    return torch.randn(*shape, generator=generator)


def uniform(generator: Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Numbers spread evenly over ``[low, high)``.

    Examples
    --------
    >>> x = uniform(torch.Generator().manual_seed(0), 100, low=2.0, high=3.0)
    >>> bool((x >= 2.0).all() and (x < 3.0).all())
    True
    """
    return low + (high - low) * torch.rand(*shape, generator=generator)


def integer(generator: Generator, low: int, high: int) -> int:
    """One whole number from ``low`` to ``high``, both included: sizes and lengths.

    Examples
    --------
    >>> 1 <= integer(torch.Generator().manual_seed(0), 1, 4) <= 4
    True
    """
    return int(torch.randint(low, high + 1, (), generator=generator))


def tokens(generator: Generator, *shape: int, vocab_size: int) -> Tensor:
    """Token ids from 0 to ``vocab_size - 1``.

    Examples
    --------
    >>> tokens(torch.Generator().manual_seed(0), 2, 5, vocab_size=7).shape
    torch.Size([2, 5])
    """
    return torch.randint(vocab_size, shape, generator=generator)


def mask(generator: Generator, *shape: int, share: float = 0.6) -> Tensor:
    """Boolean mask, True with probability ``share``, with at least one True in every row.

    Examples
    --------
    >>> bool(mask(torch.Generator().manual_seed(0), 50, 3, share=0.1).any(dim=-1).all())
    True
    """
    drawn = torch.rand(*shape, generator=generator) < share
    one = torch.randint(shape[-1], (*shape[:-1], 1), generator=generator)
    return drawn.scatter(-1, one, True)

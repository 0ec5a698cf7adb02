"""What all adapters have in common: a frozen layer, and what is trained beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

__all__ = ["Adapter", "adapters", "train_adapters_only", "trained_dtype"]


class Adapter(nn.Module, ABC):
    """Stands in a model in place of a layer, which it holds as ``base``."""

    base: nn.Module

    @property
    @abstractmethod
    def weight(self) -> Tensor:
        """Matrix of the plain layer that gives the same outputs, in the base's dtype."""

    @abstractmethod
    def adapter(self) -> dict[str, nn.Parameter]:
        """What is trained and stored, by the names that peft gives it in a file."""


def adapters(model: nn.Module) -> Iterator[tuple[str, Adapter]]:
    """Name and module of every adapter of a model, each once."""
    for name, module in model.named_modules():
        if isinstance(module, Adapter):
            yield name, module


def train_adapters_only(model: nn.Module) -> None:
    """Freeze everything but what the adapters train."""
    model.requires_grad_(False)
    for _, module in adapters(model):
        for parameter in module.adapter().values():
            parameter.requires_grad_(True)


def trained_dtype(weight: Tensor) -> torch.dtype:
    """Float32 where the base is in half precision, whose steps are too coarse for small updates."""
    coarse = weight.dtype in (torch.float16, torch.bfloat16)
    return torch.float32 if coarse else weight.dtype

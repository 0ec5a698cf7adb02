"""Training data as numbered batches.

A batch is a function of its number. So the place in the data is the number of the next step: there
is no iterator whose state would have to be saved, and a run that resumes reads on exactly where it
stopped, on any number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["AnyBatch", "Batch", "BatchSource", "TokenBatches"]


class AnyBatch(Protocol):
    """What a step of :class:`~llmlib.training.Trainer` needs to know of a batch.

    :class:`Batch` is the batch of a language model. Another loss may read another batch, for
    example pairs of texts.
    """

    def rows(self, start: int, stop: int) -> AnyBatch:
        """Some of the rows."""

    def to(self, device: torch.device | str) -> AnyBatch:
        """The same on another device."""

    @property
    def counted(self) -> Tensor:
        """What the mean loss is divided by, a number."""

    @property
    def texts(self) -> tuple[Batch, ...]:
        """All that the model reads; each has one text in each row."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step learns from.

    Parameters
    ----------
    ids : Tensor
        ``(B, T)``, tokens that the model reads.
    targets : Tensor
        ``(B, T)``, at each place the token that comes next; -100 where none counts.
    mask : Tensor, optional
        Boolean ``(B, T)``, False at padding.
    weights : Tensor, optional
        ``(B, T)``: how much each target counts.
    documents : Tensor, optional
        ``(B, T)``: number of each token's document, where a row holds several.
    """

    ids: Tensor
    targets: Tensor
    mask: Tensor | None = None
    weights: Tensor | None = None
    documents: Tensor | None = None

    def rows(self, start: int, stop: int) -> Batch:
        """Some of the texts.

        >>> batch = Batch(ids=torch.ones(4, 3), targets=torch.ones(4, 3))
        >>> batch.rows(0, 2).ids.shape
        torch.Size([2, 3])
        """
        return Batch(**{name: t[start:stop] for name, t in self.tensors()})

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(**{name: t.to(device) for name, t in self.tensors()})

    @property
    def counted(self) -> Tensor:
        """Targets that count, or the sum of their weights: what the mean loss is divided by."""
        real = self.targets != -100
        return real.sum() if self.weights is None else (real * self.weights).sum()

    @property
    def texts(self) -> tuple[Batch, ...]:
        """This batch alone: it is all that the model reads."""
        return (self,)

    def tensors(self) -> list[tuple[str, Tensor]]:
        """Name and tensor of all that is there."""
        named = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return [(name, tensor) for name, tensor in named if tensor is not None]


class BatchSource(Protocol):
    """Anything that gives the batch of a number, always the same for the same number."""

    def batch(self, number: int) -> AnyBatch:
        """The batch of step ``number``, from 0 without an end."""


class TokenBatches:
    """Blocks of one long sequence of tokens, in a new order every epoch.

    Parameters
    ----------
    tokens : Tensor or sequence of int
        ``(n,)``, all texts one after the other.
    context_length : int
        Tokens T that the model reads at once.
    batch_size : int
        Blocks B in a batch.
    seed : int
        Of the order.

    Raises
    ------
    ValueError
        There is not one whole block, or a size is not positive.

    Examples
    --------
    >>> source = TokenBatches(range(13), context_length=4, batch_size=2)
    >>> len(source)  # blocks
    3
    >>> batch = source.batch(0)
    >>> batch.ids.shape, bool((batch.targets == batch.ids + 1).all())
    (torch.Size([2, 4]), True)
    """

    def __init__(
        self,
        tokens: Tensor | Sequence[int],
        *,
        context_length: int,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        self.tokens = torch.as_tensor(tokens) if len(tokens) else torch.zeros(0, dtype=torch.int64)
        if self.tokens.dim() != 1 or self.tokens.is_floating_point():
            raise ValueError(
                f"tokens have shape {tuple(self.tokens.shape)} and dtype {self.tokens.dtype}, but "
                "one sequence of integers is needed: join the ids of all texts"
            )
        if context_length < 1 or batch_size < 1:
            raise ValueError(
                f"context_length={context_length}, batch_size={batch_size}: each must be at least 1"
            )
        self.blocks = (len(self.tokens) - 1) // context_length
        if self.blocks < 1:
            raise ValueError(
                f"{len(self.tokens)} tokens, but one block takes {context_length + 1}: give more "
                "text or a shorter context_length"
            )
        self.context_length, self.batch_size, self.seed = context_length, batch_size, seed
        self._epoch: int | None = None
        self._order = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        """Blocks of an epoch."""
        return self.blocks

    def batch(self, number: int) -> Batch:
        """Batch ``number``; an epoch that ends inside a batch goes on with the next one."""
        first = number * self.batch_size
        chosen = [self._block(first + i) for i in range(self.batch_size)]
        starts = torch.tensor(chosen)[:, None] * self.context_length  # (B, 1)
        read = self.tokens[starts + torch.arange(self.context_length + 1)]  # (B, T + 1)
        read = read.long()
        return Batch(ids=read[:, :-1].contiguous(), targets=read[:, 1:].contiguous())

    def _block(self, count: int) -> int:
        epoch, place = divmod(count, self.blocks)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._order = torch.randperm(self.blocks, generator=generator)
            self._epoch = epoch
        return int(self._order[place])

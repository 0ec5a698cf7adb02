"""Batches made ahead by other processes, so that a fast device does not wait for them.

A batch is a function of its number, so it does not matter which process makes it: the batches are
the same as those of the source, in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from llmlib.training.batches import Batch, BatchSource

__all__ = ["PrefetchedBatches"]


class PrefetchedBatches:
    """The batches of a source, made ahead by ``torch.utils.data.DataLoader``.

    Parameters
    ----------
    source : BatchSource
        What makes the batches. Where processes are not forked (Windows, macOS) it is sent to them,
        so it must be one that can be pickled.
    workers : int
        Processes.
    ahead : int
        Batches that each process may be ahead.

    Raises
    ------
    ValueError
        There is no process to make the batches.

    Examples
    --------
    >>> from llmlib.training import TokenBatches
    >>> source = TokenBatches(torch.arange(100), context_length=4, batch_size=2)
    >>> ahead = PrefetchedBatches(source, workers=1)
    >>> all(torch.equal(ahead.batch(n).ids, source.batch(n).ids) for n in (7, 8, 9, 2))
    True
    """

    def __init__(self, source: BatchSource, workers: int, *, ahead: int = 8) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: one process at least has to make the batches")
        self.source, self.workers, self.ahead = source, workers, ahead
        self._next, self._batches = -1, iter(())

    def batch(self, number: int) -> Batch:
        """Batch ``number``; out of order, the processes start again from there."""
        if number != self._next:
            self._batches = self._from(number)
        self._next = number + 1
        return next(self._batches)

    def _from(self, number: int) -> Iterator[Batch]:
        return iter(
            DataLoader(
                _Numbered(self.source),
                batch_size=None,  # what comes is a batch already
                sampler=itertools.count(number),
                num_workers=self.workers,
                prefetch_factor=self.ahead,
                generator=torch.Generator(),  # the run's own generator stays as it is
            )
        )


class _Numbered(Dataset):
    """A source as what DataLoader reads: item n is batch n."""

    def __init__(self, source: BatchSource) -> None:
        self.source = source

    def __getitem__(self, number: int) -> Batch:
        return self.source.batch(number)

"""A training step of a small model on a GPU, recorded once and played back.

A GPU computes a layer of a small model faster than Python can ask for it: it waits most of the
time. A *CUDA graph* records the kernels of the forward and backward pass of one batch, and starts
them all with one call. What it computes is what the step computes that was recorded: the same
kernels on the same memory, into which each batch is copied.

A graph has fixed shapes. Batches differ by a few rows, so they are filled up to a multiple of
:data:`ROWS` with rows in which no target counts, and there is a graph for each size.

References
----------
1. Nguyen et al., *Accelerating PyTorch with CUDA Graphs*, pytorch.org, 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llmlib.training.batches import Batch
from llmlib.training.loss import BatchLoss

__all__ = ["ROWS", "CapturedLoss", "fill_batch"]

#: Batches are filled up to a multiple of so many rows.
ROWS = 4
_FILL = {"ids": 0, "targets": -100, "mask": True, "weights": 0.0, "documents": 0}


def fill_batch(batch: Batch, multiple: int = ROWS) -> Batch:
    """Add rows that do not count, up to a multiple.

    Parameters
    ----------
    batch : Batch
        B rows.
    multiple : int
        The number of rows becomes the next multiple of it.

    Returns
    -------
    Batch
        The same mean loss, and the same gradient.

    Examples
    --------
    >>> ids = torch.ones(5, 3, dtype=torch.long)
    >>> filled = fill_batch(Batch(ids=ids, targets=ids), 4)
    >>> filled.ids.shape, int(filled.counted)
    (torch.Size([8, 3]), 15)
    """
    more = -len(batch.ids) % multiple
    if not more:
        return batch
    return Batch(
        **{
            name: torch.cat([tensor, tensor.new_full((more, *tensor.shape[1:]), _FILL[name])])
            for name, tensor in batch.tensors()
        }
    )


class CapturedLoss(nn.Module):
    """The loss of batches on a CUDA device, with a graph for each shape of batch.

    In evaluation mode it is the loss itself.

    Parameters
    ----------
    loss : BatchLoss
        Loss of a model on a CUDA device.
    """

    def __init__(self, loss: BatchLoss) -> None:
        super().__init__()
        self.loss = loss
        # Not a ModuleDict: the graphs hold the weights of ``loss``, they are no others.
        self._graphs: dict[tuple, nn.Module] = {}

    def forward(self, batch: Batch) -> Tensor:
        """Mean loss, in nats per token."""
        if not self.training:
            return self.loss(batch)
        batch = fill_batch(batch)
        names, tensors = zip(*batch.tensors(), strict=True)
        key = (names, batch.ids.shape)
        if key not in self._graphs:
            step = _OfTensors(self.loss, names).train()
            self._graphs[key] = torch.cuda.make_graphed_callables(step, tensors)
        return self._graphs[key](*tensors)


class _OfTensors(nn.Module):
    """A loss of the tensors of a batch: a graph reads tensors only."""

    def __init__(self, loss: BatchLoss, names: tuple[str, ...]) -> None:
        super().__init__()
        self.loss, self.names = loss, names

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.loss(Batch(**dict(zip(self.names, tensors, strict=True))))

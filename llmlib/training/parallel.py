r"""One run on several processes: the same batch, its rows divided among ranks.

Every rank knows the whole batch of a step, because a batch is a function of its number. It takes
its rows, and weighs their loss with what counts in the whole batch:

.. math::

   \nabla \mathcal L = \sum_{r=1}^{W} \frac{n_r}{n}\, \nabla \mathcal L_r, \qquad
   n = \sum_r n_r

=====================  ==========================  ============================================
code                   symbol                      what it is
=====================  ==========================  ============================================
``world_size``         :math:`W`                   processes
``rank``               :math:`r`                   number of this one, from 0
``batch.counted``      :math:`n`                   targets that count, in the whole batch
``part.counted``       :math:`n_r`                 of them, those in the rows of a rank
=====================  ==========================  ============================================

So ranks whose rows hold different numbers of targets still add up to the batch that one process
would have trained on. The engines of PyTorch take the mean over ranks, not the sum: the loss is
multiplied by W before the backward pass.

References
----------
1. Li et al., *PyTorch Distributed: Experiences on Accelerating Data Parallel Training*, VLDB 2020,
   arXiv:2006.15704.
2. Zhao et al., *PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel*, VLDB 2023,
   arXiv:2304.11277.
3. Rajbhandari et al., *ZeRO: Memory Optimizations Toward Training Trillion Parameter Models*, SC
   2020, arXiv:1910.02054.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from llmlib.training.captured import CapturedLoss
from llmlib.training.gradients import clip_grad_norm
from llmlib.training.loss import BatchLoss

__all__ = [
    "CapturedGraphs",
    "DataParallel",
    "OneProcess",
    "ShardedDataParallel",
    "parallel_from_environment",
]

Value = TypeVar("Value")


class OneProcess:
    """All the work in this process: what :class:`~llmlib.training.Trainer` does by default.

    The other strategies override what differs on many.

    Parameters
    ----------
    device : torch.device or str
        Where the model of this rank is.

    Attributes
    ----------
    rank, world_size : int
        Number of this process, and how many there are.

    Examples
    --------
    >>> alone = OneProcess()
    >>> alone.rank, alone.world_size, alone.sum([2.0, 3.0])
    (0, 1, [2.0, 3.0])
    """

    rank, world_size = 0, 1

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def share_model(self, loss: nn.Module) -> nn.Module:
        """What computes the loss on this rank; its ``backward`` leaves the mean over ranks."""
        return loss

    def backward(self, *, last: bool) -> AbstractContextManager:
        """Around the backward pass of a part; ranks exchange gradients in the last one only."""
        return nullcontext()

    def summed(self, loss: Tensor) -> Tensor:
        """The loss whose mean over ranks is the sum of this one."""
        return loss * self.world_size if self.world_size > 1 else loss

    def clip_grad_norm(self, parameters: Iterable[Tensor], max_norm: float) -> float:
        """:func:`~llmlib.training.clip_grad_norm` of the whole gradient."""
        return float(clip_grad_norm(parameters, max_norm))

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Each number, added up over ranks."""
        return list(numbers)

    def of_each_rank(self, tensor: Tensor) -> list[Tensor]:
        """This tensor of every rank, in the order of ranks."""
        return [tensor]

    def from_first(self, value: Value) -> Value:
        """What rank 0 gave; the others wait for it."""
        return value

    def gather(self, tensor: Tensor) -> Tensor:
        """All of a tensor of which this rank may hold a part."""
        return tensor

    def shard(self, whole: Tensor, like: Tensor) -> Tensor:
        """The part of a tensor that this rank holds, where it holds a part of ``like``."""
        return whole

    def whole_model(self) -> AbstractContextManager:
        """In which all ranks can call the model outside its loss, each with the same input."""
        return nullcontext()


class CapturedGraphs(OneProcess):
    """One GPU, whose forward and backward passes are played back from CUDA graphs.

    For a small model, whose kernels take less time than Python needs to start them. Only
    :class:`~llmlib.training.BatchLoss` is recorded; any other loss runs as usual.

    Parameters
    ----------
    device : torch.device or str
        The GPU.

    Raises
    ------
    ValueError
        The device is not one that CUDA drives.
    """

    def __init__(self, device: torch.device | str = "cuda") -> None:
        super().__init__(device)
        if self.device.type != "cuda":
            raise ValueError(f"CUDA graphs on {self.device}: they need a CUDA device")

    def share_model(self, loss: nn.Module) -> nn.Module:
        """The loss, recorded at the first batch of each size."""
        return CapturedLoss(loss) if type(loss) is BatchLoss else loss


class DataParallel(OneProcess):
    """All weights on every rank; gradients are averaged (``DistributedDataParallel``).

    A process group must be there: :func:`parallel_from_environment` and
    :func:`~llmlib.training.run_ranks` make one. The weights of rank 0 are sent to all. Ranks above
    0 get random numbers of their own, so that dropout differs from row to row.

    Parameters
    ----------
    device : torch.device or str
        Where the model of this rank is.

    Raises
    ------
    RuntimeError
        There is no process group.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        if not dist.is_initialized():
            raise RuntimeError(
                "there is no process group: start with torchrun and take the strategy of "
                "parallel_from_environment, or use run_ranks"
            )
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()

    def share_model(self, loss: nn.Module) -> nn.Module:
        """Wrapped in ``DistributedDataParallel``."""
        from torch.nn.parallel import DistributedDataParallel

        self._seed_apart()
        self._engine = DistributedDataParallel(loss)
        return self._engine

    def _seed_apart(self) -> None:
        if self.rank:
            torch.manual_seed(torch.initial_seed() + self.rank)

    def backward(self, *, last: bool) -> AbstractContextManager:
        """Without an exchange of gradients in all parts but the last."""
        return nullcontext() if last else self._engine.no_sync()

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Each number, added up over ranks."""
        total = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def of_each_rank(self, tensor: Tensor) -> list[Tensor]:
        """This tensor of every rank, in the order of ranks."""
        found = [torch.empty_like(tensor) for _ in range(self.world_size)]
        dist.all_gather(found, tensor)
        return found

    def from_first(self, value: Value) -> Value:
        """What rank 0 gave; the others wait for it."""
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


class ShardedDataParallel(DataParallel):
    """A part of every weight, gradient and optimizer state on each rank (FSDP2, ZeRO stage 3).

    Before a block computes, its weights are gathered from all ranks, and dropped afterwards.

    Parameters
    ----------
    device : torch.device or str
        Where the model of this rank is.

    Notes
    -----
    ``fully_shard`` of PyTorch, around each of ``model.blocks`` and around the rest together.
    """

    def share_model(self, loss: nn.Module) -> nn.Module:
        """Sharded in place: the parameters become ``DTensor``."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        self._seed_apart()
        with torch.no_grad():
            for tensor in loss.state_dict().values():
                dist.broadcast(tensor, src=0)
        mesh = init_device_mesh(self.device.type, (self.world_size,))
        self._blocks, self._engine = list(loss.model.blocks), loss
        for block in self._blocks:
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
        fully_shard(loss, mesh=mesh, reshard_after_forward=False)
        return loss

    @contextmanager
    def backward(self, *, last: bool) -> Iterator[None]:
        """Without an exchange of gradients in all parts but the last."""
        self._engine.set_requires_gradient_sync(last)
        yield

    @torch.no_grad()
    def clip_grad_norm(self, parameters: Iterable[Tensor], max_norm: float) -> float:
        """The squares of each rank's part, added up over ranks, are those of the whole."""
        own = [p.grad.to_local() for p in parameters if p.grad is not None]
        squares = torch.stack([part.square().sum() for part in own]).sum().item()
        norm = self.sum([squares])[0] ** 0.5
        factor = min(1.0, max_norm / (norm + 1e-6))
        for part in own:
            part.mul_(factor)
        return norm

    def gather(self, tensor: Tensor) -> Tensor:
        """All of a tensor of which this rank holds a part."""
        from torch.distributed.tensor import DTensor

        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def shard(self, whole: Tensor, like: Tensor) -> Tensor:
        """The part of a tensor that this rank holds, where it holds a part of ``like``."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(like, DTensor):
            return whole
        return distribute_tensor(whole.to(self.device), like.device_mesh, like.placements)

    @contextmanager
    def whole_model(self) -> Iterator[None]:
        """All weights on every rank; each must make the same calls, which the engine counts."""
        modules = [self._engine, *self._blocks]
        for module in modules:
            module.unshard()
        for block in self._blocks:
            block.set_reshard_after_forward(False)
        yield
        for block in self._blocks:
            block.set_reshard_after_forward(True)
        for module in modules:
            module.reshard()


_ENGINES = {"ddp": DataParallel, "fsdp": ShardedDataParallel}


@contextmanager
def parallel_from_environment(engine: str = "ddp", device: str = "cpu") -> Iterator[OneProcess]:
    """The strategy for however this process was started.

    Under ``torchrun`` (it sets ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK``) a process group is
    made, and ended with the ``with`` block. In :func:`~llmlib.training.run_ranks` the one that is
    there is used. Started alone, it is :class:`CapturedGraphs` on a GPU, :class:`OneProcess`
    elsewhere.

    Parameters
    ----------
    engine : str
        ``"ddp"`` or ``"fsdp"``.
    device : str
        ``"cpu"`` or ``"cuda"``; each rank of a machine takes a GPU of its own.

    Yields
    ------
    OneProcess
        For the argument ``parallel`` of :class:`~llmlib.training.Trainer`; its ``device`` is where
        the model belongs.

    Raises
    ------
    ValueError
        The engine is not known.

    Examples
    --------
    >>> with parallel_from_environment() as parallel:
    ...     parallel.world_size
    1
    """
    if engine not in _ENGINES:
        raise ValueError(f"engine={engine!r} is not known: choose 'ddp' or 'fsdp'")
    if "RANK" not in os.environ:
        on_gpu = torch.device(device).type == "cuda"
        yield CapturedGraphs(device) if on_gpu else OneProcess(device)
        return
    place = torch.device(device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    own_group = not dist.is_initialized()
    if own_group:
        # Numbers and states of generators are exchanged on the CPU on every system.
        dist.init_process_group("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo")
    try:
        yield _ENGINES[engine](place)
    finally:
        if own_group:
            dist.destroy_process_group()

"""Checkpoints that each rank writes its own part of, and any number of ranks can read.

:mod:`llmlib.training.checkpoint` gathers a model on one rank, which is simple and safe as long as
one machine holds it. Beyond that each rank writes what it has (``torch.distributed.checkpoint``).
The file ``.metadata`` says which part of which tensor lies where. So ranks that divide the tensors
otherwise, or a single process, find their numbers: the checkpoint is *resharded* while it is read.

Like the other checkpoints, one is written under another name and renamed when all ranks are done:
a crash leaves the earlier ones whole.

Notes
-----
``.metadata`` is written by PyTorch with pickle. Read only checkpoints that you trust.
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from llmlib.training.checkpoint import CheckpointError

__all__ = ["read_shards", "write_shards"]


def write_shards(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any] | None = None,
) -> Path:
    """Write model and optimizer, each rank its part. All ranks call it.

    Parameters
    ----------
    path : str or Path
        Folder of the checkpoint, not there yet, on a disk that all ranks see.
    model : torch.nn.Module
        Sharded or not.
    optimizer : torch.optim.Optimizer
        Of its parameters.
    state : dict, optional
        Numbers and texts, as on rank 0.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    CheckpointError
        There is one of this name, or it could not be written.

    Examples
    --------
    >>> import tempfile
    >>> model = nn.Linear(2, 2)
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_shards(f"{folder}/a", model, optimizer, {"step": 3})
    ...     read_shards(path, model, optimizer)
    {'step': 3}
    """
    import torch.distributed.checkpoint as dcp

    path = Path(path)
    unfinished = path.with_name(f".unfinished-{path.name}")
    if path.exists():
        raise CheckpointError(f"there is a checkpoint {path}: choose another name")
    if _rank() == 0:
        shutil.rmtree(unfinished, ignore_errors=True)  # what a crash left
    _wait()
    content = _content(model, optimizer) | {"state": state or {}}
    try:
        with warnings.catch_warnings():
            _quiet()
            dcp.save(content, checkpoint_id=unfinished)
    except (OSError, dcp.CheckpointException) as error:
        raise CheckpointError(
            f"the checkpoint {path} could not be written ({error}); earlier ones are kept: make "
            "room or choose another folder"
        ) from error
    if _rank() == 0:
        os.replace(unfinished, path)
    _wait()
    return path


def read_shards(
    path: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Read what :func:`write_shards` wrote, each rank its part. All ranks call it.

    Parameters
    ----------
    path : str or Path
        The checkpoint.
    model : torch.nn.Module
        Gets the weights, divided as it is.
    optimizer : torch.optim.Optimizer
        Gets the states.

    Returns
    -------
    dict
        The state that was given.

    Raises
    ------
    CheckpointError
        There is none, it is damaged, or it is of another model.
    """
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import set_state_dict

    if not (Path(path) / ".metadata").exists():
        raise CheckpointError(f"no checkpoint in {path}: it must be a folder of write_shards")
    content = _content(model, optimizer)
    names = dcp.FileSystemReader(path).read_metadata().state_dict_metadata
    content["state"] = {
        name.removeprefix("state."): None for name in names if name.startswith("state.")
    }
    try:
        with warnings.catch_warnings():
            _quiet()
            dcp.load(content, checkpoint_id=path)
    except (OSError, dcp.CheckpointException) as error:
        raise CheckpointError(
            f"{path} is damaged, or of another model ({error}): read an earlier one"
        ) from error
    set_state_dict(
        model,
        optimizer,
        model_state_dict=content["model"],
        optim_state_dict=content["optimizer"],
    )
    return content["state"]


def _content(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Tensors by name, those of the optimizer by the names of the parameters."""
    from torch.distributed.checkpoint.state_dict import get_state_dict

    weights, states = get_state_dict(model, optimizer)
    return {"model": weights, "optimizer": states}


def _quiet() -> None:
    # In a single process PyTorch warns that it is one.
    warnings.filterwarnings("ignore", "torch.distributed is disabled")


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _wait() -> None:
    if dist.is_initialized():
        dist.barrier()

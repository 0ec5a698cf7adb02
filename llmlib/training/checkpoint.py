"""Checkpoints that a crash cannot spoil.

A checkpoint is a folder that is written under another name, forced to the disk, and then renamed.
A rename happens or does not happen; there is no half of it. So whatever the moment of a crash, each
folder with a checkpoint's name is whole, and the last one is the state to go on from.

=====================  ======================================================
file                   what is in it
=====================  ======================================================
``model.safetensors``  weights, by their names in the model
``state.safetensors``  optimizer states as ``optimizer.NAME.KEY``, and the
                       states of the random generators
``state.json``         step, config, history
=====================  ======================================================
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

__all__ = ["CheckpointError", "latest_checkpoint", "read_checkpoint", "write_checkpoint"]

# A step written again gets a second number: the first stays until the second is whole.
_NAME = re.compile(r"step-(\d{8})(?:\.(\d+))?$")
_UNFINISHED = ".unfinished-"


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read; earlier ones are as they were."""


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The whole checkpoint of the highest step in a folder, or None.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     latest_checkpoint(folder) is None
    True
    """
    found = _checkpoints(Path(folder))
    return found[-1] if found else None


def write_checkpoint(
    folder: str | Path,
    step: int,
    *,
    weights: dict[str, Tensor],
    tensors: dict[str, Tensor],
    state: dict[str, Any],
    keep: int | None = None,
) -> Path:
    """Write a checkpoint into a folder, whole or not at all.

    Parameters
    ----------
    folder : str or Path
        Holds the checkpoints of one run; made when it is not there.
    step : int
        Updates done; the checkpoint is named by it.
    weights, tensors : dict
        Tensors by name: those of the model, and the others.
    state : dict
        What JSON can hold.
    keep : int, optional
        Checkpoints to leave there, the latest ones; all when left out.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    CheckpointError
        The disk is full or cannot be written to.
    """
    folder = Path(folder)
    unfinished = folder / f"{_UNFINISHED}{step}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        unfinished.mkdir()
        files = {
            "model.safetensors": save(_plain(weights)),
            "state.safetensors": save(_plain(tensors)),
            "state.json": json.dumps({"step": step, **state}).encode(),
        }
        for name, content in files.items():
            _write_to_disk(unfinished / name, content)
        _sync(unfinished)
        target = folder / _next_name(folder, step)
        unfinished.rename(target)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        last = latest_checkpoint(folder)
        kept = f"{last.name} is kept" if last else "there is no earlier one"
        raise CheckpointError(
            f"the checkpoint of step {step} could not be written ({error.strerror}); {kept}: make "
            "room or choose another folder, then resume"
        ) from error
    same_step = [path for path in _checkpoints(folder) if _place(path)[0] == step][:-1]
    for old in {*same_step, *(_checkpoints(folder)[:-keep] if keep else ())}:
        hidden = old.rename(folder / f"{_UNFINISHED}{old.name}")
        shutil.rmtree(hidden)
    return target


def read_checkpoint(
    path: str | Path,
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint, or the latest one of a folder.

    Parameters
    ----------
    path : str or Path
        A checkpoint, or the folder that holds those of a run.

    Returns
    -------
    tuple of dict
        Weights, other tensors, and state, as they were given to :func:`write_checkpoint`.

    Raises
    ------
    CheckpointError
        There is none, or a file is damaged.
    """
    path = Path(path)
    chosen = path if (path / "state.json").exists() else latest_checkpoint(path)
    if chosen is None:
        raise CheckpointError(
            f"no checkpoint in {path}: it must be a folder that Trainer.save or a run wrote"
        )
    try:
        weights = dict(_tensors(chosen / "model.safetensors"))
        tensors = dict(_tensors(chosen / "state.safetensors"))
        state = json.loads((chosen / "state.json").read_text(encoding="utf-8"))
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{chosen} is damaged ({error}): delete it and resume from an earlier one"
        ) from error
    return weights, tensors, state


def _tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - the file is not a dict
            yield name, file.get_tensor(name)


def _checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, the earliest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.match(path.name)), key=_place)


def _place(path: Path) -> tuple[int, int]:
    """Step of a checkpoint, and how often that step had been written before."""
    step, again = _NAME.match(path.name).groups(default="0")
    return int(step), int(again)


def _next_name(folder: Path, step: int) -> str:
    written = [again for at, again in map(_place, _checkpoints(folder)) if at == step]
    return f"step-{step:08d}" + (f".{max(written) + 1}" if written else "")


def _sweep(folder: Path) -> None:
    """Take away what a crash left unfinished."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory, as safetensors wants them."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }


def _write_to_disk(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Force a folder's list of names to the disk; Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

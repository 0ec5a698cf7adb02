"""Several processes from a notebook cell or a test.

A process that is forked begins as a copy of its parent, with everything imported, so that two of
them are at work in tenths of a second. ``torchrun`` starts Python anew for each, which takes many
times as long but also works across machines; a function that runs here runs there unchanged.

What can happen to a rank, and what the parent does:

==========================  ==================================================================
the rank                    the parent
==========================  ==================================================================
returns                     keeps the result
raises                      stops the others, raises the same error with the rank's traceback
is killed, or exits         stops the others, raises :class:`RankError` with rank and signal
does not end in time        stops all, raises ``TimeoutError`` with the ranks that were missing
==========================  ==================================================================
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["RankError", "run_ranks"]

# Imported before the fork, once; each rank would otherwise take seconds for them.
_SHARED = (
    "torch._dynamo",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.tensor.parallel",
)
# When one rank fails, its peers fail too, because it does not answer. This long they are waited
# for, to tell the cause from its consequences.
_GRACE = 0.2
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


class RankError(RuntimeError):
    """A rank ended without a result."""


def run_ranks(
    function: Callable[..., Any], world_size: int, *arguments: Any, timeout: float = 60.0
) -> list[Any]:
    """Call ``function(rank, world_size, *arguments)`` in as many processes as there are ranks.

    Each has a process group (gloo) and one thread. Where a rank needs to print, let it return the
    text: the order in which processes print is anyone's guess.

    Parameters
    ----------
    function : callable
        May be defined in a notebook cell, and see what the notebook has; what it changes stays in
        its own process.
    world_size : int
        Number of processes.
    *arguments
        Handed on.
    timeout : float
        Seconds until all are stopped.

    Returns
    -------
    list
        What each rank returned; tensors as copies on the CPU.

    Raises
    ------
    RankError
        A rank was killed, ended without a result, or raised what cannot be sent here.
    TimeoutError
        A rank was not done in time.
    ValueError
        There is no rank.
    OSError
        This system cannot fork, as Windows.
    Exception
        Whatever a rank raised.

    Examples
    --------
    >>> def add_ranks(rank, world_size, more):
    ...     number = torch.tensor(rank + more)
    ...     dist.all_reduce(number)
    ...     return int(number)
    >>> run_ranks(add_ranks, 2, 10)  # (0 + 10) + (1 + 10) on both
    [21, 21]
    """
    if world_size < 1:
        raise ValueError(f"world_size={world_size}: at least one rank is needed")
    if "fork" not in multiprocessing.get_all_start_methods():
        raise OSError(f"{sys.platform} cannot fork: write a script and start it with torchrun")
    for name in _SHARED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        ranks = [_Rank(rank, world_size) for rank in range(world_size)]
        try:
            for rank in ranks:
                rank.start(Path(folder) / "meeting", timeout, function, arguments)
            return _results(ranks, time.monotonic() + timeout, timeout)
        finally:
            for rank in ranks:
                rank.stop()


class _Rank:
    """One process, and the pipe through which it reports."""

    def __init__(self, number: int, world_size: int) -> None:
        self.number, self.world_size = number, world_size
        self.process: Any = None
        self.pipe: Connection | None = None
        self.report: tuple[str, float, Any] | None = None

    def start(
        self, meeting: Path, timeout: float, function: Callable[..., Any], arguments: tuple
    ) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, end = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_work,
            args=(end, self.number, self.world_size, meeting, timeout, function, arguments),
            daemon=True,
        )
        with warnings.catch_warnings(), closing(end):
            # From Python 3.12 on a fork beside other threads is warned of. The child uses none of
            # the parent's threads: it computes on one of its own.
            warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
            self.process.start()

    def listen(self) -> None:
        """Take the report when there is one, and notice an end without one."""
        if self.report is not None:
            return
        gone, moment = self.process.exitcode is not None, time.monotonic()
        try:
            if self.pipe.poll():  # also where a process that has gone left its last word
                self.report = pickle.loads(self.pipe.recv_bytes())
        except EOFError:
            self.process.join()
            gone = True
        if self.report is None and gone:
            self.report = ("ended", moment, self.process.exitcode)

    def stop(self) -> None:
        """End the process if it still runs, and leave nothing of it."""
        if self.process is not None and self.process.pid is not None:
            if self.report is None or self.report[0] != "result":
                self.process.kill()
            self.process.join(1.0)
            self.process.kill()
            self.process.join()
            self.process.close()
        if self.pipe is not None:
            self.pipe.close()


def _results(ranks: list[_Rank], deadline: float, timeout: float) -> list[Any]:
    """Wait for all reports; raise for the rank that failed first."""
    while True:
        for rank in ranks:
            rank.listen()
        if any(_failed(rank) for rank in ranks):
            _raise_first(ranks)
        missing = [rank for rank in ranks if rank.report is None]
        if not missing:
            return [rank.report[2] for rank in ranks]
        left = deadline - time.monotonic()
        if left <= 0:
            names = ", ".join(str(rank.number) for rank in missing)
            raise TimeoutError(
                f"after {timeout:g} s there is no result of rank {names}: does every rank take "
                "part in every collective call? Else give a longer timeout"
            )
        wait([end for rank in missing for end in (rank.pipe, rank.process.sentinel)], left)


def _failed(rank: _Rank) -> bool:
    return rank.report is not None and rank.report[0] != "result"


def _raise_first(ranks: list[_Rank]) -> None:
    until = time.monotonic() + _GRACE
    while time.monotonic() < until and any(rank.report is None for rank in ranks):
        time.sleep(0.01)
        for rank in ranks:
            rank.listen()
    failed = [rank for rank in ranks if _failed(rank)]
    first = min(failed, key=lambda rank: (not _killed_from_outside(rank), rank.report[1]))
    kind, _, what = first.report
    if kind == "ended":
        raise RankError(f"rank {first.number} of {len(ranks)} {_end(what)}; the others are stopped")
    error, text = what
    told = RankError(f"rank {first.number} of {len(ranks)} raised:\n{text}")
    if error is None:
        raise told
    raise error from told


def _killed_from_outside(rank: _Rank) -> bool:
    """Whether it cannot be the consequence of another's error, which may end in an abort."""
    kind, _, what = rank.report
    return kind == "ended" and what != -signal.SIGABRT


def _end(exitcode: int) -> str:
    if exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode} and no result"


def _work(
    end: Connection,
    rank: int,
    world_size: int,
    meeting: Path,
    timeout: float,
    function: Callable[..., Any],
    arguments: tuple,
) -> None:
    """What a rank does."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size))
    if sys.platform in _LOOPBACK:  # the ranks are on this machine: no other network is needed
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK[sys.platform])
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo",
            init_method=meeting.as_uri(),
            rank=rank,
            world_size=world_size,
            timeout=timedelta(seconds=timeout),
        )
        report = pickle.dumps(("result", time.monotonic(), function(rank, world_size, *arguments)))
    except BaseException as error:
        moment, text = time.monotonic(), traceback.format_exc()
        # Sent before the connections to the peers break, which makes them fail in turn.
        end.send_bytes(pickle.dumps(("error", moment, (_sendable(error), text))))
        return
    end.send_bytes(report)
    if dist.is_initialized():  # a script for torchrun may have ended it
        dist.destroy_process_group()


def _sendable(error: BaseException) -> BaseException | None:
    """The error, if it comes out of a pipe as it went in; some need arguments of their own."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return None
    return error

"""How notebooks are run: the environment of their kernels, and what a run costs.

Both `python -m tools.notebooks`, which stores outputs, and the notebook tests, which compare them,
run kernels this way.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

OFFLINE = Path(__file__).resolve().parent / "offline"
CELL_SECONDS = 180  # stops a cell that hangs; slow ones are found by the notebook's limit
NOTEBOOK_SECONDS = 60  # all cells of a notebook together, less the time it waited for a processor
NOTEBOOK_MB = 2000  # peak memory of a kernel and its children

# One thread each: two kernels on two cores with two threads each are several times slower.
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)


def environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables for a kernel: `base`, one thread, no network beyond this machine.

    The hash seed stays random on purpose: an output that hangs on the order of a set then differs
    from run to run and is found out.

    Examples
    --------
    >>> environment({"PATH": "bin"})["OMP_NUM_THREADS"]
    '1'
    """
    paths = [str(OFFLINE)]
    paths += [p for p in base.get("PYTHONPATH", "").split(os.pathsep) if p and p not in paths]
    return {
        **base,
        **dict.fromkeys(THREADS, "1"),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(paths),  # child processes start refused as well
        "GIT_ALLOW_PROTOCOL": "file",
        "HF_HUB_OFFLINE": "1",
    }


@dataclass(frozen=True)
class Cost:
    """What running a notebook took: seconds of wall time and of CPU time, megabytes at the peak.

    `waited_s` is the part of the wall time in which other programs kept all processors busy.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    waited_s: float = 0.0

    @property
    def own_s(self) -> float:
        """The wall time on a machine that does nothing else."""
        return self.wall_s - self.waited_s

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def breaches(self, seconds: float = NOTEBOOK_SECONDS, mb: float = NOTEBOOK_MB) -> list[str]:
        """Say which limits were passed.

        Examples
        --------
        >>> Cost(wall_s=90.0, cpu_s=70.0, peak_mb=300.0, waited_s=15.0).breaches(60, 2000)
        ['took 75 s (70 s of CPU time); the limit is 60 s']
        """
        found = []
        if self.own_s > seconds:
            found.append(
                f"took {self.own_s:.3g} s ({self.cpu_s:.3g} s of CPU time); "
                f"the limit is {seconds:g} s"
            )
        if self.peak_mb > mb:
            found.append(f"needed {self.peak_mb:.0f} MB of memory; the limit is {mb:g} MB")
        return found


class CostMeter:
    """Measure a process and its children from `start` to `stop`.

    Memory is the sum over the tree, looked at five times a second; on Linux the kernel's own record
    of the process's peak is taken into account too, so that a short peak is not missed.
    """

    def __init__(self, pid: int, interval: float = 0.2):
        self.process = psutil.Process(pid)
        self.interval = interval
        self.peak = 0
        self.done = threading.Event()
        self.watch = threading.Thread(target=self._sample, daemon=True)

    def start(self) -> CostMeter:
        self.wall_start, self.cpu_start = time.monotonic(), self._cpu_seconds()
        self.idle_start = psutil.cpu_times().idle
        self.watch.start()
        return self

    def stop(self) -> Cost:
        """The costs since `start`. The process must still be alive."""
        wall, cpu = time.monotonic() - self.wall_start, self._cpu_seconds() - self.cpu_start
        idle = psutil.cpu_times().idle - self.idle_start
        # neither did the notebook compute, nor was a processor free for it: it had to wait
        waited = max(0.0, wall - cpu - idle)
        self.done.set()
        self.watch.join()
        peak = max(self.peak, self._resident(), self._recorded_peak())
        return Cost(round(wall, 2), round(cpu, 2), round(peak / 1e6, 1), round(waited, 2))

    def _tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def _cpu_seconds(self) -> float:
        # cpu_times: user and system time, and the same of the children that have ended
        return sum(
            sum(getattr(times, name, 0.0) for name in _CPU_FIELDS)
            for times in _each(self._tree(), "cpu_times")
        )

    def _resident(self) -> int:
        return sum(memory.rss for memory in _each(self._tree(), "memory_info"))

    def _recorded_peak(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return 0
        lines = (line.split() for line in status.read_text().splitlines())
        return next((int(line[1]) * 1024 for line in lines if line[0] == "VmHWM:"), 0)

    def _sample(self) -> None:
        while not self.done.wait(self.interval):
            try:
                self.peak = max(self.peak, self._resident())
            except psutil.NoSuchProcess:
                return  # the kernel died; whoever runs its cells reports that


_CPU_FIELDS = ("user", "system", "children_user", "children_system")


def _each(processes: list[psutil.Process], measure: str) -> list:
    """One measurement per process; children that end meanwhile are left out."""
    first, *children = processes
    values = [getattr(first, measure)()]
    for child in children:
        try:
            values.append(getattr(child, measure)())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return values

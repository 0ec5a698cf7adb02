"""Fair timing on a shared machine: one process, one thread, in turns, medians.

Two programs timed one after the other may meet a busy and a quiet machine. Timed in turns they
meet the same one, and the median forgets the rounds in which something else ran. The time is the
processor time of the one thread: on an idle machine it equals the time on the wall.
"""

import platform
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

__all__ = ["in_turns", "machine", "matmul_peak"]


def in_turns(steps: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each step over ``rounds`` rounds, after one that does not count."""
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.thread_time()
            step()
            seconds[name].append(time.thread_time() - start)
    return {name: median(times) for name, times in seconds.items()}


def matmul_peak(size: int = 1024, rounds: int = 15) -> float:
    """Float32 operations per second of the best matrix product, on one thread."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    kernels = {"mkl": lambda: a @ b}
    if torch.backends.mkldnn.is_available():
        kernels["onednn"] = lambda: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return 2 * size**3 / min(in_turns(kernels, rounds).values())


def machine() -> dict[str, str]:
    """What the numbers were measured on and with."""
    return {
        "processor": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": "1",
    }

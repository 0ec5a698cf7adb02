"""The kernel in which `pytest --nbval` runs a notebook."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from queue import Empty

from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel, start_new_kernel

from tools.kernels import environment


class KernelDiedError(RuntimeError):
    """The kernel's process ended while a cell ran."""


class Kernel(RunningKernel):
    """A kernel of the Python that runs the tests, offline and on one thread.

    Unlike nbval's own it counts and remembers cells, as a notebook does: only then does IPython
    heed a semicolon that hides a result. And it says at once when its process has died.
    """

    def __init__(self, folder: Path, startup_timeout: float):
        self.km, self.kc = start_new_kernel(
            kernel_name=CURRENT_ENV_KERNEL_NAME,
            startup_timeout=startup_timeout,
            cwd=str(folder),
            env=environment(),
            stderr=subprocess.DEVNULL,  # the kernel's own log, not what cells write
            extra_arguments=["--HistoryManager.hist_file=:memory:"],
        )
        self._ensure_iopub_up()

    @property
    def pid(self) -> int:
        return self.km.provisioner.pid

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        return self.kc.execute(cell_input, allow_stdin=allow_stdin, stop_on_error=False)

    def await_reply(self, msg_id: str, timeout: float) -> None:
        end = time.monotonic() + timeout
        while True:
            try:
                return super().await_reply(msg_id, timeout=1)
            except Empty:
                if not self.is_alive():
                    raise KernelDiedError from None
                if time.monotonic() > end:
                    raise

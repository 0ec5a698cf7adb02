"""Run a program that nobody has read: the code interpreter of an agent.

The program runs in a process of its own with an empty environment, and what stops it is the
kernel, not a list of forbidden words. What holds where:

============================  ====================  ==================  ==========  ============
what is tried                 Linux with Landlock   Linux without it    macOS       Windows
============================  ====================  ==================  ==========  ============
run forever                   stopped               stopped             stopped     stopped
print without end             stopped               stopped             stopped     stopped
see the environment           empty                 empty               empty       nearly empty
take all memory               refused (``AS``)      refused             **open**    **open**
fill the disk                 stopped               **open**            **open**    **open**
start processes, threads      refused (seccomp)     refused             **open**    **open**
connect, listen               refused (seccomp)     refused             **open**    **open**
signal or trace its parent    refused (seccomp)     refused             **open**    **open**
read or write other files     refused (Landlock)    **open**            **open**    **open**
============================  ====================  ==================  ==========  ============

Landlock is in Linux since 5.13; both machines that the filter of calls knows are x86-64 and arm64.
It needs no rights: it holds for root and for any other user. Where something is open,
:func:`run_python` refuses, unless it is told ``weaker_ok=True``.
The disk is watched and not limited: what is written between two looks, twenty times a second,
comes on top. :mod:`llmlib.agents.confine` says what stays open even in the first column.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import json
import math
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from llmlib.agents.confine import calls_can_be_confined, landlock_version

__all__ = ["Confinement", "PythonResult", "SandboxError", "confinement", "run_python"]

_LONGEST_PROGRAM = 100_000  # bytes; the kernel takes 128 KiB as one argument
_MOST_FILES = 1000
_LOOK_EVERY = 0.05  # seconds


class SandboxError(RuntimeError):
    """The program was not run, since it could not be confined."""


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """What the system can enforce.

    Parameters
    ----------
    files : bool
        No file is opened outside the folder.
    calls : bool
        No processes, sockets and signals.
    """

    files: bool
    calls: bool

    @property
    def full(self) -> bool:
        """Whether everything in the first column of the table above holds."""
        return self.files and self.calls


def confinement() -> Confinement:
    """Ask the kernel what it can enforce here."""
    return Confinement(files=landlock_version() > 0, calls=calls_can_be_confined())


@dataclass(frozen=True, kw_only=True)
class PythonResult:
    """What became of a program.

    Parameters
    ----------
    output : str
        What it printed.
    errors : str
        What it wrote to standard error, such as a traceback.
    exit_code : int
        0 when it ended well; negative when a signal ended it.
    stopped : str
        Which limit ended it: ``"time"``, ``"output"`` or ``"disk"``; empty when none did.
    """

    output: str
    errors: str
    exit_code: int
    stopped: str = ""

    @property
    def text(self) -> str:
        """The result in words, for a model: the output, and the last line of an error."""
        parts = [self.output.strip()] if self.output.strip() else []
        if self.stopped:
            parts.append(f"Error: stopped, too much {self.stopped}")
        elif self.exit_code:
            lines = self.errors.strip().splitlines()
            parts.append(f"Error: {lines[-1] if lines else f'exit code {self.exit_code}'}")
        return "\n".join(parts) or "(no output)"


def run_python(
    code: str,
    *,
    folder: str | Path | None = None,
    seconds: float = 5.0,
    memory: int = 256 * 2**20,
    output: int = 64 * 2**10,
    disk: int = 16 * 2**20,
    weaker_ok: bool = False,
) -> PythonResult:
    """Run a Python program in a process that can do next to nothing.

    It has the standard library and one flat folder, its working directory.

    Parameters
    ----------
    code : str
        The program, at most 100,000 bytes.
    folder : str or Path, optional
        Where it may read, write and remove files; a new one, removed afterwards, unless given. No
        link in it should lead to where the program must not read.
    seconds : float
        By the clock; by the processor's time one second more.
    memory : int
        Bytes of address space, about 20 MiB of which the interpreter takes.
    output : int
        Most bytes of output and of errors that are kept; a program that writes more is stopped.
    disk : int
        Bytes that the folder may grow by, and the most that one file may hold.
    weaker_ok : bool
        Run the program where not everything can be enforced. Only for programs you trust.

    Returns
    -------
    PythonResult
        Also for a program that fails or is stopped: errors of a program are results.

    Raises
    ------
    SandboxError
        The system cannot enforce what was promised; the program has not run.
    ValueError
        The program is too long, or a limit is not positive.

    Examples
    --------
    >>> run_python("print(sum(range(17 + 1)))", weaker_ok=True).text
    '153'
    >>> run_python("print(1 / 0)", weaker_ok=True).text
    'Error: ZeroDivisionError: division by zero'
    """
    if min(seconds, memory, output, disk) <= 0:
        raise ValueError(f"limits {seconds=}, {memory=}, {output=}, {disk=} must be positive")
    size = len(code.encode("utf-8", "surrogatepass"))
    if size > _LONGEST_PROGRAM or "\0" in code:
        raise ValueError(
            f"a program of {size} bytes cannot be run: at most {_LONGEST_PROGRAM}, without NUL"
        )
    can = confinement()
    if not can.full and not weaker_ok:
        missing = [
            name for name, holds in (("files", can.files), ("calls", can.calls)) if not holds
        ]
        raise SandboxError(
            f"this system ({platform.system()} {platform.release()} on {platform.machine()}) "
            f"cannot confine {' and '.join(missing)}: use Linux 5.13 or later with Landlock, on "
            "x86-64 or arm64, or say weaker_ok=True for programs you trust"
        )
    with contextlib.ExitStack() as stack:
        if folder is None:
            # A watched program may leave odd names; nothing of it matters.
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="run-python-", ignore_cleanup_errors=True)
            )
        place = Path(folder).resolve(strict=True)
        before = _used(place) if can.full else 0
        process, status = _start(code, place, seconds, memory, disk)
        try:
            failure = _read_all(status) if status is not None else ""
            if failure:
                raise SandboxError(f"the program was not run: {failure}")
            watched = place if can.full else None
            deadline = time.monotonic() + seconds
            return _watch(process, watched, deadline, output, before + disk)
        finally:
            _kill(process)
            for pipe in (process.stdout, process.stderr):
                pipe.close()


def _start(
    code: str, folder: Path, seconds: float, memory: int, disk: int
) -> tuple[subprocess.Popen, int | None]:
    """Start the process that confines itself; also the pipe in which it says why it could not."""
    interpreter = _interpreter()
    options = ["-I", "-S", "-B", "-X", "utf8"]
    command = [interpreter, *options, "-c"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    pipes |= {"stdin": subprocess.DEVNULL, "bufsize": 0}
    if sys.platform == "win32":
        kept = {"SYSTEMROOT": os.environ.get("SYSTEMROOT", "")}  # without it nothing starts
        return subprocess.Popen([*command, code], cwd=folder, env=kept, **pipes), None
    limits = {"CPU": math.ceil(seconds) + 1, "FSIZE": disk, "NOFILE": 64, "CORE": 0}
    if sys.platform.startswith("linux"):
        limits |= {"AS": memory, "NPROC": 0}
    reader, writer = os.pipe()
    can = confinement()
    settings = {
        "status": writer,
        "parent": os.getpid(),
        "limits": limits,
        "landlock": landlock_version() if can.files else 0,
        "calls": can.calls,
        "folder": str(folder),
        "readable": _libraries(),
        "programs": [interpreter, *_loaders()],
        "command": command,
    }
    launcher = importlib.util.find_spec("llmlib.agents.confine").origin
    try:
        process = subprocess.Popen(
            [interpreter, *options, launcher, json.dumps(settings), code],
            cwd=folder,
            env={},
            pass_fds=(writer,),
            start_new_session=True,
            **pipes,
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return process, reader


def _watch(
    process: subprocess.Popen, folder: Path | None, deadline: float, output: int, most: int
) -> PythonResult:
    """Collect what the program writes until it ends or breaks a limit."""
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}
    full = threading.Event()
    readers = [
        threading.Thread(target=_collect, args=(pipe, into, output, full), daemon=True)
        for pipe, into in kept.items()
    ]
    for reader in readers:
        reader.start()
    stopped = ""
    while not stopped:
        try:
            process.wait(timeout=_LOOK_EVERY)
            break
        except subprocess.TimeoutExpired:
            pass
        if full.is_set():
            stopped = "output"
        elif time.monotonic() > deadline:
            stopped = "time"
        elif folder and _used(folder) > most:
            stopped = "disk"
    _kill(process)
    for reader in readers:
        reader.join(timeout=2)  # a process left behind, where that is open, may hold the pipe
    if full.is_set():
        stopped = stopped or "output"
    texts = [bytes(part[:output]).decode("utf-8", "replace") for part in kept.values()]
    return PythonResult(
        output=texts[0], errors=texts[1], exit_code=process.returncode, stopped=stopped
    )


def _collect(pipe, into: bytearray, most: int, full: threading.Event) -> None:
    """Read a pipe to its end, or until there is too much."""
    with contextlib.suppress(ValueError):  # it was closed meanwhile
        while part := pipe.read(2**16):
            into += part
            if len(into) > most:
                full.set()
                return


def _kill(process: subprocess.Popen) -> None:
    """Kill the process and all of its group, and wait for it."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, 9)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()


def _used(folder: Path) -> int:
    """Bytes of the files in a folder; infinite when there are too many of them."""
    total = 0
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= _MOST_FILES:
                return sys.maxsize
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _read_all(fd: int) -> str:
    with open(fd, "rb") as file:
        return file.read().decode("utf-8", "replace")


def _interpreter() -> str:
    """The interpreter itself, not the one of a virtual environment."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return os.path.realpath(base)


def _libraries() -> list[str]:
    """Where the standard library and the libraries that it loads lie."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = {
        sysconfig.get_path("stdlib"),
        os.path.join(sys.base_exec_prefix, sys.platlibdir, name),
        sysconfig.get_config_var("LIBDIR"),
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/etc/ld.so.cache",
    }
    return sorted(path for path in found if path and os.path.exists(path))


def _loaders() -> list[str]:
    """The dynamic loaders: to run the interpreter, the kernel runs one of them."""
    return sorted(
        {path for place in ("/lib*", "/lib/*", "/usr/lib*") for path in glob.glob(place + "/ld-*")}
    )

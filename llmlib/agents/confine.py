"""Give up every right but a few, then become the interpreter: what the kernel enforces.

Run as a program by :func:`llmlib.agents.run_python`; it imports the standard library only. In
order:

=====================  ==========================================================================
step                   what it takes away, from this process and all it may become
=====================  ==========================================================================
``set_limits``         more than so many seconds, bytes of memory or of a file, open files
``confine_files``      Landlock: opening any file but those listed; connecting, signals outside
``drop_capabilities``  what makes root more than another user
``confine_calls``      seccomp: all system calls but those of a list; so no new process, no
                       socket, no signal to another process, no change of limits
=====================  ==========================================================================

The rules hold across ``execve``, with which the process becomes a fresh interpreter: nothing of
this program is left in its memory, and there is no way back.

References
----------
1. Linux kernel documentation, *Landlock: unprivileged access control* (userspace-api/landlock).
2. Linux kernel documentation, *Seccomp BPF* (userspace-api/seccomp_filter).
3. ``man 7 capabilities``, ``man 2 setrlimit``, ``man 2 prctl``.

**What it leaves open.** A program may still ask whether a path exists and how large the file is,
read the installed standard library and the system's shared libraries, and learn the time, its own
user id and the name of the machine. It shares the kernel, so an error in the kernel may be used; a
service that runs the programs of strangers puts a virtual machine around it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import sys

__all__ = ["ALLOWED_CALLS", "calls_can_be_confined", "landlock_version"]

# --- numbers of the kernel's interface -----------------------------------------------------------

#: System call -> its number on x86-64 and on arm64; None where there is none.
ALLOWED_CALLS = {
    # files and directories, within what Landlock allows; links and special files are left out
    "read": (0, 63), "write": (1, 64), "open": (2, None), "close": (3, 57), "stat": (4, None),
    "fstat": (5, 80), "lstat": (6, None), "lseek": (8, 62), "pread64": (17, 67),
    "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66), "access": (21, None),
    "sendfile": (40, 71), "fsync": (74, 82), "fdatasync": (75, 83), "ftruncate": (77, 46),
    "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50),
    "rename": (82, None), "unlink": (87, None), "readlink": (89, None), "fadvise64": (221, 223),
    "openat": (257, 56), "newfstatat": (262, 79), "unlinkat": (263, 35), "renameat": (264, 38),
    "readlinkat": (267, 78), "faccessat": (269, 48), "renameat2": (316, 276),
    "statx": (332, 291), "faccessat2": (439, 439), "copy_file_range": (326, 285),
    # descriptors
    "poll": (7, None), "select": (23, None), "pselect6": (270, 72), "ppoll": (271, 73),
    "pipe": (22, None), "pipe2": (293, 59), "dup": (32, 23), "dup2": (33, None),
    "dup3": (292, 24), "close_range": (436, 436),
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "mremap": (25, 216), "madvise": (28, 233),
    # itself
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "alarm": (37, None), "getitimer": (36, 102),
    "setitimer": (38, 103), "execve": (59, 221), "exit": (60, 93), "exit_group": (231, 94),
    "arch_prctl": (158, None), "set_tid_address": (218, 96), "set_robust_list": (273, 99),
    "rseq": (334, 293), "futex": (202, 98), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "umask": (95, 166),
    # questions
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "uname": (63, 160),
    "sysinfo": (99, 179), "times": (100, 153), "getrandom": (318, 278),
    # time
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
}  # fmt: skip
#: Calls of which only some requests are allowed, told by the second argument. The others include
#: ways to have a signal sent to another process (F_SETOWN, F_SETSIG).
PARTLY_ALLOWED = {
    # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, locks, F_DUPFD_CLOEXEC
    "fcntl": (72, 25, (0, 1, 2, 3, 4, 5, 6, 7, 1030)),
    # is it a terminal and how wide, close on exec, blocking, bytes waiting
    "ioctl": (16, 29, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),
}
#: Machine -> place in the tables above, the architecture's code for seccomp, capget, capset.
MACHINES = {"x86_64": (0, 0xC000003E, 125, 126), "aarch64": (1, 0xC00000B7, 90, 91)}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446

# Landlock: rights on files.
_EXECUTE, _WRITE, _READ, _READ_DIR = 1, 2, 4, 8
_REMOVE_FILE, _MAKE_REG, _TRUNCATE = 1 << 5, 1 << 8, 1 << 14
_LAST_FILE_RIGHT = {1: 12, 2: 13, 3: 14, 4: 14}  # version -> highest bit; 15 from 5 on
_FOLDER = _WRITE | _READ | _READ_DIR | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
_FOR_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE  # rights that a single file can have

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 22, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 38, 47


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8),
                ("k", ctypes.c_uint32))  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filters", ctypes.POINTER(_Filter)))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32))


def _syscall(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *given)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _prctl(option: int, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    given += [ctypes.c_ulong(0)] * (4 - len(given))
    if libc.prctl(ctypes.c_int(option), *given) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


# --- what this system can do ---------------------------------------------------------------------


def landlock_version() -> int:
    """Version of Landlock in the running kernel, 0 where there is none."""
    if not sys.platform.startswith("linux") or platform.machine() not in MACHINES:
        return 0
    try:
        return _syscall(_CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def calls_can_be_confined() -> bool:
    """Whether the kernel filters system calls, and this program knows their numbers here."""
    if not sys.platform.startswith("linux") or platform.machine() not in MACHINES:
        return False
    refuse = ctypes.c_uint32(0x00050000)  # "answer with an error": is it known?
    try:
        _syscall(_SECCOMP[platform.machine()], 2, 0, ctypes.byref(refuse))
    except OSError:
        return False
    return True


# --- the steps -----------------------------------------------------------------------------------


def set_limits(limits: dict[str, int]) -> None:
    """Set resource limits by name (``CPU``, ``AS``, …), for good."""
    import resource  # not on Windows

    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))


def confine_files(version: int, folder: str, readable: list[str], programs: list[str]) -> None:
    """Forbid to open any file but those in the folder, which may be read, made and removed, those
    in ``readable``, and ``programs``, which may also be run."""
    every = (1 << _LAST_FILE_RIGHT.get(version, 15) + 1) - 1
    rules = _Ruleset(every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _syscall(_CREATE_RULESET, ctypes.byref(rules), size, 0)
    granted = [(folder, _FOLDER), ("/dev/null", _READ | _WRITE)]
    granted += [(path, _READ | _READ_DIR) for path in readable]
    granted += [(path, _READ | _EXECUTE) for path in programs]
    for path, rights in granted:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if not os.path.isdir(path):
            rights &= _FOR_FILES
        rule = _PathBeneath(rights & every, fd)
        _syscall(_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0)
        os.close(fd)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def drop_capabilities() -> None:
    """Give up all capabilities, so that root is a user like any other; they cannot come back."""
    _, _, capget, capset = MACHINES[platform.machine()]
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held = (ctypes.c_uint32 * 6)()
    _syscall(capget, header, held)
    if any(held):
        for capability in range(64):
            try:
                _prctl(_PR_CAPBSET_DROP, capability)
            except OSError as error:
                if error.errno == errno.EINVAL:  # no such capability: that was the last
                    break
                if error.errno != errno.EPERM:
                    raise
        _prctl(_PR_CAP_AMBIENT, 4)
        _syscall(capset, header, (ctypes.c_uint32 * 6)())
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)  # execve gives root nothing back


def confine_calls() -> None:
    """Let the kernel answer every system call that is not on the list with "not permitted"."""
    program = filter_program(platform.machine())
    filters = (_Filter * len(program))(*program)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_SECCOMP, 2, ctypes.byref(_Program(len(program), filters)))


def filter_program(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter in the kernel's small language: (what to do, jump if so, jump if not, value)."""
    column, architecture, _, _ = MACHINES[machine]
    load, equal, answer = 0x20, 0x15, 0x06
    allow, refuse, kill = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
    program = [
        (load, 0, 0, 4),  # the architecture: numbers mean other calls on another one
        (equal, 1, 0, architecture),
        (answer, 0, 0, kill),
        (load, 0, 0, 0),  # the number of the call
    ]
    for numbers in ALLOWED_CALLS.values():
        if numbers[column] is not None:
            program += [(equal, 0, 1, numbers[column]), (answer, 0, 0, allow)]
    for *numbers, requests in PARTLY_ALLOWED.values():
        inner = [(load, 0, 0, 16 + 8)]  # low half of the second argument
        for request in requests:
            inner += [(equal, 0, 1, request), (answer, 0, 0, allow)]
        inner += [(answer, 0, 0, refuse)]
        program += [(equal, 0, len(inner), numbers[column]), *inner]
    return [*program, (answer, 0, 0, refuse)]


def main(settings: dict, code: str) -> None:
    """Confine this process, then run the interpreter with a program in its place."""
    status = settings["status"]
    os.set_inheritable(status, False)
    try:
        if sys.platform.startswith("linux"):
            _prctl(_PR_SET_PDEATHSIG, 9)
            if os.getppid() != settings["parent"]:  # it died before it could be followed
                os._exit(1)
        set_limits(settings["limits"])
        if settings["landlock"]:
            confine_files(
                settings["landlock"],
                settings["folder"],
                settings["readable"],
                settings["programs"],
            )
        if settings["calls"]:
            drop_capabilities()
            confine_calls()
        os.execve(settings["command"][0], [*settings["command"], code], {})
    except BaseException as error:  # whatever it is: the program must not run unconfined
        os.write(status, f"{type(error).__name__}: {error}".encode())
        os._exit(1)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2])

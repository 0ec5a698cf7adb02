"""The code interpreter: what programs may do, and every way out that was tried.

An attack is a program that does harm if it succeeds; the test looks at the harm, not only at the
message. Where the kernel cannot confine a program these tests are skipped, and one test proves
that such a program is then refused.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from llmlib.agents import SandboxError, confinement, run_python, sandbox
from llmlib.agents.confine import ALLOWED_CALLS, MACHINES, PARTLY_ALLOWED, filter_program

ROOT = Path(__file__).parents[2]
confined = pytest.mark.skipif(
    not confinement().full, reason="this system cannot confine programs: they are refused"
)


def processes_of(mark: str) -> list[str]:
    """Processes whose command line has a mark."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in line:
            found.append(line)
    return found


# --- what a program may do ---


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print(17 + 25)", "42"),
        ('print("Tarobe"[::-1])', "eboraT"),
        ("import math, statistics\nprint(math.comb(5, 2), statistics.mean([1, 2, 6]))", "10 3"),
        ("import json, re, datetime, decimal, sqlite3\nprint(json.dumps({'a': 1}))", '{"a": 1}'),
        ("print('é漢😀')", "é漢😀"),
        ("pass", "(no output)"),
        ("print(1); print(undefined)", "1\nError: NameError: name 'undefined' is not defined"),
        ("import sys; sys.exit(3)", "Error: exit code 3"),
        ("print(input())", "Error: EOFError: EOF when reading a line"),
        ("print(", "Error: SyntaxError: '(' was never closed"),
    ],
)
def test_programs(code, expected):
    assert run_python(code, weaker_ok=True).text == expected


def test_long_programs():
    code = 'print(len("' + "中" * 33_000 + '"))'
    assert run_python(code, weaker_ok=True).text == "33000"
    code = "#" + "\n" * 90_000 + "print(1)"
    assert run_python(code, weaker_ok=True).text == "1"


def test_output_and_errors_are_told_apart():
    result = run_python("import sys; print('a'); print('b', file=sys.stderr)", weaker_ok=True)
    assert (result.output.strip(), result.errors.strip()) == ("a", "b")
    assert (result.exit_code, result.stopped) == (0, "")


def test_it_has_a_folder_that_stays_when_it_is_given(tmp_path):
    (tmp_path / "numbers.txt").write_text("1 2 3")
    code = (
        "numbers = open('numbers.txt').read().split()\n"
        "open('sum.txt', 'w').write(str(sum(map(int, numbers))))\n"
        "import os; os.remove('numbers.txt'); print(os.listdir('.'))"
    )
    assert run_python(code, folder=tmp_path, weaker_ok=True).text == "['sum.txt']"
    assert (tmp_path / "sum.txt").read_text() == "6"


def test_a_new_folder_is_removed():
    code = "open('a', 'w').write('x'); import os; print(os.getcwd())"
    where = run_python(code, weaker_ok=True).text
    assert not os.path.exists(where)


def test_the_environment_is_not_inherited(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    text = run_python("import os; print(sorted(os.environ), os.environ)", weaker_ok=True).text
    assert "hunter2" not in text
    assert "SECRET_KEY" not in text
    assert "PYTHONPATH" not in text


def test_nothing_open_is_inherited(tmp_path):
    secret = os.open(tmp_path / "secret", os.O_RDWR | os.O_CREAT)
    os.write(secret, b"hunter2")
    os.set_inheritable(secret, True)
    try:
        code = f"import os; os.lseek({secret}, 0, 0); print(os.read({secret}, 100))"
        assert "Bad file descriptor" in run_python(code, weaker_ok=True).text
    finally:
        os.close(secret)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seconds": 0}, "seconds=0"), ({"memory": -1}, "memory=-1"), ({"output": 0}, "output=0")],
)
def test_wrong_limits(options, message):
    with pytest.raises(ValueError, match=message):
        run_python("pass", **options)


@pytest.mark.parametrize("code", ["x" * 100_001, "print('\0')"])
def test_programs_that_cannot_be_passed_on(code):
    with pytest.raises(ValueError, match="cannot be run"):
        run_python(code)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_python("pass", folder=tmp_path / "none", weaker_ok=True)


# --- what it may not do: limits ---


def test_an_endless_loop_is_stopped():
    start = time.monotonic()
    result = run_python("print('before', flush=True)\nwhile True: pass", seconds=1, weaker_ok=True)
    assert result.stopped == "time"
    assert result.text == "before\nError: stopped, too much time"
    assert time.monotonic() - start < 10


def test_sleeping_is_stopped_too():
    code = "import time\nwhile True:\n    try: time.sleep(100)\n    except BaseException: pass"
    assert run_python(code, seconds=1, weaker_ok=True).stopped == "time"


def test_gigabytes_of_output_are_stopped():
    code = "import sys\nwhile True: sys.{}.write('a' * 10**6)"
    for stream in ("stdout", "stderr"):
        result = run_python(code.format(stream), output=1000, weaker_ok=True)
        assert result.stopped == "output"
        assert len(result.output) + len(result.errors) == 1000


def test_output_that_ends_is_stopped_too():
    result = run_python("print('a' * 5000)", output=1000, weaker_ok=True)
    assert (result.stopped, len(result.output)) == ("output", 1000)


@confined
@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(10**9)",
        "x = []\nwhile True: x.append('a' * 10**6)",
        "x = 'a'\nwhile True: x += x",
        "import mmap; mmap.mmap(-1, 10**9)",
    ],
)
def test_a_memory_bomb_fails(code):
    result = run_python(code, memory=100 * 2**20)
    assert "MemoryError" in result.text or "Cannot allocate memory" in result.text


@confined
def test_limits_cannot_be_raised():
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))"
    assert "Error" in run_python(code).text
    code = "import resource, os; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))"
    assert "Error" in run_python(code).text
    assert os.listdir("/proc/self")  # this process can still open files


@confined
def test_a_large_file_and_many_files_are_stopped(tmp_path):
    code = "f = open('a', 'wb')\nwhile True: f.write(b'0' * 10**5)"
    assert "File too large" in run_python(code, disk=10**6, folder=tmp_path).text
    (tmp_path / "a").unlink()
    code = "import os\nfor i in range(10**9): open(str(i), 'wb').write(b'0' * 10**4)"
    result = run_python(code, disk=10**6, folder=tmp_path, seconds=20)
    assert result.stopped == "disk"
    code = "for i in range(10**9): open('n' + str(i), 'wb')"
    assert run_python(code, seconds=20).stopped == "disk"


@confined
def test_what_lies_in_the_folder_does_not_count(tmp_path):
    (tmp_path / "big").write_bytes(b"0" * 10**6)
    code = "import time; open('a', 'wb').write(b'0' * 1000); time.sleep(0.3); print('ok')"
    assert run_python(code, disk=10**5, folder=tmp_path).text == "ok"


# --- what it may not do: processes ---

FORKS = {
    "fork bomb": "import os\nwhile True: os.fork()",
    "fork": "import os; print('child', os.fork())",
    "forkpty": "import os; print('child', os.forkpty())",
    "spawn": "import os; print('child', os.posix_spawn('/bin/sh', ['sh'], {}))",
    "subprocess": "import subprocess; print('child', subprocess.run(['ls']))",
    "system": "import os; print('child' if os.system('ls') == 0 else 1 / 0)",
    "multiprocessing": "import multiprocessing as m; m.Process(target=print).start(); "
    "print('child')",
    "thread": "import threading; threading.Thread(target=print).start(); print('child')",
    "shell in its place": "import os; os.execv('/bin/sh', ['sh', '-c', 'echo child'])",
    "ctypes": "import ctypes; pid = ctypes.CDLL(None).fork(); print('child' if pid >= 0 else 1/0)",
}


@confined
@pytest.mark.parametrize("code", FORKS.values(), ids=FORKS)
def test_no_processes(code):
    result = run_python(code)
    assert result.exit_code
    assert "child" not in result.output
    assert "Error" in result.text


@confined
def test_nothing_is_left_behind():
    mark = f"left-behind-{time.monotonic_ns()}"
    code = (
        "import os, sys, time\n"
        "try:\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        time.sleep(1000)\n"
        "except OSError as error: print(error)\n"
        f"'{mark}'"
    )
    assert "not permitted" in run_python(code).text
    assert processes_of(mark) == []
    run_python(f"'{mark}'\nwhile True: pass", seconds=0.5)
    assert processes_of(mark) == []


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The sandbox without the rest of the library, for processes that are to start quickly."""
    library = tmp_path_factory.mktemp("alone")
    package = library / "llmlib" / "agents"
    package.mkdir(parents=True)
    (library / "llmlib" / "__init__.py").touch()
    (package / "__init__.py").touch()
    for name in ("sandbox.py", "confine.py"):
        shutil.copy(ROOT / "llmlib" / "agents" / name, package)
    return library


@confined
def test_it_ends_with_its_parent(alone):
    mark = f"orphan-{time.monotonic_ns()}"
    parent = (
        "from llmlib.agents.sandbox import run_python\n"
        f"run_python(\"'{mark}'; import time; time.sleep(1000)\", seconds=1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=alone)
    try:
        deadline = time.monotonic() + 30
        while len(processes_of(mark)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(processes_of(mark)) == 2  # the parent's line has the mark too
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while processes_of(mark) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes_of(mark) == []
    finally:
        process.kill()
        process.wait()


KILLS = {
    "kill": "os.kill(os.getppid(), 9)",
    "kill its group": "os.killpg(os.getpgid(os.getppid()), 9)",
    "kill everybody": "os.kill(-1, 9)",
    "ctypes": "libc = ctypes.CDLL(None); libc.kill(os.getppid(), 9)",
    "system call": "ctypes.CDLL(None).syscall({kill}, os.getppid(), 9)",
    "by way of a pipe": (
        "r, w = os.pipe(); fcntl.fcntl(r, fcntl.F_SETOWN, os.getppid()); "
        "fcntl.fcntl(r, 10, 9); fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC); os.write(w, b'x')"
    ),
    "trace": "ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)",
    "process descriptor": "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)",
}


@confined
@pytest.mark.parametrize("attack", KILLS.values(), ids=KILLS)
def test_its_parent_lives(attack, alone):
    """The parent of the program is a process of its own here, which prints when it has survived."""
    number = 62 if os.uname().machine == "x86_64" else 129
    code = "import ctypes, fcntl, os, signal\n" + attack.replace("{kill}", str(number))
    parent = (
        "import sys, time\n"
        "from llmlib.agents.sandbox import run_python\n"
        "print(repr(run_python(sys.argv[1])))\n"
        "time.sleep(0.1)\n"
        "print('alive')"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent, code],
        cwd=alone,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert done.stdout.endswith("alive\n"), done


# --- what it may not do: the network ---


@pytest.fixture
def listening():
    """A server on the own machine, and whether somebody has come."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        came = []

        def accept():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            came.append(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        if not came:  # wake the thread up
            socket.create_connection(server.getsockname()).close()
        thread.join()
        for connection in came:
            connection.close()


@confined
@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', {port}))",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}')",
        "import ctypes, socket, struct\n"
        "libc = ctypes.CDLL(None)\n"
        "s = libc.socket(2, 1, 0)\n"
        "address = struct.pack('<H', 2) + struct.pack('!H', {port})\n"
        "address += bytes([127, 0, 0, 1] + 8 * [0])\n"
        "1 / (libc.connect(s, address, 16) + 1)",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import socket; socket.socketpair()",
        "import socket; socket.create_server(('127.0.0.1', 0))",
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        "s.sendto(b'x', ('127.0.0.1', 9))",
    ],
)
def test_no_network(code, listening):
    port, came = listening
    result = run_python(code.replace("{port}", str(port)))
    assert "Error" in result.text
    assert came == []


# --- what it may not do: files ---


@confined
@pytest.mark.parametrize(
    "read",
    [
        "print(open({path!r}).read())",
        "import os; print(open(os.path.relpath({path!r})).read())",
        "import os; os.symlink({path!r}, 'link'); print(open('link').read())",
        "import os; os.link({path!r}, 'link'); print(open('link').read())",
        "import os; os.rename({path!r}, 'mine'); print(open('mine').read())",
        "import os; os.chdir(os.path.dirname({path!r})); print(open('secret.txt').read())",
        "import os; print(os.listdir(os.path.dirname({path!r})))",
        "import ctypes; b = ctypes.create_string_buffer(100); libc = ctypes.CDLL(None); "
        "libc.read(libc.open({path!r}.encode(), 0), b, 100); print(b.value.decode() or 1 / 0)",
        "import os; print(open('/proc/%d/environ' % os.getppid()).read())",
        "import os; print(open('/proc/self/root' + {path!r}).read())",
        "import os; print(os.open('/proc/%d/mem' % os.getppid(), 0))",
    ],
)
def test_no_reading_outside(read, tmp_path):
    inside, secret = tmp_path / "inside", tmp_path / "secret.txt"
    inside.mkdir()
    secret.write_text("hunter2")
    result = run_python(read.replace("{path!r}", repr(str(secret))), folder=inside)
    assert "hunter2" not in result.output + result.errors
    assert "Error" in result.text
    assert secret.read_text() == "hunter2"


@confined
def test_a_link_that_lies_there_leads_nowhere(tmp_path):
    inside, secret = tmp_path / "inside", tmp_path / "secret.txt"
    inside.mkdir()
    secret.write_text("hunter2")
    (inside / "link").symlink_to(secret)
    assert "Permission denied" in run_python("print(open('link').read())", folder=inside).text


@confined
@pytest.mark.parametrize(
    "write",
    [
        "open({path!r}, 'w').write('x')",
        "open({path!r}, 'a').write('x')",
        "import os; os.truncate({path!r}, 0)",
        "import os; os.remove({path!r})",
        "import os; os.chmod({path!r}, 0)",
        "import os; open('mine', 'w').write('x'); os.rename('mine', {path!r})",
        "import os; open(os.path.dirname({path!r}) + '/new.txt', 'w')",
        "import os; os.utime({path!r}, (0, 0))",
        "open('/dev/shm/left', 'w')",
        "import sqlite3; sqlite3.connect({path!r} + '.db').execute('create table t (a)')",
    ],
)
def test_no_writing_outside(write, tmp_path):
    inside, victim = tmp_path / "inside", tmp_path / "victim.txt"
    inside.mkdir()
    victim.write_text("as it was")
    before = victim.stat()
    result = run_python(write.replace("{path!r}", repr(str(victim))), folder=inside)
    assert "Error" in result.text
    assert victim.read_text() == "as it was"
    assert victim.stat().st_mode == before.st_mode
    assert victim.stat().st_mtime == before.st_mtime
    assert sorted(os.listdir(tmp_path)) == ["inside", "victim.txt"]
    assert not os.path.exists("/dev/shm/left")


@confined
@pytest.mark.parametrize(
    "code",
    [
        "import os; os.mkdir('d')",
        "import os; os.mkfifo('f')",
        "import os; os.mknod('device', 0o600 | 0o060000, os.makedev(8, 0))",
        "import os; os.symlink('a', 'b')",
        "import os; os.setuid(0)",
        "import os; os.chroot('.')",
        "import os; os.nice(-5)",
        "import fcntl, os; fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())",
        "import fcntl; fcntl.fcntl(0, 10, 9)",  # F_SETSIG
        "import fcntl; fcntl.ioctl(0, 0x8901, b'aaaa')",  # FIOSETOWN
        "import ctypes; 1 / (ctypes.CDLL(None).unshare(0x10000000) + 1)",  # a user namespace
        "import ctypes; 1 / (ctypes.CDLL(None).syscall(425, 4, 0) + 1)",  # io_uring
        "import ctypes; 1 / (ctypes.CDLL(None).shmget(0, 4096, 0o1600) + 1)",
    ],
)
def test_other_calls_are_refused(code):
    assert "Error" in run_python(code).text


# --- how it is enforced ---


@confined
def test_root_is_a_user_like_any_other(alone):
    """Without the filter of calls, to be able to look: no capability is left after execve."""
    code = "print([line.split()[1] for line in open('/proc/self/status') if 'Cap' in line[:3]])"
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, code], cwd=alone, capture_output=True, text=True, check=True
    )
    inherited, permitted, effective, bounding, ambient = eval(done.stdout)
    assert {inherited, permitted, effective, ambient} == {"0" * 16}
    if os.getuid() == 0:
        assert bounding == "0" * 16


#: Drops the capabilities, and then runs a program.
LAUNCH = """
import os, sys
from llmlib.agents import confine
confine.drop_capabilities()
os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", sys.argv[1]], {})
"""


@confined
@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become another")
def test_it_holds_for_an_ordinary_user(alone):
    """Landlock and seccomp need no rights: the same programs, run by nobody."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    for path in (*alone.parents, alone, *alone.rglob("*")):  # so that nobody can read it
        if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to(tempfile.gettempdir()):
            path.chmod(path.stat().st_mode | 0o055)
    programs = ["print(6 * 7)", "open('/etc/passwd')", "import os; os.fork()"]
    code = (
        "import os, sys, json\n"
        f"sys.path.insert(0, {str(alone)!r})\n"
        "from llmlib.agents.sandbox import run_python\n"
        f"print(json.dumps([os.getuid(), *[run_python(p).text for p in {programs!r}]]))"
    )
    try:
        done = subprocess.run(
            [python or sys.executable, "-I", "-B", "-c", code],
            user=65534,
            group=65534,
            extra_groups=[],
            env={"TMPDIR": "/tmp"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    except PermissionError:
        pytest.skip("no interpreter here that another user may run")
    assert done.returncode == 0, done.stderr
    uid, right, read, fork = json.loads(done.stdout)
    assert (uid, right) == (65534, "42")
    assert "Permission denied" in read
    assert "not permitted" in fork


def test_where_it_cannot_be_confined_it_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "landlock_version", lambda: 0)
    code = "open('a', 'w')"
    with pytest.raises(SandboxError, match=r"cannot confine files.*weaker_ok=True"):
        run_python(code, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sandbox, "calls_can_be_confined", lambda: False)
    with pytest.raises(SandboxError, match="cannot confine files and calls"):
        run_python(code, folder=tmp_path)
    assert run_python("print(1)", weaker_ok=True).text == "1"


@confined
def test_a_step_that_fails_keeps_the_program_from_running(monkeypatch, tmp_path):
    """A version of Landlock that the kernel does not know: the launcher must not go on without."""
    monkeypatch.setattr(sandbox, "_libraries", lambda: ["\0"])
    with pytest.raises(SandboxError, match="was not run: ValueError"):
        run_python("open('a', 'w')", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter(machine):
    """Run the filter by hand: allowed are the calls of the list, and nothing else."""
    column, architecture, _, _ = MACHINES[machine]
    program = filter_program(machine)

    def answer(number, second=0, arch=architecture):
        fields, value, at = {0: number, 4: arch, 24: second}, None, 0
        while True:
            code, yes, no, k = program[at]
            if code == 0x20:
                value, at = fields[k], at + 1
            elif code == 0x15:
                at += 1 + (yes if value == k else no)
            else:
                return {0x7FFF0000: "allow", 0x00050001: "refuse", 0x80000000: "kill"}[k]

    allowed = {numbers[column] for numbers in ALLOWED_CALLS.values()} - {None}
    partly = {numbers[column]: numbers[2] for numbers in PARTLY_ALLOWED.values()}
    for number in [*range(600), 2**30, 2**30 + 1]:  # beyond 2**30: the x32 calls of x86-64
        if number in partly:
            requests = partly[number]
            assert all(answer(number, request) == "allow" for request in requests)
            assert {answer(number, r) for r in range(2000) if r not in requests} == {"refuse"}
        else:
            assert answer(number) == ("allow" if number in allowed else "refuse"), number
        assert answer(number, arch=0x40000003) == "kill"

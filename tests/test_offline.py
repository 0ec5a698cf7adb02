"""Tests and the processes they start reach no other machine; this machine they do reach."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import loopback_only
import pytest
from loopback_only import NetworkRefusedError

ROOT = Path(__file__).resolve().parent.parent
# 192.0.2.0/24 and 2001:db8::/32 are reserved for documentation: nobody has these addresses.
ELSEWHERE = "192.0.2.1"


def tcp(host, family=socket.AF_INET):
    with socket.socket(family) as one:
        one.settimeout(0.2)
        one.connect((host, 80))


def udp(send):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        send(one)


ATTEMPTS = {
    "connect": lambda: tcp(ELSEWHERE),
    "connect over IPv6": lambda: tcp("2001:db8::1", socket.AF_INET6),
    "connect by mapped address": lambda: tcp(f"::ffff:{ELSEWHERE}", socket.AF_INET6),
    "connect_ex": lambda: socket.socket().connect_ex((ELSEWHERE, 80)),
    "create_connection": lambda: socket.create_connection((ELSEWHERE, 80), timeout=0.2),
    "sendto": lambda: udp(lambda one: one.sendto(b"", (ELSEWHERE, 53))),
    "sendmsg": lambda: udp(lambda one: one.sendmsg([b""], [], 0, (ELSEWHERE, 53))),
    "getaddrinfo": lambda: socket.getaddrinfo("example.org", 443),
    "gethostbyname": lambda: socket.gethostbyname("example.org"),
    "gethostbyaddr": lambda: socket.gethostbyaddr(ELSEWHERE),
    "urllib": lambda: urllib.request.urlopen("https://example.org", timeout=0.2),
    "ssl": lambda: (
        ssl.create_default_context()
        .wrap_socket(socket.socket(), server_hostname="example.org")
        .connect((ELSEWHERE, 443))
    ),
    "asyncio": lambda: asyncio.run(asyncio.open_connection("example.org", 443)),
}


if not hasattr(socket.socket, "sendmsg"):  # Windows
    del ATTEMPTS["sendmsg"]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_other_machines_are_refused(attempt):
    with pytest.raises(NetworkRefusedError, match="tests and notebooks use no network"):
        ATTEMPTS[attempt]()


def test_the_refusal_names_the_host_and_the_port():
    with pytest.raises(NetworkRefusedError, match=r"connect to 192\.0\.2\.1, port 80"):
        tcp(ELSEWHERE)
    with pytest.raises(NetworkRefusedError, match=r"look up example\.org"):
        socket.getaddrinfo("example.org", 443)


def test_a_refusal_is_not_swallowed_as_an_os_error():
    assert not issubclass(NetworkRefusedError, OSError)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reached(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].sendall(b"hello")).start()
        with socket.create_connection((host, server.getsockname()[1])) as client:
            assert client.recv(5) == b"hello"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_unix_sockets_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # their paths have to be short
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")


def test_own_name_may_be_looked_up():
    assert socket.getaddrinfo("localhost", 80)
    loopback_only._refuse("socket.getaddrinfo", (socket.gethostname(), 80))


CODE = "import socket; socket.socket().connect(('192.0.2.1', 80))"


@pytest.mark.parametrize("depth", [1, 2])
def test_child_processes_are_refused(depth):
    code = CODE
    if depth == 2:
        code = (
            f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {CODE!r}]))"
        )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "NetworkRefusedError: refused to connect to 192.0.2.1, port 80" in done.stderr


def test_git_fetches_only_from_files(tmp_path):
    command = ["git", "clone", "https://192.0.2.1/a.git", str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0
    assert "transport 'https' not allowed" in done.stderr


def test_huggingface_libraries_know_that_they_are_offline():
    from huggingface_hub import constants

    assert constants.HF_HUB_OFFLINE


def test_lifted_allows_it_for_a_while():
    with loopback_only.lifted():
        loopback_only._refuse("socket.getaddrinfo", ("example.org", 443))
    with pytest.raises(NetworkRefusedError):
        socket.getaddrinfo("example.org", 443)


def test_the_marker_online_is_left_out_by_default(pytestconfig):
    assert "not online" in pytestconfig.getini("addopts")


def test_the_marker_online_lifts_it(tmp_path):
    """In a process of its own: nothing is sent, the hook is asked directly."""
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (tmp_path / "test_marked.py").write_text(
        "import os, loopback_only, pytest\n"
        "@pytest.mark.online\n"
        "def test_lifted():\n"
        "    loopback_only._refuse('socket.getaddrinfo', ('example.org', 443))\n"
        "    assert 'offline' not in os.environ['PYTHONPATH']\n"
        "    assert 'HF_HUB_OFFLINE' not in os.environ\n"
        "def test_refused():\n"
        "    with pytest.raises(loopback_only.NetworkRefusedError):\n"
        "        loopback_only._refuse('socket.getaddrinfo', ('example.org', 443))\n"
    )
    config = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *config, "-m", ""]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])}
    done = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "2 passed" in done.stdout, done.stdout

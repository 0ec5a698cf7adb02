"""`make book` serves the built site, on a free port when 8000 is taken, and stops quietly."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tools import serve

ROOT = Path(__file__).resolve().parents[2]
# A shell that runs the tests in the background lets its children ignore Ctrl-C; here it must count.
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
START += "import sys; from pathlib import Path; from tools import serve; "
START += "sys.exit(serve.main(sys.argv[2:], Path(sys.argv[1])))"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "index.html").write_text("<h1>Book</h1>")
    return tmp_path


@pytest.fixture
def start(site):
    """Start the server in a process of its own; return it and the lines up to its address."""
    running = []

    def begin(*options):
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(site), *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        lines = [process.stdout.readline()]
        while lines[-1] and "http://" not in lines[-1]:
            lines.append(process.stdout.readline())
        return process, "".join(lines)

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def address(said):
    return re.search(r"http://\S+", said)[0]


def test_pages_are_served_and_ctrl_c_ends_it(start):
    process, said = start("--port", "0")
    with urllib.request.urlopen(address(said), timeout=10) as page:
        assert page.read() == b"<h1>Book</h1>"
        assert page.headers["Cache-Control"] == "no-cache"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address(said)}/missing.html", timeout=10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert out.strip() == "Stopped."
    assert "Traceback" not in err
    assert "404" in err


def test_a_taken_port_is_told_and_another_one_used(start):
    with socket.create_server(("localhost", 0)) as other:
        taken = other.getsockname()[1]
        process, said = start("--port", str(taken))
        assert said.startswith(f"Port {taken} is taken.\n")
        assert not address(said).endswith(f":{taken}")
        with urllib.request.urlopen(address(said), timeout=10) as page:
            assert page.status == 200
    assert process.poll() is None


def test_nothing_built_is_one_line(tmp_path, capsys):
    assert serve.main([], tmp_path) == 1
    assert capsys.readouterr().err == "error: no site is built yet: run `make book SERVE=0`\n"


@pytest.mark.parametrize("options", [["--port", "70000"], ["--host", "192.0.2.1"]])
def test_an_address_that_cannot_be_used_is_one_line(site, capsys, options):
    assert serve.main(options, site) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: cannot serve on ")
    assert said.count("\n") == 1


def test_files_beyond_the_site_are_not_served(start, site):
    (site.parent / "secret.txt").write_text("secret")
    _, said = start("--port", "0")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address(said)}/../{os.path.basename('secret.txt')}", timeout=10)

"""Setting up fails in one clear line, and never leaves a half-made environment behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path):
    """A copy of the files that decide what is installed."""
    for name in ("pyproject.toml", "constraints.txt", "tools/environment.py", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def set_up(folder, task="book", **variables):
    command = [sys.executable, str(folder / "tools" / "environment.py"), task]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | variables
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_no_network_is_one_line(project):
    # Port 9 of this machine: a connection that is refused at once.
    done = set_up(
        project,
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_RETRIES="1",
        PIP_NO_CACHE_DIR="1",
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "network" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (project / ".venv" / ".installed-book").exists()


def test_a_broken_environment_is_made_anew(project):
    broken = project / ".venv" / "bin"
    broken.mkdir(parents=True)
    (broken / "python").write_text("not a program")
    done = set_up(project, PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX="1")
    assert "Creating .venv" in done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_unknown_task_says_which_there_are():
    done = set_up(ROOT, task="everything")
    assert done.returncode == 2
    assert "book,lab,test" in done.stderr


def test_torch_is_installed_first_and_never_for_the_site():
    first, *_ = environment.steps("test")
    assert first[-1].startswith("torch")
    assert not any("torch" in part for step in environment.steps("book") for part in step)


def test_what_is_enough_for_the_tests_is_enough_for_the_site():
    assert environment.includes("test", "book")
    assert environment.includes("lab", "test")
    assert not environment.includes("book", "test")


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError('...')", "could not be reached"),
        ("ERROR: No matching distribution found for x\n", "No matching distribution found for x"),
        ("", "pip failed"),
    ],
)
def test_explanations_are_one_line(log, words):
    said = environment.explain(log)
    assert words in said
    assert "\n" not in said

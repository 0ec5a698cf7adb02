"""Create the virtual environment and install what a task needs, at the tested versions.

    python tools/environment.py book        # what the site needs: no torch
    python tools/environment.py test        # everything `make test` runs

Runs on the system's Python with the standard library alone. A set of requirements is installed
once; a stamp in the environment remembers it until pyproject.toml or constraints.txt change.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOG = VENV / "install.log"
# What each task installs: the extras of pyproject.toml, and whether the library's own
# dependencies (torch and the rest of the core) come with them.
TASKS = {
    "book": (["book"], False),
    "lab": (["apps", "book", "ecosystem", "lab", "retrieval", "test"], True),
    "test": (["apps", "book", "ecosystem", "retrieval", "test"], True),
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in TASKS:
        print(f"usage: python tools/environment.py {{{','.join(TASKS)}}}", file=sys.stderr)
        return 2
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        version = ".".join(map(str, sys.version_info[:3]))
        return fail(
            f"Python 3.11, 3.12 or 3.13 is needed and this is {version}: "
            "name another one, for example `make book PYTHON=python3.12`."
        )
    task = arguments[0]
    if not python().exists() or not runs():
        print(f"Creating {VENV.name} ...", flush=True)
        shutil.rmtree(VENV, ignore_errors=True)
        try:
            venv.create(VENV, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            return fail(
                f"Could not create {VENV.name} ({error}): on Debian and Ubuntu install "
                "python3-venv, and check the free disk space."
            )
    wanted = fingerprint()
    if any(installed(other) == wanted for other in TASKS if includes(other, task)):
        return 0
    print(f"Installing what `{task}` needs; the first time takes a minute or two ...", flush=True)
    for step in steps(task):
        if not pip(step):
            return fail(explain(LOG.read_text(errors="replace")))
    stamp(task).write_text(wanted)
    return 0


def stamp(task: str) -> Path:
    """The file that says for which requirements a task was installed."""
    return VENV / f".installed-{task}"


def installed(task: str) -> str:
    """The fingerprint of the requirements that were installed for a task, or nothing."""
    return stamp(task).read_text() if stamp(task).exists() else ""


def includes(larger: str, smaller: str) -> bool:
    """Whether what one task installs is enough for another."""
    (many, core), (few, needs_core) = TASKS[larger], TASKS[smaller]
    return set(few) <= set(many) and core >= needs_core


def python() -> Path:
    """The environment's interpreter."""
    folder = "Scripts" if sys.platform == "win32" else "bin"
    return VENV / folder / "python"


def runs() -> bool:
    """Whether the environment's interpreter and its pip still work (an upgrade can break them)."""
    command = [str(python()), "-c", "import pip"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def fingerprint() -> str:
    """A digest of everything that decides what is installed."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt", "tools/environment.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def steps(task: str) -> list[list[str]]:
    """The arguments of each `pip install` that the task needs."""
    import tomllib  # Python 3.11: imported after the version check

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras, with_core = TASKS[task]
    requirements = list(project["dependencies"]) if with_core else []
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    torch = [r for r in requirements if r.startswith("torch")]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    # torch first and alone: a resolver that meets it through another package may take a build
    # for another device, several gigabytes larger.
    first = [[*constraints, *torch]] if torch else []
    rest = [r for r in requirements if r not in torch]
    return [*first, [*constraints, *rest], ["--no-deps", "--editable", str(ROOT)]]


def pip(arguments: list[str]) -> bool:
    """Run `pip install`; the log keeps its words."""
    command = [str(python()), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    with LOG.open("w") as log:
        return subprocess.run(command, stdout=log, stderr=log, check=False).returncode == 0


def explain(log: str) -> str:
    """One line that says what went wrong with an installation and what to do."""
    where = f"The full log is in {LOG.relative_to(ROOT)}."
    if "No space left" in log:
        return f"The disk is full: free about 4 GB and run the command again. {where}"
    network = (
        "NewConnectionError",
        "ConnectionError",
        "Temporary failure",
        "timed out",
        "SSLError",
    )
    if any(word in log for word in network):
        return (
            "The package index could not be reached: check the network or the proxy "
            f"(PIP_INDEX_URL, HTTPS_PROXY) and run the command again. {where}"
        )
    errors = [line.strip() for line in log.splitlines() if line.startswith("ERROR:")]
    reason = errors[0].removeprefix("ERROR:").strip() if errors else "pip failed"
    return f"{reason} -- try `make clean` (a fresh environment) and run the command again. {where}"


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

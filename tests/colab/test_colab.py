"""The set-up cell as Colab meets it: a clean environment, no project, one cell that installs it.

The cell runs word for word. Git is told to take the repository's address from a local repository
made of the working tree, and pip to take the tested versions; both come from the package index or
pip's cache, which makes this the one test of the suite that needs them.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "04_attention" / "01_scaled_dot_product.ipynb"
# What Colab's own image has before any cell runs, as far as running a notebook needs it.
RUNNER = ["ipykernel", "nbclient"]
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
print("cells run:", sum(cell.cell_type == "code" for cell in notebook.cells))
"""


def run(*command, **options):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture
def repository(tmp_path):
    """A git repository with the working tree of this one as its only commit."""
    folder = tmp_path / "origin"
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", *author, "commit", "--quiet", "--message=origin", cwd=folder)
    return folder


def test_first_chapter_runs_where_only_the_notebook_is(tmp_path, repository):
    url = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    clean = tmp_path / "colab"
    venv.create(clean, with_pip=True)
    python = clean / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment = kept | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    run(python, "-m", "pip", "install", "--quiet", *RUNNER, env=environment)
    desk = tmp_path / "desk"
    desk.mkdir()
    shutil.copy(NOTEBOOK, desk / "chapter.ipynb")

    said = run(python, "-c", RUN, "chapter.ipynb", cwd=desk, env=environment)

    assert "cells run:" in said
    installed = run(python, "-m", "pip", "list", "--format=freeze", env=environment)
    names = {line.split("==")[0].lower() for line in installed.splitlines()}
    assert "llmlib" in {name.split(" ")[0] for name in names}
    assert not names & {"transformers", "datasets", "jupyter-book", "nbval"}, "core only"

"""The tests of the notebooks are tested: each kind of damage makes them fail, and says so.

Small notebooks, some true and some damaged, are given to `pytest --nbval` in a process of its own.
They do without torch, so that a kernel starts in a second.
"""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[2]
CHILD = """\
import subprocess, sys
code = "import socket; socket.create_connection(('192.0.2.1', 80))"
done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
print(done.stderr.splitlines()[-1])"""
LOOPBACK = """\
import socket
server = socket.create_server(("127.0.0.1", 0))
print(socket.create_connection(server.getsockname()).getpeername()[0])"""


def cell(source, printed="", tags=(), executed=True):
    """A code cell and what it is stored to have printed; `write` gives it a number if executed."""
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    count = 1 if executed else None
    tags = {"tags": list(tags)}
    return new_code_cell(source, outputs=outputs, metadata=tags, execution_count=count)


def picture():
    """A cell that displays a figure of which only the JSON form holds numbers."""
    figure = {"data": [{"y": [0.5, 1.0]}], "layout": {"title": {"text": "two bars"}}}
    data = {"application/vnd.plotly.v1+json": figure, "text/plain": "<moving figure two>"}
    source = f"from IPython.display import display\ndisplay({data!r}, raw=True)"
    return source, data


def shown(data):
    outputs = [new_output("display_data", data=data)]
    return new_code_cell(picture()[0], outputs=outputs, execution_count=1)


def damaged_figure():
    data = json.loads(json.dumps(picture()[1]))
    data["application/vnd.plotly.v1+json"]["data"][0]["y"][1] = 1.05
    return shown(data)


# Computing, not sleeping: time lost to other programs is not counted
WORK = """\
import time
end = time.process_time() + 0.4
while time.process_time() < end: pass"""
LOSS = "print('loss', 2.5, 'after 3 steps')"
GOOD = {
    "true": [cell(LOSS, "loss 2.5 after 3 steps\n"), cell("x = 1"), shown(picture()[1])],
    "number-off-by-a-thousandth": [cell(LOSS, "loss 2.5025 after 3 steps\n")],
    "own-tolerance": [cell(LOSS, "loss 2.625 after 3 steps\n", ["rtol=0.1"])],
    "address": [cell("print(object())", "<object object at 0x7f00deadbeef>\n")],
    "a-fifth-ignored": [
        *[cell("print(1)", "1\n")] * 4,
        cell("print(1)", "2\n", ["nbval-ignore-output"]),
    ],
    "hidden-result": [cell("3 + 4;")],
    "loopback": [cell(LOOPBACK, "127.0.0.1\n")],
}
# name -> cells, words of the failure
BAD = {
    "changed-word": (
        [cell(LOSS, "error 2.5 after 3 steps\n")],
        ["cell `c0` (In [1])", "'error' became 'loss'", "make notebooks NB=changed-word.ipynb"],
    ),
    "number-off-by-5-percent": (
        [cell(LOSS, "loss 2.625 after 3 steps\n")],
        ["2.625 became 2.5 (off by 4.8 %, tolerance 1 %)"],
    ),
    "whole-number-off-by-one": (
        [cell("print(1000, 'words')", "1001 words\n")],
        ["1001 became 1000 (whole numbers are exact)"],
    ),
    "many-numbers": (
        [cell("print(*range(1, 20))", "0 " * 19 + "\n")],
        ["0 became 6 (whole", "and 13 more"],
    ),
    "number-in-a-figure": ([damaged_figure()], ["$.data[0].y[1]: 1.05 became 1.0"]),
    "removed-output": ([cell(LOSS)], ["output 1 is new: stdout 'loss 2.5 after 3 steps'"]),
    "extra-output": ([cell("x = 1", "loss\n")], ["output 1 is missing now: stored was stdout"]),
    "exception": (
        [cell("x = 1"), cell("x / 0"), cell("print('never reached')", "never reached\n")],
        ["cell `c1` (In [2])", "ZeroDivisionError: division by zero", "correct the cell"],
    ),
    "never-executed": (
        [cell("x = 1", executed=False), cell("print(x)", "1\n")],
        ["cell `c0` (never run)", "nothing is stored to compare with"],
    ),
    "warning": ([cell("import warnings\nwarnings.warn('old')")], ["writes to stderr", "old"]),
    "slow-cell": ([cell("import time\ntime.sleep(60)")], ["Timeout of 8 seconds exceeded"]),
    "slow-notebook": (
        [cell(WORK)] * 3,
        ["the limit is 1 s", "s of CPU time", "Do less live"],
    ),
    "network": (
        [cell("import urllib.request\nurllib.request.urlopen('https://example.org')")],
        ["refused to look up example.org: tests and notebooks use no network"],
    ),
    "network-in-a-child": (
        [cell(CHILD, "connected\n")],
        ["refused to connect to 192.0.2.1, port 80"],
    ),
    "ignored-outputs": (
        [cell("print(1)", "1\n")] * 3 + [cell("print(1)", "2\n", ["nbval-ignore-output"])],
        ["1 of 4 printing cells are tagged nbval-ignore-output (c3)"],
    ),
    "memory": (
        [cell("x = bytearray(300_000_000)\ndel x")],
        ["MB of memory; the limit is 250 MB"],
    ),
    "dead-kernel": ([cell("import os\nos._exit(1)")], ["the kernel died"]),
}


def write(folder, name, cells):
    numbered = [
        nbformat.from_dict(
            {
                **one,
                "id": f"c{number}",
                "execution_count": one["execution_count"] and number + 1,
            }
        )
        for number, one in enumerate(cells)
    ]
    nbformat.write(new_notebook(cells=numbered), folder / f"{name}.ipynb")


def run_pytest(folder, *options):
    """Run `pytest --nbval` on a folder of notebooks, as `make test-notebooks` does."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "tests.notebooks.plugin"]
    command += ["-p", "no:cacheprovider", "--junitxml=report.xml", *options, "."]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    env = {name: value for name, value in env.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def failures(folder):
    """Notebook -> the texts of its failed tests."""
    found = {}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        name = case.get("classname").removesuffix(".ipynb")
        found.setdefault(name, [])
        found[name] += [part.text for part in case if part.tag in ("failure", "error")]
    return found


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for name, cells in GOOD.items():
        write(folder, name, cells)
    return folder, run_pytest(folder)


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    for name, (cells, _) in BAD.items():
        write(folder, name, cells)
    limits = ["--nbval-cell-timeout=8", "--notebook-seconds=1", "--notebook-mb=250"]
    return folder, run_pytest(folder, "-n2", "--dist=loadfile", *limits)


@pytest.mark.parametrize("name", GOOD)
def test_true_notebooks_pass(good, name):
    folder, done = good
    assert done.returncode == 0, done.stdout
    assert failures(folder)[name] == []


@pytest.mark.parametrize("name", BAD)
def test_damage_is_found_and_named(bad, name):
    folder, done = bad
    assert done.returncode == 1, done.stdout
    said = "\n".join(failures(folder)[name])
    for words in BAD[name][1]:
        assert words in said
    assert f"{name}.ipynb" in said


@pytest.mark.parametrize("name", ["exception", "dead-kernel", "never-executed"])
def test_one_cause_is_one_failure(bad, name):
    folder, _ = bad
    assert len(failures(folder)[name]) == 1


@pytest.mark.parametrize("run", ["good", "bad"])
def test_costs_are_printed_and_written(run, request):
    folder, done = request.getfixturevalue(run)
    costs = json.loads((folder / "_build/reports/notebook_costs.json").read_text())
    names = GOOD if run == "good" else {"memory", "slow-notebook", "changed-word"}
    for name in names:
        assert f"{name}.ipynb" in done.stdout.split("cost of the notebooks")[1]
        assert costs[f"{name}.ipynb"]["peak_mb"] > 20
    if run == "bad":
        assert costs["memory.ipynb"]["peak_mb"] > 300
        assert costs["slow-notebook.ipynb"]["wall_s"] >= 1.2
        assert costs["slow-notebook.ipynb"]["cpu_s"] >= 1.1


def test_a_file_that_is_no_notebook_is_one_line(tmp_path):
    (tmp_path / "broken.ipynb").write_text("{")
    done = run_pytest(tmp_path, "--collect-only", "-q")
    assert "broken.ipynb: not a notebook" in done.stdout
    assert "Traceback" not in done.stdout

"""`python -m tools.notebooks` stores true outputs or nothing, and says in a line what is wrong."""

import json
import time

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools import notebooks
from tools.book_files import COSTS, notebook_text, read_notebook
from tools.kernels import Cost


def write(book, name, *sources):
    path = book.root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [new_code_cell(source, id=f"c{number}") for number, source in enumerate(sources)]
    path.write_text(notebook_text(new_notebook(cells=cells)))
    return path


def test_outputs_and_costs_are_stored(book, capsys):
    path = write(
        book,
        "05_more/01_true",
        "import os\nfrom pathlib import Path",
        "print(os.environ['OMP_NUM_THREADS'])\nprint(Path('01_true.ipynb').exists())",
        "x = sum(i * i for i in range(3_000_000))",
        "3 + 4;",
    )
    assert notebooks.main(["01_true"], book) == 0
    stored = read_notebook(path, "")
    assert [cell.execution_count for cell in stored.cells] == [1, 2, 3, 4]
    assert [len(cell.outputs) for cell in stored.cells] == [0, 1, 0, 0]
    assert stored.cells[1].outputs[0].text == "1\nTrue\n"
    assert path.read_text() == notebook_text(stored)
    said = capsys.readouterr()
    assert said.out.startswith("notebooks/05_more/01_true.ipynb: stored; ")
    assert said.err == ""
    row = json.loads((book.root / COSTS).read_text())["notebooks/05_more/01_true.ipynb"]
    assert row["wall_s"] >= 0.5
    assert row["cpu_s"] % 0.5 == 0
    assert row["peak_mb"] % 10 == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("y = 1\ny / 0", "cell `c1`: ZeroDivisionError: division by zero\n    at: y / 0\n"),
        ("import warnings\nwarnings.warn('old')", "cell `c1`: writes to stderr"),
        ("import os\nos._exit(1)", "cell `c1`: the kernel died"),
        (
            "import urllib.request as u\nu.urlopen('https://example.org')",
            "cell `c1`: NetworkRefusedError: refused to look up example.org",
        ),
    ],
    ids=["exception", "stderr", "dead", "network"],
)
def test_a_cell_that_fails_leaves_the_file_as_it_was(book, capsys, source, words):
    path = write(book, "05_more/01_broken", "x = 1", source)
    before = path.read_bytes()
    assert notebooks.main(["01_broken"], book) == 1
    said = capsys.readouterr()
    assert f"notebooks/05_more/01_broken.ipynb, not stored: {words}" in said.err
    assert "Traceback" not in said.err + said.out
    assert path.read_bytes() == before


def test_a_cell_that_never_ends_is_stopped(book, capsys, monkeypatch):
    monkeypatch.setattr(notebooks, "CELL_SECONDS", 1)
    write(book, "05_more/01_slow", "import time", "time.sleep(60)")
    begun = time.monotonic()
    assert notebooks.main(["01_slow"], book) == 1
    assert time.monotonic() - begun < 40
    assert "cell `c1`: ran longer than 1 s" in capsys.readouterr().err


def test_one_failure_does_not_keep_others_from_being_stored(book, capsys):
    write(book, "05_more/01_broken", "1 / 0")
    good = write(book, "05_more/02_true", "print(2)")
    assert notebooks.main(["05_more"], book) == 1
    assert read_notebook(good, "").cells[0].outputs[0].text == "2\n"


@pytest.mark.parametrize("words", [["firsty"], ["--check", "firsty"]])
def test_an_unknown_name_is_one_line(book, draft, capsys, words):
    assert notebooks.main(words, book) == 2
    said = capsys.readouterr().err
    assert said == "error: no notebook is called 'firsty'; did you mean first or 01_first?\n"


def test_no_notebooks_is_one_line(book, capsys):
    assert notebooks.main([], book) == 2
    assert capsys.readouterr().err.startswith("error: there is no notebook yet")


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"cells": [1]}', '{"cells": [{"cell_type": "code"}], "metadata": {}}']
)
def test_a_broken_file_is_told_in_lines(book, draft, capsys, content):
    draft.path.write_text(content)
    assert notebooks.main(["first"], book) == 1
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith(f"{draft.name}: ")
    assert draft.path.read_text() == content


def test_check_prints_what_breaks_a_rule_and_runs_nothing(book, draft, capsys):
    assert notebooks.main(["--check"], book) == 0
    assert capsys.readouterr().out == "1 notebook(s) checked, 0 problem(s)\n"
    draft.cell("run").execution_count = 9
    before = draft.save().read_bytes()
    assert notebooks.main(["--check", "01_first"], book) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{draft.name}: cell `run`: executed as [9]")
    assert draft.path.read_bytes() == before


def table(book):
    return json.loads((book.root / COSTS).read_text())


def test_costs_stay_as_they_are_while_they_change_little(book, draft):
    name = draft.name
    notebooks.record(book, name, Cost(wall_s=10.2, cpu_s=9.9, peak_mb=404.0))
    first = table(book)
    assert first == {name: {"wall_s": 10.0, "cpu_s": 10.0, "peak_mb": 400}}
    notebooks.record(book, name, Cost(wall_s=11.9, cpu_s=8.0, peak_mb=430.0))
    assert table(book) == first
    notebooks.record(book, name, Cost(wall_s=11.9, cpu_s=8.0, peak_mb=610.0))
    assert table(book) == {name: {"wall_s": 12.0, "cpu_s": 8.0, "peak_mb": 610}}


def test_costs_of_notebooks_that_are_gone_are_dropped(book, draft):
    (book.root / COSTS).write_text(json.dumps({"notebooks/gone.ipynb": {}}))
    notebooks.record(book, draft.name, Cost(wall_s=1.0, cpu_s=1.0, peak_mb=100.0))
    assert set(table(book)) == {draft.name}


def test_a_breach_of_the_limits_is_told_and_fails(book, capsys, monkeypatch):
    write(book, "05_more/01_true", "print(1)")
    monkeypatch.setattr(
        notebooks, "execute", lambda notebook, folder: Cost(wall_s=75, cpu_s=70, peak_mb=2500)
    )
    assert notebooks.main(["01_true"], book) == 1
    said = capsys.readouterr().err
    assert "took 75 s (70 s of CPU time); the limit is 60 s" in said
    assert "needed 2500 MB of memory; the limit is 2000 MB" in said

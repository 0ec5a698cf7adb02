"""Run notebooks and store their outputs, or check the rules that every chapter keeps.

    python -m tools.notebooks                          # run all notebooks
    python -m tools.notebooks 01_scaled_dot_product    # run the named ones: paths, parts, chapters
    python -m tools.notebooks --check 04_attention     # run nothing: only the rules

A notebook is written only when every cell ran without an error and without a word on stderr.
What each run cost goes to book/data/notebook_costs.json, which the book shows.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from queue import Empty

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tools.book_files import COSTS, Book, BookError, notebook_text, read_notebook
from tools.kernels import CELL_SECONDS, Cost, CostMeter, environment
from tools.notebook_lint import problems


def main(arguments: list[str] | None = None, book: Book | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a path, a part or a chapter")
    parser.add_argument("--check", action="store_true", help="check the rules, run nothing")
    chosen = parser.parse_args(arguments)
    book = book or Book()
    try:
        found = [path for name in chosen.names for path in book.find(name)] or book.notebooks()
        paths = list(dict.fromkeys(found))
        if not paths:
            raise BookError("there is no notebook yet: `make new-chapter` lays one out")
        return check(paths, book) if chosen.check else run(paths, book)
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def check(paths: list[Path], book: Book) -> int:
    """Print what breaks a rule; 1 when anything does."""
    found = [problem for path in paths for problem in problems(path, book)]
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{len(paths)} notebook(s) checked, {len(found)} problem(s)")
    return 1 if found else 0


def run(paths: list[Path], book: Book) -> int:
    """Run notebooks and store their outputs; 1 when one of them failed."""
    failed = 0
    for path in paths:
        name = book.name(path)
        if invalid := problems(path, book, rules={}):
            print("\n".join(invalid), file=sys.stderr)
            failed += 1
            continue
        notebook = read_notebook(path, name)
        try:
            cost = execute(notebook, path.parent)
        except CellError as failure:
            print(f"{name}, not stored: {failure}", file=sys.stderr)
            failed += 1
            continue
        path.write_text(notebook_text(notebook), encoding="utf-8")
        record(book, name, cost)
        print(
            f"{name}: stored; {cost.own_s:.1f} s, {cost.cpu_s:.1f} s of CPU time, "
            f"{cost.peak_mb:.0f} MB",
            flush=True,
        )
        for breach in cost.breaches():
            print(f"{name}: {breach}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


class CellError(Exception):
    """A cell that did not run well; the text says which and why."""


def execute(notebook: nbformat.NotebookNode, folder: Path) -> Cost:
    """Run all cells of `notebook` in `folder`, put their outputs into it, and return the cost."""
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
    )
    # what the kernel's own log says on stderr (not what cells write there) is of no use to anyone
    with client.setup_kernel(env=environment(), stderr=subprocess.DEVNULL):
        client.reset_execution_trackers()
        meter = CostMeter(client.km.provisioner.pid).start()
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            cell.outputs, cell.execution_count = [], None
            try:
                client.execute_cell(cell, index)
            except CellExecutionError as error:
                raise CellError(f"cell `{cell.id}`: {_raised(error)}") from None
            except CellTimeoutError:
                raise CellError(f"cell `{cell.id}`: ran longer than {CELL_SECONDS} s") from None
            except (DeadKernelError, Empty):
                reason = "the kernel died (out of memory, or a crash in native code)"
                raise CellError(f"cell `{cell.id}`: {reason}") from None
            _refuse_stderr(cell)
        return meter.stop()


def _raised(error: CellExecutionError) -> str:
    """The exception, and the line of the cell that raised it."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback)
    arrow = re.search(r"^-+>\s*\d+\s+(.*)$", plain, re.MULTILINE)
    where = f"\n    at: {arrow[1].strip()}" if arrow else ""
    return f"{error.ename}: {error.evalue}{where}"


def _refuse_stderr(cell: nbformat.NotebookNode) -> None:
    said = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr")
    if said:
        lines = "".join(f"\n    {line}" for line in said.strip().splitlines()[:10])
        raise CellError(
            f"cell `{cell.id}`: writes to stderr, which is never stored; mend the cause "
            f"(a warning, a progress bar):{lines}"
        )


def record(book: Book, name: str, cost: Cost) -> None:
    """Put a cost into the table that the book shows, and drop notebooks that are gone.

    Numbers are rounded to half a second and ten megabytes, and a row changes only when one of its
    numbers moved by more than a quarter: running a notebook again makes no noise in the diff.
    """
    path = book.root / COSTS
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    new = {
        "wall_s": _rounded(cost.own_s, 0.5),
        "cpu_s": _rounded(cost.cpu_s, 0.5),
        "peak_mb": _rounded(cost.peak_mb, 10),
    }
    old = table.get(name, {})
    if old.keys() != new.keys() or any(abs(new[k] - old[k]) > 0.25 * old[k] for k in new):
        table[name] = new
    there = {book.name(notebook) for notebook in book.notebooks()}
    table = {name: row for name, row in sorted(table.items()) if name in there}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def _rounded(value: float, step: float) -> float:
    """The nearest multiple of `step`, at least one step.

    Examples
    --------
    >>> _rounded(3.3, 0.5), _rounded(0.1, 0.5), _rounded(412.0, 10)
    (3.5, 0.5, 410)
    """
    return max(1, round(value / step)) * step


if __name__ == "__main__":
    sys.exit(main())

"""What `pytest --nbval` does with the book's notebooks.

nbval runs every code cell in a kernel and makes it a test. This plugin replaces its comparison by
the one in `compare.py`, runs kernels offline on one thread, adds two tests per notebook (not too
many outputs left out, cost within the limits), and says in each failure what differs and what mends
it.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbval.plugin import (
    IPyNbCell,
    IPyNbFile,
    NbCellError,
    get_sanitize_patterns,
)

from tests.notebooks.compare import Tolerance, differences
from tests.notebooks.kernel import Kernel, KernelDiedError
from tools.book_files import BookError, read_notebook
from tools.chapter import IGNORE
from tools.kernels import CELL_SECONDS, NOTEBOOK_MB, NOTEBOOK_SECONDS, CostMeter
from tools.notebook_lint import too_many_ignored

SANITIZE = Path(__file__).with_name("sanitize.cfg")
REPORT = Path("_build/reports/notebook_costs.json")
SHOWN = 6  # differences of one cell
COST = "notebook_cost"  # the property under which a test reports a notebook's cost


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("book", "The book's notebooks")
    group.addoption(
        "--notebook-seconds",
        type=float,
        default=NOTEBOOK_SECONDS,
        help="limit on the wall time of a notebook (default: %(default)s)",
    )
    group.addoption(
        "--notebook-mb",
        type=float,
        default=NOTEBOOK_MB,
        help="limit on the peak memory of a notebook (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.nbval:
        return
    if config.option.nbval_cell_timeout == 2000:  # nbval's default
        config.option.nbval_cell_timeout = CELL_SECONDS
    if not hasattr(config, "workerinput"):  # in the process that the person started
        config.pluginmanager.register(CostTable(config), "notebook-costs")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Iterator:
    collected = yield
    return [
        Notebook.from_parent(parent, path=file_path) if type(found) is IPyNbFile else found
        for found in collected
    ]


class Notebook(IPyNbFile):
    """A notebook: its cells, run in one kernel, between two tests of the whole."""

    broken_by: str | None = None  # the cell that raised; what follows cannot be judged
    meter: CostMeter | None = None

    @property
    def relative(self) -> str:
        return self.path.relative_to(self.config.rootpath).as_posix()

    def collect(self) -> Iterator[pytest.Item]:
        try:
            read_notebook(self.path, self.relative)
        except BookError as error:
            raise self.CollectError(str(error)) from None
        # no cell can have these names: xdist would run only one of two tests of the same name
        yield OutputsCompared.from_parent(self, name="(outputs compared)")
        for found in super().collect():
            yield Cell.from_parent(
                self,
                name=found.cell.get("id", found.name),
                cell_num=found.cell_num,
                cell=found.cell,
                options=defaultdict(bool, check=True),  # no tag or comment skips a cell
            )
        yield CostWithinLimits.from_parent(self, name="(cost)")

    def setup(self) -> None:
        self.kernel = Kernel(self.path.parent, self.config.option.nbval_kernel_startup_timeout)
        self.setup_sanitize_files()
        self.sanitize_patterns.update(get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8")))
        self.meter = CostMeter(self.kernel.pid).start()


class Cell(IPyNbCell):
    """A code cell, run in its notebook's kernel and compared with what is stored."""

    def setup(self) -> None:
        if self.parent.broken_by:
            pytest.skip(f"cell `{self.parent.broken_by}` failed to run")

    def runtest(self) -> None:
        try:
            super().runtest()
        except NbCellError as error:
            if error.args[0] != DIFFER:
                self.parent.broken_by = self.cell.id
            raise
        except KernelDiedError:
            self.parent.broken_by = self.cell.id
            self.raise_cell_error("the kernel died: out of memory, or a crash in native code")
        if self.cell.execution_count is None and self.cell.source.strip():
            self.raise_cell_error("was never executed, so nothing is stored to compare with")

    def compare_outputs(self, test, ref, skip_compare=None) -> bool:
        """Called by nbval with the fresh and the stored outputs; False makes the cell fail."""
        self.comparison_traceback = [
            f"writes to stderr, which is never stored: {o.text.strip()}"
            for o in test
            if o.get("name") == "stderr"
        ]
        tags = self.cell.metadata.get("tags", [])
        if not self.comparison_traceback and IGNORE not in tags:
            found = differences(ref, test, Tolerance.of(tags), self.sanitize)
            more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
            self.comparison_traceback = found[:SHOWN] + more
        return not self.comparison_traceback

    def repr_failure(self, excinfo: pytest.ExceptionInfo) -> str:
        error = excinfo.value
        if not isinstance(error, NbCellError):
            return super().repr_failure(excinfo)
        count = self.cell.execution_count
        run = "never run" if count is None else f"In [{count}]"
        details = re.sub(r"\x1b\[[0-9;]*m", "", error.inner_traceback or "").strip()
        return "\n".join(
            [
                f"{self.parent.relative}, cell `{self.cell.id}` ({run})",
                *([] if error.args[0] == DIFFER else [f"  {error.args[0]}"]),
                *(f"  {line}" for line in details.splitlines()),
                f"mend: {_mend(error, self.parent.relative)}",
            ]
        )

    def reportinfo(self):
        return self.path, 0, f"{self.parent.relative}::{self.name}"


DIFFER = "Cell outputs differ"  # what nbval raises after a comparison


def _mend(error: NbCellError, name: str) -> str:
    if error.args[0] == DIFFER:
        return (
            f"if the change is meant, `make notebooks NB={name}` stores the new output; "
            "if not, find what changed it"
        )
    if "never executed" in error.args[0]:
        return f"`make notebooks NB={name}`"
    return f"correct the cell or what it calls, then `make notebooks NB={name}`"


class WholeNotebook(pytest.Item):
    """A test of a notebook as a whole; `message` says what is wrong."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo) -> str:
        return f"{self.parent.relative}: {excinfo.value}"

    def reportinfo(self):
        return self.path, 0, f"{self.parent.relative}::{self.name}"


class OutputsCompared(WholeNotebook):
    """Fails when too many outputs are left out of the comparison."""

    def runtest(self) -> None:
        if message := too_many_ignored(self.parent.nb.cells):
            raise NotebookError(message)


class CostWithinLimits(WholeNotebook):
    """Comes last: reports what the notebook took, and fails when that is too much."""

    def setup(self) -> None:
        if self.parent.broken_by:
            pytest.skip(f"cell `{self.parent.broken_by}` failed to run")

    def runtest(self) -> None:
        cost = self.parent.meter.stop()
        self.user_properties.append((COST, {"notebook": self.parent.relative, **cost.as_dict()}))
        option = self.config.option
        breaches = cost.breaches(option.notebook_seconds, option.notebook_mb)
        if breaches:
            raise NotebookError(
                f"{'; '.join(breaches)}. Do less live: fewer steps, a smaller model, a recorded log"
            )


class NotebookError(Exception):
    """What is wrong with a notebook as a whole."""


class CostTable:
    """Gathers the costs that the tests report, from all workers; prints and writes the table."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.costs: dict[str, dict[str, float]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for key, value in report.user_properties:
            if key == COST and report.when == "call":
                row = dict(value)
                self.costs[row.pop("notebook")] = row

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.costs:
            return
        write = terminalreporter.write_line
        terminalreporter.section("cost of the notebooks")
        write(f"{'wall':>8} {'waited':>8} {'CPU':>8} {'memory':>9}  notebook")
        for name, cost in sorted(self.costs.items()):
            times = "".join(f"{cost[kind]:6.1f} s " for kind in ("wall_s", "waited_s", "cpu_s"))
            write(f"{times}{cost['peak_mb']:6.0f} MB  {name}")
        path = self.config.rootpath / REPORT
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.costs, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        write(f"written to {REPORT.as_posix()}")

"""The table of parity that the book shows, made from the tests that prove it.

A parity test says what it compares::

    @pytest.mark.parity(component="llmlib.nn.RMSNorm", peer="torch.nn.RMSNorm")

``compared`` (say "output and gradients" where it is so) and ``tolerance`` (the default is that of
``torch.testing.assert_close``) may be given too. ``pytest tests/parity`` counts the cases that
passed, a row for each component and peer, and writes them to ``book/data/parity.json`` when
every file ran and nothing failed. ``tests/test_parity_table.py`` tells when they come apart.
"""

import json
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
FIELDS = ("component", "peer", "compared", "tolerance")
USUAL = {"compared": "output", "tolerance": "default of assert_close"}


def pytest_configure(config):
    config.addinivalue_line("markers", "parity(component, peer, compared, tolerance): see conftest")
    config.pluginmanager.register(ParityTable(config), "parity-table")


def pytest_collection_modifyitems(items):
    for item in items:
        for marker in item.iter_markers("parity"):
            row = tuple((USUAL | marker.kwargs)[field] for field in FIELDS)
            item.user_properties.append(("parity", row))


class ParityTable:
    """Counts reports, which reach this process from parallel workers as well."""

    file = HERE.parents[1] / "book" / "data" / "parity.json"
    modules = frozenset(path.name for path in HERE.glob("test_*.py"))

    def __init__(self, config):
        self.config, self.passed, self.ran = config, [], set()

    @staticmethod
    def rows(tests):
        """Count the rows of reports or of collected tests, in the form that the book reads."""
        found = (tuple(row) for t in tests for key, row in t.user_properties if key == "parity")
        cases = Counter(found)
        return [dict(zip(FIELDS, row, strict=True), cases=cases[row]) for row in sorted(cases)]

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed:
            self.passed.append(report)
            self.ran.add(Path(report.nodeid.split("::")[0]).name)

    def pytest_sessionfinish(self, exitstatus):
        option = self.config.option
        part = option.keyword or "::" in "".join(option.file_or_dir)
        worker = getattr(self.config, "workerinput", None)
        if exitstatus == 0 and not part and worker is None and self.modules <= self.ran:
            text = json.dumps(self.rows(self.passed), indent=1, ensure_ascii=False)
            self.file.write_text(text + "\n", encoding="utf-8")

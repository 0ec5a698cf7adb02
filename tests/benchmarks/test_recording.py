"""A benchmark that is run writes what it measured, and shows it."""

import json

from benchmarks.recording import record


def test_results_are_written_and_shown(tmp_path, capsys):
    path = tmp_path / "results" / "toy.json"
    for arguments, rounds in (([], 3), (["--rounds", "5"], 5)):
        record(
            "Toy.", lambda n: {"n": n}, lambda r: f"n={r['n']}", path, rounds=3, arguments=arguments
        )
        assert json.loads(path.read_text()) == {"n": rounds}
        assert capsys.readouterr().out == f"n={rounds}\n"

"""The figure on the first page is what the library computes."""

import json
import math
from pathlib import Path

import pytest

from tools.first_figure import FILE, first_figure

ROOT = Path(__file__).resolve().parents[2]


def _numbers(value, path=""):
    """Every number in nested data, with where it stands."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _numbers(item, f"{path}[{i}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


@pytest.fixture(scope="module")
def stored():
    return json.loads((ROOT / FILE).read_text(encoding="utf-8"))


def test_stored_numbers_are_those_of_the_library(stored):
    old, new = dict(_numbers(stored)), dict(_numbers(first_figure()))
    assert old.keys() == new.keys(), "run: python -m tools.first_figure"
    wrong = [p for p in old if not math.isclose(old[p], new[p], rel_tol=1e-2, abs_tol=1e-3)]
    assert not wrong, f"run: python -m tools.first_figure ({wrong[:3]})"


def test_stored_words_are_those_of_the_tool(stored):
    assert stored["layout"]["meta"] == first_figure()["layout"]["meta"]
    assert [frame["name"] for frame in stored["frames"]] == [f"{d}°" for d in range(0, 360, 15)]


def test_weights_on_show_add_up(stored):
    for frame in stored["frames"]:
        shares = [int(text.split()[1].rstrip("%")) for text in frame["data"][1]["text"]]
        assert abs(sum(shares) - 100) <= 2

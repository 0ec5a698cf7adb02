"""The palette can be read, and the set-up call makes a notebook repeatable."""

import random
import warnings
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
import torch

from llmlib.viz import COLORS, set_up_notebook, use_style
from llmlib.viz.palette import CYCLE, DIVERGING, SEQUENTIAL


def luminance(colour):
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_marks_stand_out_from_the_paper():
    assert contrast(COLORS["ink"], COLORS["paper"]) > 7
    assert contrast(COLORS["grey"], COLORS["paper"]) > 4.5
    for colour in CYCLE:
        assert contrast(colour, COLORS["paper"]) > 3, colour  # WCAG 2, 1.4.11: graphical objects


def test_the_sequential_map_only_gets_darker():
    values = [luminance(colour) for colour in SEQUENTIAL]
    assert values == sorted(values, reverse=True)
    assert DIVERGING[len(DIVERGING) // 2] == COLORS["paper"]


def test_colours_differ():
    assert all(one != other for one, other in combinations(COLORS.values(), 2))


def test_set_up_seeds_every_generator():
    def draw():
        return random.random(), np.random.rand(), torch.rand(3).tolist()

    set_up_notebook(seed=1)
    first = draw()
    set_up_notebook(seed=1)
    assert draw() == first
    set_up_notebook(seed=2)
    assert draw() != first


def test_set_up_prints_nothing_and_sets_the_style(capsys):
    mpl.rcdefaults()
    set_up_notebook(seed=0)
    assert capsys.readouterr() == ("", "")
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(CYCLE)
    assert repr(torch.tensor([1e-3, 1e3])) == "tensor([   0.0010, 1000.0000])"


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_set_up_refuses(seed):
    with pytest.raises(ValueError, match="seed="):
        set_up_notebook(seed=seed)


def test_style_survives_being_used_twice():
    use_style()
    once = dict(mpl.rcParams)
    use_style()
    assert dict(mpl.rcParams) == once


def test_a_notebook_is_not_told_about_missing_widgets():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        set_up_notebook(seed=0)
        warnings.warn("IProgress not found. Please update jupyter and ipywidgets.", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    assert [str(one.message) for one in told] == ["something else"]

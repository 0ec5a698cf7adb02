"""The site, Matplotlib and Plotly have one palette, and text is readable in both modes."""

import re
from pathlib import Path

import pytest

from llmlib.viz.palette import COLORS, DIVERGING, SEQUENTIAL

ROOT = Path(__file__).resolve().parents[2]
CSS = (ROOT / "book" / "assets" / "book.css").read_text(encoding="utf-8")
LIGHT = dict(re.findall(r"--palette-([a-z0-9-]+):\s*(#[0-9a-f]{6})", CSS))
BLOCKS = dict(re.findall(r'html\[data-theme="(light|dark)"\][^{]*\{(\s*--book-[^}]*)\}', CSS))


def colours(mode):
    """The page's colours in one mode, as `#rrggbb`."""
    named = re.findall(r"--book-([a-z0-9-]+):\s*([^;]+);", BLOCKS[mode])
    return {
        name: LIGHT[value[len("var(--palette-") : -1]] if value.startswith("var") else value
        for name, value in named
    }


def contrast(one, other):
    """Contrast ratio of WCAG 2, from 1 to 21.

    >>> round(contrast("#000000", "#ffffff"))
    21
    """

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_style_sheet_copies_the_palette():
    assert {name: LIGHT[name] for name in COLORS} == COLORS


@pytest.mark.parametrize(("name", "scale"), [("sequential", SEQUENTIAL), ("diverging", DIVERGING)])
def test_style_sheet_copies_the_scales(name, scale):
    """Every stop of a scale is a colour of the palette or has a name of its own."""
    own = {colour for colour in scale if colour not in COLORS.values()}
    assert own == {value for key, value in LIGHT.items() if key.startswith(name)}


def test_both_modes_have_every_colour():
    assert colours("light").keys() == colours("dark").keys() >= LIGHT.keys()


def test_script_replaces_every_colour():
    script = (ROOT / "book" / "assets" / "book-figures.js").read_text(encoding="utf-8")
    block = re.search(r"const NAMES = \[(.*?)\]", script, re.DOTALL)[1]
    assert set(re.findall(r'"([a-z0-9-]+)"', block)) == set(LIGHT)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "surface", "tint"])
@pytest.mark.parametrize("text", ["ink", "quiet", "link"])
def test_text_is_readable(mode, ground, text):
    palette = colours(mode)
    assert contrast(palette[text], palette[ground]) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("line", ["blue", "orange", "green", "purple", "red", "grey"])
def test_lines_of_figures_are_visible(mode, line):
    palette = colours(mode)
    assert contrast(palette[line], palette["paper"]) >= 3


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_scale_is_monotonic_in_both_modes(mode):
    palette = colours(mode)
    stops = ["paper", "sequential-1", "sequential-2", "blue", "sequential-4"]
    steps = [contrast(palette[stop], palette["paper"]) for stop in stops]
    assert steps == sorted(steps)
    assert steps[-1] > 8

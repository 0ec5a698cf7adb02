"""What counts as the same output, without a kernel."""

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbval.plugin import get_sanitize_patterns

from tests.notebooks.compare import Tolerance, compare_json, compare_text, differences
from tests.notebooks.plugin import SANITIZE

TAGGED = Tolerance.of(["hide-input", "rtol=0.05"])


def same(old, new, tolerance=None):
    return not list(compare_text(old, new, tolerance or Tolerance()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss 2.500", "loss 2.503"),  # off by a thousandth
        ("0.0", "1e-9"),
        ("-0.0", "0.0"),
        ("tensor([ 0.10, -0.20])", "tensor([0.10,  -0.20])"),  # columns move
        ("1.0", "1"),  # how a number is written does not matter
        ("nan inf -inf", "nan inf -inf"),
        ("12,345.6", "12,401.2"),
        ("3e-4", "3.01e-4"),
        ("−0.5", "-0.501"),  # a minus sign as typeset
    ],
)
def test_the_same(old, new):
    assert same(old, new)
    assert same(new, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss 2.5", "loss 2.625"),  # off by 5 %
        ("0.5", "-0.5"),
        ("0.0", "0.01"),
        ("1e-5", "1.05e-5"),
        ("12,345.6", "13,000.1"),
        ("[2, 3, 4]", "[2, 3, 5]"),  # a shape
        ("1000 words", "1001 words"),  # whole numbers are exact
        ("fc1.weight", "fc2.weight"),  # a digit in a name is part of a word
        ("True", "False"),
        ("nan", "0.5"),
        ("a b", "a b c"),
        ("1 2", "1 2 3"),
        ("one two", "onetwo"),
        ("", "x"),
        ("inf", "-inf"),
    ],
)
def test_not_the_same(old, new):
    assert not same(old, new)
    assert not same(new, old)


def test_a_tag_widens_the_tolerance_of_whole_numbers_too():
    assert same("loss 2.5 at 1000", "loss 2.6 at 1020", TAGGED)
    assert not same("loss 2.5", "loss 2.8", TAGGED)
    assert not same("1000", "1100", TAGGED)


@given(st.text())
def test_any_text_equals_itself(words):
    assert same(words, words)


@given(st.floats(0.001, 1e6), st.sampled_from([-1, 1]))
def test_five_per_cent_is_always_found_and_a_thousandth_never(number, sign):
    old = f"value {number:.8g}!"
    assert not same(old, f"value {number * (1 + 0.05 * sign):.8g}!")
    assert same(f"{number!r}", f"{number * (1 + 0.001 * sign)!r}")


FIGURE = {
    "data": [{"type": "bar", "x": ["a", "b"], "y": [0.25, 100.0], "n": 3, "on": True, "z": None}],
    "layout": {"title": {"text": "share 0.5 of a"}},
}


def changed(path, value):
    figure = copy.deepcopy(FIGURE)
    place = figure
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return list(compare_json(FIGURE, figure, Tolerance()))


def test_json_within_the_tolerance():
    assert changed(["data", 0, "y", 1], 100.5) == []
    assert changed(["data", 0, "y", 0], 0.2501) == []
    assert changed(["layout", "title", "text"], "share 0.501 of a") == []
    # beside 100 nobody sees a hundredth of a point move, so the scale of the list counts
    assert changed(["data", 0, "y", 0], 0.257) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["data", 0, "y", 1], 105.0, "$.data[0].y[1]: 100.0 became 105.0 (off by 4.8 %"),
        (["data", 0, "y"], [0.25], "$.data[0].y had 2 entries, now it has 1"),
        (["data", 0, "x", 1], "c", "$.data[0].x[1]: 'b' became 'c'"),
        (["data", 0, "n"], 4, "3 became 4 (whole numbers are exact)"),
        (["data", 0, "on"], False, "$.data[0].on: true became false"),
        (["data", 0, "z"], 0, "$.data[0].z: null became 0"),
        (["layout", "title"], {}, "$.layout.title.text is missing now"),
        (["layout", "width"], 300, "$.layout.width is new: 300"),
        (["layout"], [], '$.layout: {"title": {"text": "share 0.5 of a"}} became []'),
    ],
)
def test_json_differences_are_named(path, value, words):
    (message,) = changed(path, value)
    assert message.startswith(words) or words in message


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def display(**data):
    kinds = {"plain": "text/plain", "html": "text/html", "png": "image/png"}
    kinds["figure"] = "application/vnd.plotly.v1+json"
    return {"output_type": "display_data", "data": {kinds[k]: v for k, v in data.items()}}


@pytest.mark.parametrize(
    ("stored", "fresh", "words"),
    [
        ([stream("a")], [], "output 1 is missing now: stored was stdout 'a'"),
        ([], [stream("a")], "output 1 is new: stdout 'a'"),
        ([stream("a")], [stream("a", "stderr")], "output 1 was stdout, now it is stderr"),
        ([display(plain="a")], [display(plain="a", html="b")], "was text/plain, now it is"),
        ([display(png="AAAA", plain="x")], [display(plain="x")], "was image/png + text/plain"),
        ([display(html="<b>1.5</b>")], [display(html="<b>1.6</b>")], "1.5 became 1.6"),
        ([display(html="<b>1.5</b>")], [display(html="<i>1.5</i>")], "became"),
        (
            [display(figure={"y": [1.5]}, html="f(1.5)")],
            [display(figure={"y": [1.5]}, html="g(1.5)")],
            "'f(' became 'g('",
        ),
        (
            [{"output_type": "error", "ename": "KeyError", "evalue": "a"}],
            [{"output_type": "error", "ename": "ValueError", "evalue": "a"}],
            "was the error KeyError, now it is the error ValueError",
        ),
    ],
)
def test_outputs_that_differ(stored, fresh, words):
    (message,) = differences(stored, fresh, Tolerance())
    assert words in message


def test_pictures_are_not_compared_but_have_to_be_there():
    assert differences([display(png="AAAA")], [display(png="BBBB")], Tolerance()) == []


def test_numbers_of_a_figure_are_compared_once_in_its_json():
    old = display(figure={"y": [1.5]}, html="f(1.5)")
    new = display(figure={"y": [1.6]}, html="f(1.6)")
    (message,) = differences([old], [new], Tolerance())
    assert "$.y[0]: 1.5 became 1.6" in message


def sanitized(text):
    for pattern, replacement in get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8")):
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<object at 0x7f12ab34cd>", "<object at 0x55aa00bb11>"),
        ("took 2.5 s", "took 31 s"),
        ("trained in 12.3 seconds", "trained in 9 seconds"),
        ("123.4 it/s", "99 it/s"),
        ("1,234 tokens/s", "987 tokens/s"),
        ("Wall time: 12.3 ms", "Wall time: 15 s"),
        ("2024-05-01 12:13:14", "2026-01-02 03:04:05"),
        ("<img src='data:image/png;base64,AAAA='>", "<img src='data:image/png;base64,BBB='>"),
    ],
)
def test_what_differs_on_every_run_is_replaced(one, other):
    assert sanitized(one) == sanitized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("reading the weights: 2.5 s", "reading the weights: 31 s"),  # computed, not measured
        ("0x1f", "0x2f"),
        ("loss 2.5", "loss 2.6"),
    ],
)
def test_what_is_computed_is_compared(one, other):
    assert sanitized(one) != sanitized(other)

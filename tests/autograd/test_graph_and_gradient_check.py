"""The drawing is well-formed and truthful; the gradient check finds wrong derivatives."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from llmlib.autograd import MLP, Value, gradient_error, graph_svg, numerical_gradient
from llmlib.autograd import graph as graph_module

SVG = "{http://www.w3.org/2000/svg}"


def drawn(root, **options):
    return ET.fromstring(graph_svg(root, **options))


def boxes(svg):
    return [
        tuple(float(r.get(k)) for k in ("x", "y", "width", "height"))
        for r in svg.findall(f"{SVG}rect")
        if r.get("x") and r.get("class") != "slope"
    ]


def test_one_box_per_value_and_one_arrow_per_parent():
    x = Value(0.5, label="x < y & 'z'")
    loss = (x * x + 1).tanh()
    loss.backward()
    svg = drawn(loss)
    assert len(boxes(svg)) == 4 + 1
    arrows = [p for p in svg.findall(f"{SVG}path") if p.get("marker-end")]
    assert len(arrows) == 2 + 2 + 1
    texts = [t.text for t in svg.findall(f"{SVG}text")]
    assert "x < y & 'z'" in texts
    assert f"grad {x.grad:.2f}" in texts


def test_boxes_do_not_overlap_and_arrows_point_down():
    loss = MLP((2, 3, 1))([0.3, -0.2])[0]
    svg = drawn(loss)
    width, height = float(svg.get("width")), float(svg.get("height"))
    placed = boxes(svg)
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in placed)
    for (x1, y1, w, h), (x2, y2, _, _) in itertools.combinations(placed, 2):
        assert abs(x1 - x2) >= w or abs(y1 - y2) >= h
    for path in svg.findall(f"{SVG}path"):
        numbers = [float(n) for n in re.findall(r"-?\d+", path.get("d"))]
        assert numbers[1] < numbers[-1]


def test_an_arrow_over_several_rows_passes_between_the_boxes():
    a = Value(2.0, label="a")
    svg = drawn((a * 3).tanh().exp() + a)
    (long_arrow,) = [p.get("d") for p in svg.findall(f"{SVG}path") if "V" in p.get("d")]
    stops = re.findall(r"(-?\d+) (-?\d+)V(-?\d+)", long_arrow)
    assert len(stops) == 3  # the rows of the product, of tanh and of exp
    for x, top, bottom in ([float(n) for n in stop] for stop in stops):
        beside = [box for box in boxes(svg) if top <= box[1] < bottom]
        assert beside
        assert all(not left <= x <= left + width for left, _, width, _ in beside)


def test_gradients_and_derivatives_can_be_left_out():
    a = Value(2.0)
    text = graph_svg(a * 3, show_gradients=False, show_derivatives=False)
    assert "grad" not in text
    assert text.count("<text") == 3 + 1  # three numbers, one operation name


def test_the_drawing_is_the_same_every_time():
    def picture():
        a = Value(2.0, label="a")
        return graph_svg((a * 3).tanh() + a)

    assert picture() == picture()


def test_large_graphs_are_refused():
    with pytest.raises(ValueError, match="more than the 10 that fit"):
        graph_svg(MLP((2, 8, 2))([1.0, 2.0])[0], max_values=10)


def test_colours_are_the_palette():
    palette = pytest.importorskip("llmlib.viz").COLORS
    for name in ("INK", "GREY", "PAPER", "BLUE", "ORANGE"):
        assert getattr(graph_module, name) == palette[name.lower()]


def test_numerical_gradient_converges_quadratically():
    def error(epsilon):
        (slope,) = numerical_gradient(lambda v: v[0].exp(), [1.0], epsilon=epsilon)
        return abs(slope - 2.718281828459045)

    assert error(1e-2) / error(1e-3) == pytest.approx(100, rel=0.05)


def test_gradient_error_finds_a_forgotten_path():
    def forgets_the_second_use(v):
        x = v[0]
        return Value.from_operation(x.data**2, [x], [x.data], "x·x")  # 2x is right

    assert gradient_error(lambda v: v[0] * v[0], [3.0]) < 1e-9
    assert gradient_error(forgets_the_second_use, [3.0]) == pytest.approx(0.5, abs=1e-6)


def test_gradient_error_of_a_network():
    model = MLP((2, 4, 1), Value.gelu)
    assert gradient_error(lambda v: model(v)[0], [0.4, -0.9]) < 1e-9


def test_epsilon_must_be_positive():
    with pytest.raises(ValueError, match="epsilon 0"):
        numerical_gradient(lambda v: v[0], [1.0], epsilon=0)

"""The scalar engine: worked examples, calculus rules, and what it refuses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.autograd import Value, gradient_error, mean, topological_order, weighted_sum

numbers = st.floats(-3, 3, allow_nan=False)


def test_worked_example_by_hand():
    # L = (a b + c) · c with a = 2, b = -3, c = 10: d = 4, L = 40.
    a, b, c = Value(2.0), Value(-3.0), Value(10.0)
    d = a * b + c
    loss = d * c
    loss.backward()
    assert loss.data == 40.0
    assert d.grad == 10.0  # dL/dd = c
    assert (a.grad, b.grad) == (-30.0, 20.0)  # c·b and c·a
    assert c.grad == 14.0  # through the sum (10) and through the product (4)


def test_a_value_used_in_many_places_sums_its_gradients():
    x = Value(1.5)
    y = x * x * x + x  # 3 x² + 1
    y.backward()
    assert x.grad == pytest.approx(3 * 1.5**2 + 1)


def test_diamond_is_not_counted_twice():
    # The middle value is reached by two paths: its own gradient must be complete before it sends.
    x = Value(2.0)
    middle = x * 3
    out = middle * middle + middle
    out.backward()
    assert middle.grad == 2 * 6 + 1
    assert x.grad == 3 * (2 * 6 + 1)


def test_leaf_gradients_accumulate_and_inner_ones_do_not():
    x = Value(3.0)
    square = x * x
    out = square * 2
    out.backward()
    out.backward()
    assert x.grad == 2 * 12.0
    assert square.grad == 2.0


def test_topological_order_puts_parents_first():
    a, b = Value(1.0), Value(2.0)
    c = a * b
    root = (c + a).tanh() * c
    order = topological_order(root)
    place = {value: i for i, value in enumerate(order)}
    assert len(order) == len(place)
    assert order[-1] is root
    assert all(place[p] < place[v] for v in order for p in v.parents)


def test_a_chain_deeper_than_the_recursion_limit():
    x = Value(1.0)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    y.backward()
    assert x.grad == 1.0


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (lambda x: 2 - x, lambda x: -1.0),
        (lambda x: 2 / x, lambda x: -2 / x**2),
        (lambda x: x / 4, lambda x: 0.25),
        (lambda x: 3 + x, lambda x: 1.0),
        (lambda x: -x, lambda x: -1.0),
        (lambda x: x**3, lambda x: 3 * x**2),
        (lambda x: x**0, lambda x: 0.0),
        (lambda x: x**-1.5, lambda x: -1.5 * x**-2.5),
        (Value.exp, math.exp),
        (Value.log, lambda x: 1 / x),
        (Value.tanh, lambda x: 1 / math.cosh(x) ** 2),
        (Value.sigmoid, lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2),
    ],
)
def test_derivatives_against_the_formula(function, derivative):
    for number in (0.3, 1.0, 2.7):
        x = Value(number)
        function(x).backward()
        assert x.grad == pytest.approx(derivative(number), rel=1e-12)


@given(numbers, numbers, numbers, numbers)
def test_weighted_sum_equals_its_plain_twin(w1, w2, x1, x2):
    def grown(use_plain):
        w, x, b = [Value(w1), Value(w2)], [Value(x1), Value(x2)], Value(0.25)
        if use_plain:
            out = sum((a * c for a, c in zip(w, x, strict=True)), b)
        else:
            out = weighted_sum(w, x, b)
        out = out * out
        out.backward()
        return [out.data, *(v.grad for v in (*w, *x, b))]

    assert grown(True) == pytest.approx(grown(False), abs=1e-12)


def test_weighted_sum_takes_plain_numbers_and_a_plain_bias():
    w = [Value(2.0)]
    out = weighted_sum(w, [4.0], 1.0)
    out.backward()
    assert (out.data, w[0].grad, len(out.parents)) == (9.0, 4.0, 1)


@given(st.lists(numbers, min_size=1, max_size=6))
def test_mean_equals_its_plain_twin(data):
    fast, plain = [Value(x) for x in data], [Value(x) for x in data]
    one = mean([v * v for v in fast])
    two = sum((v * v for v in plain), Value(0.0)) / len(data)
    one.backward()
    two.backward()
    assert one.data == pytest.approx(two.data, abs=1e-12)
    assert [v.grad for v in fast] == pytest.approx([v.grad for v in plain], abs=1e-12)


@given(numbers)
def test_activations_agree_with_the_difference_quotient(x):
    smooth = (Value.sigmoid, Value.tanh, Value.gelu)
    kinked = (Value.relu, Value.leaky_relu)
    for function in (*smooth, *(kinked if abs(x) > 1e-3 else ())):
        assert gradient_error(lambda v, f=function: f(v[0]), [x]) < 1e-7


def test_slope_at_the_kink():
    for function, slope in ((Value.relu, 0.0), (Value.leaky_relu, 0.01)):
        x = Value(0.0)
        function(x).backward()
        assert x.grad == slope


def test_extreme_inputs_stay_finite():
    for number in (-1e4, 1e4):
        for function in (Value.sigmoid, Value.tanh, Value.gelu):
            x = Value(number)
            y = function(x)
            y.backward()
            assert math.isfinite(y.data)
            assert math.isfinite(x.grad)


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda: Value(0.0).log(), ValueError, r"log\(0\).*greater than 0"),
        (lambda: Value(1e3).exp(), OverflowError, "limit 709"),
        (lambda: Value(1.0) / 0, ZeroDivisionError, "keep the divisor"),
        (lambda: Value(-2.0) ** 0.5, ValueError, "not a real number"),
        (lambda: Value(0.0) ** 0.5, ValueError, "away from 0"),
        (lambda: Value(2.0) ** Value(2.0), TypeError, "must be a number"),
        (lambda: mean([]), ValueError, "at least one"),
        (lambda: weighted_sum([Value(1.0)], [1.0, 2.0]), ValueError, "1 weights but 2 inputs"),
        (lambda: Value.from_operation(1.0, [Value(1.0)], [], "f"), ValueError, "one derivative"),
    ],
)
def test_errors_say_what_to_do(action, error, message):
    with pytest.raises(error, match=message):
        action()


def test_repr_shows_data_gradient_and_label():
    assert repr(Value(1.23456, label="w")) == "Value(data=1.235, grad=0, label='w')"

r"""Numbers that remember how they were made, and send derivatives back along that memory.

Every operation on a :class:`Value` makes a new one that keeps two things: its *parents* (the
values it was computed from) and its *local gradients* (the derivative of the result with respect
to each parent, evaluated at the present numbers). That is all the chain rule needs:

.. math::

    \frac{\partial L}{\partial p} = \sum_{v \,:\, p \in \mathrm{parents}(v)}
        \frac{\partial L}{\partial v} \cdot \frac{\partial v}{\partial p}

=======================  =====================================  ===============================
code                     symbol                                 meaning
=======================  =====================================  ===============================
``data``                 :math:`v`                              the number, in double precision
``grad``                 :math:`\partial L / \partial v`        filled in by ``backward``
``parents``              :math:`p_1, \dots, p_n`                what the number was made from
``local_gradients``      :math:`\partial v / \partial p_i`      one number per parent
=======================  =====================================  ===============================

References: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
Nature 323, 1986; Baydin, Pearlmutter, Radul and Siskind, "Automatic differentiation in machine
learning: a survey", JMLR 18, 2018.

Differs from PyTorch in that every value is one number and every operation is run by Python. The
rules are the same: gradients *add up* on leaves until they are set back to zero, and a second
``backward`` through the same expression adds the same gradient again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Value", "mean", "topological_order", "weighted_sum"]

_SQRT_HALF = math.sqrt(0.5)
_NORMAL_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


class Value:
    """One number in an expression, with its derivative.

    Parameters
    ----------
    data : float
        The number.
    label : str, keyword only
        A name shown by :func:`llmlib.autograd.graph_svg`.

    Examples
    --------
    By hand: for ``L = a * b + a`` the derivative is ``b + 1`` in ``a`` and ``a`` in ``b``.

    >>> a, b = Value(2.0), Value(-3.0)
    >>> L = a * b + a
    >>> L.data
    -4.0
    >>> L.backward()
    >>> a.grad, b.grad
    (-2.0, 2.0)
    """

    __slots__ = ("data", "grad", "label", "local_gradients", "operation", "parents")

    def __init__(self, data: float, *, label: str = "") -> None:
        self.data = float(data)
        self.grad = 0.0
        self.parents: tuple[Value, ...] = ()
        self.local_gradients: tuple[float, ...] = ()
        self.operation = ""
        self.label = label

    @classmethod
    def from_operation(
        cls,
        data: float,
        parents: Sequence[Value],
        local_gradients: Sequence[float],
        operation: str,
    ) -> Value:
        """Make the result of an operation: this is how a new operation is added to the engine.

        Parameters
        ----------
        data : float
            The result.
        parents : sequence of Value
            What it was computed from; the same value may stand there twice.
        local_gradients : sequence of float
            Derivative of the result with respect to each parent, in the same order.
        operation : str
            A short name for the drawing.

        Examples
        --------
        The sine is not built in; three lines add it.

        >>> def sin(x):
        ...     return Value.from_operation(math.sin(x.data), [x], [math.cos(x.data)], "sin")
        >>> x = Value(0.0)
        >>> sin(x).backward()
        >>> x.grad
        1.0
        """
        if len(parents) != len(local_gradients):
            raise ValueError(
                f"{operation!r} has {len(parents)} parents but {len(local_gradients)} local "
                "gradients; give one derivative for each parent"
            )
        value = cls(data)
        value.parents = tuple(parents)
        value.local_gradients = tuple(local_gradients)
        value.operation = operation
        return value

    # Arithmetic ---------------------------------------------------------------------------

    def __add__(self, other: Value | float) -> Value:
        other = _as_value(other)
        return _node(self.data + other.data, (self, other), (1.0, 1.0), "+")

    def __mul__(self, other: Value | float) -> Value:
        other = _as_value(other)
        return _node(self.data * other.data, (self, other), (other.data, self.data), "×")

    def __pow__(self, exponent: float) -> Value:
        """Raise to a fixed power (the exponent is a number, not a :class:`Value`)."""
        if isinstance(exponent, Value):
            raise TypeError("the exponent must be a number; for a**b write (b * a.log()).exp()")
        if self.data == 0.0 and exponent < 1 and exponent != 0:
            raise ValueError(
                f"0 ** {exponent} has no finite value and derivative; keep the base away from 0 "
                "(add a small constant)"
            )
        if self.data < 0.0 and not float(exponent).is_integer():
            raise ValueError(
                f"{self.data} ** {exponent} is not a real number; the base must be positive"
            )
        slope = exponent * self.data ** (exponent - 1) if exponent != 0 else 0.0
        return _node(self.data**exponent, (self,), (slope,), f"^{exponent}")

    def __neg__(self) -> Value:
        return self * -1.0

    def __sub__(self, other: Value | float) -> Value:
        other = _as_value(other)
        return _node(self.data - other.data, (self, other), (1.0, -1.0), "-")

    def __truediv__(self, other: Value | float) -> Value:
        other = _as_value(other)
        if other.data == 0.0:
            raise ZeroDivisionError(f"{self.data} / 0; keep the divisor away from 0")
        inverse = 1.0 / other.data
        local = (inverse, -self.data * inverse * inverse)
        return _node(self.data * inverse, (self, other), local, "÷")

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: float) -> Value:
        return _as_value(other) - self

    def __rtruediv__(self, other: float) -> Value:
        return _as_value(other) / self

    # Functions ----------------------------------------------------------------------------

    def exp(self) -> Value:
        """Exponential; its derivative is itself."""
        if self.data > 709.0:
            raise OverflowError(
                f"exp({self.data:g}) is larger than a double can hold (limit 709); "
                "subtract the largest value first, as cross_entropy does"
            )
        result = math.exp(self.data)
        return _node(result, (self,), (result,), "exp")

    def log(self) -> Value:
        """Natural logarithm of a positive number."""
        if self.data <= 0.0:
            raise ValueError(f"log({self.data:g}): the argument must be greater than 0")
        return _node(math.log(self.data), (self,), (1.0 / self.data,), "log")

    # Activations --------------------------------------------------------------------------

    def sigmoid(self) -> Value:
        """1 / (1 + exp(-x)), computed so that neither sign overflows."""
        if self.data >= 0:
            result = 1.0 / (1.0 + math.exp(-self.data))
        else:
            small = math.exp(self.data)
            result = small / (1.0 + small)
        return _node(result, (self,), (result * (1.0 - result),), "sigmoid")

    def tanh(self) -> Value:
        """Hyperbolic tangent; its derivative is 1 - tanh²."""
        result = math.tanh(self.data)
        return _node(result, (self,), (1.0 - result * result,), "tanh")

    def relu(self) -> Value:
        """max(0, x). At x = 0 the slope is taken as 0, as PyTorch does."""
        positive = self.data > 0
        return _node(self.data if positive else 0.0, (self,), (float(positive),), "relu")

    def leaky_relu(self, slope: float = 0.01) -> Value:
        """The number itself where positive, ``slope`` times it elsewhere (``slope`` at 0 too)."""
        factor = 1.0 if self.data > 0 else slope
        return _node(self.data * factor, (self,), (factor,), "leaky_relu")

    def gelu(self) -> Value:
        """Number times Φ(number), Φ the normal distribution function (exact, not by tanh)."""
        x = self.data
        probability = 0.5 * (1.0 + math.erf(x * _SQRT_HALF))
        density = _NORMAL_DENSITY * math.exp(-0.5 * x * x)
        return _node(x * probability, (self,), (probability + x * density,), "gelu")

    # Derivatives --------------------------------------------------------------------------

    def backward(self) -> None:
        """Fill ``grad`` with the derivative of this value in everything it was made from.

        Gradients of leaves (values not made by an operation) add to what is already there; set
        them to zero before a new step. Values in between are overwritten.

        Examples
        --------
        A value used twice receives a gradient from each use:

        >>> x = Value(3.0)
        >>> y = x * x
        >>> y.backward()
        >>> x.grad
        6.0
        """
        order = topological_order(self)
        for value in order:
            if value.parents:
                value.grad = 0.0
        self.grad += 1.0
        for value in reversed(order):
            for parent, local in zip(value.parents, value.local_gradients, strict=True):
                parent.grad += value.grad * local

    def __repr__(self) -> str:
        name = f", label={self.label!r}" if self.label else ""
        return f"Value(data={self.data:.4g}, grad={self.grad:.4g}{name})"


def topological_order(root: Value) -> list[Value]:
    """All values that ``root`` was made from, each after its parents, ``root`` last.

    Written with a list instead of recursion, so that an expression may be deeper than Python's
    recursion limit.

    Examples
    --------
    >>> a = Value(1.0, label="a")
    >>> b = a + 1; b.label = "b"
    >>> [value.label or value.data for value in topological_order(b * a)]
    ['a', 1.0, 'b', 2.0]
    """
    order: list[Value] = []
    seen: set[Value] = set()
    stack: list[tuple[Value, bool]] = [(root, False)]
    while stack:
        value, parents_done = stack.pop()
        if parents_done:
            order.append(value)
        elif value not in seen:
            seen.add(value)
            stack.append((value, True))
            stack.extend((parent, False) for parent in reversed(value.parents))
    return order


def weighted_sum(
    weights: Sequence[Value], inputs: Sequence[Value | float], bias: Value | float = 0.0
) -> Value:
    """``sum(w * x) + bias`` as one operation instead of a chain of them.

    Its plain twin is ``sum((w * x for w, x in zip(weights, inputs)), bias)``: the same number and
    the same gradients from about eight times as many values. Inputs that are plain numbers get no
    gradient.

    Parameters
    ----------
    weights : sequence of Value, length D
    inputs : sequence of Value or float, length D
    bias : Value or float

    Examples
    --------
    >>> w = [Value(2.0), Value(-1.0)]
    >>> out = weighted_sum(w, [3.0, 5.0], Value(0.5))
    >>> out.data
    1.5
    >>> out.backward()
    >>> [v.grad for v in w]
    [3.0, 5.0]
    """
    if len(weights) != len(inputs):
        raise ValueError(
            f"{len(weights)} weights but {len(inputs)} inputs; a neuron needs one input per weight"
        )
    parents: list[Value] = list(weights)
    numbers = [x.data if isinstance(x, Value) else float(x) for x in inputs]
    local_gradients = list(numbers)
    total = sum(w.data * x for w, x in zip(weights, numbers, strict=True))
    for weight, x in zip(weights, inputs, strict=True):
        if isinstance(x, Value):
            parents.append(x)
            local_gradients.append(weight.data)
    if isinstance(bias, Value):
        parents.append(bias)
        local_gradients.append(1.0)
        total += bias.data
    else:
        total += bias
    return _node(total, tuple(parents), tuple(local_gradients), "w·x+b")


def mean(values: Sequence[Value]) -> Value:
    """Average of some values, as one operation.

    Examples
    --------
    >>> a, b = Value(1.0), Value(5.0)
    >>> average = mean([a, b])
    >>> average.backward()
    >>> average.data, a.grad
    (3.0, 0.5)
    """
    if not values:
        raise ValueError("the mean of no values is not defined; give at least one value")
    share = 1.0 / len(values)
    total = sum(value.data for value in values)
    return _node(total * share, tuple(values), (share,) * len(values), "mean")


def _as_value(number: Value | float) -> Value:
    return number if isinstance(number, Value) else Value(number)


def _node(
    data: float, parents: tuple[Value, ...], local_gradients: tuple[float, ...], operation: str
) -> Value:
    """Make a result without the checks of :meth:`Value.from_operation`: this runs per number."""
    value = Value(data)
    value.parents = parents
    value.local_gradients = local_gradients
    value.operation = operation
    return value

r"""Is a derivative right? Compare it with a difference quotient.

.. math::

    \frac{\partial f}{\partial x_i} \approx \frac{f(x + \epsilon e_i) - f(x - \epsilon e_i)}
    {2\epsilon}

The symmetric quotient is wrong by a term of order :math:`\epsilon^2`, the one-sided one by a term
of order :math:`\epsilon`. Too small an :math:`\epsilon` loses digits to cancellation; in double
precision about 1e-5 to 1e-6 balances the two.

=====================  =======================  ==================================
code                   symbol                   shape
=====================  =======================  ==================================
``function``           :math:`f`                list of D Values to one Value
``point``              :math:`x`                ``(D,)`` numbers
``epsilon``            :math:`\epsilon`         one number
=====================  =======================  ==================================

Reference: Nocedal and Wright, "Numerical Optimization", 2nd edition, section 8.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .value import Value

__all__ = ["gradient_error", "numerical_gradient"]

Function = Callable[[list[Value]], Value]


def numerical_gradient(
    function: Function, point: Sequence[float], *, epsilon: float = 1e-5
) -> list[float]:
    """Gradient by symmetric difference quotients: two evaluations per coordinate.

    Examples
    --------
    >>> [round(g, 6) for g in numerical_gradient(lambda x: x[0] * x[0] * x[1], [2.0, 5.0])]
    [20.0, 4.0]
    """
    if epsilon <= 0:
        raise ValueError(f"epsilon {epsilon} must be greater than 0")
    gradient = []
    for i in range(len(point)):
        sides = []
        for step in (epsilon, -epsilon):
            moved = [Value(x + step * (i == j)) for j, x in enumerate(point)]
            sides.append(function(moved).data)
        gradient.append((sides[0] - sides[1]) / (2 * epsilon))
    return gradient


def gradient_error(function: Function, point: Sequence[float], *, epsilon: float = 1e-5) -> float:
    """Largest disagreement between ``backward`` and the difference quotient.

    Measured per coordinate as ``|a - n| / max(1, |a|, |n|)``: relative for large derivatives,
    absolute for small ones. Near 1e-9 is right; 1e-3 and more is a bug or a kink.

    Examples
    --------
    >>> gradient_error(lambda x: (x[0] * x[1]).tanh(), [0.3, -0.7]) < 1e-8
    True

    A derivative that was written down wrongly is seen at once:

    >>> def wrong_square(x):
    ...     return Value.from_operation(x[0].data ** 2, [x[0]], [x[0].data], "square")
    >>> round(gradient_error(wrong_square, [3.0]), 2)
    0.5
    """
    leaves = [Value(x) for x in point]
    function(leaves).backward()
    numeric = numerical_gradient(function, point, epsilon=epsilon)
    errors = [
        abs(leaf.grad - n) / max(1.0, abs(leaf.grad), abs(n))
        for leaf, n in zip(leaves, numeric, strict=True)
    ]
    return max(errors, default=0.0)

"""A calculator that reads an expression and runs no code.

The expression is parsed by Python's own parser into a tree, and the tree is walked: numbers and
operators have a meaning, everything else is refused. ``eval`` would do the same sums, and whatever
else somebody writes into a page that the model reads.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from fractions import Fraction

from llmlib.agents.tool import ToolError

__all__ = ["calculate"]

_LONGEST = 200
_LARGEST = 10**30
_OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


def calculate(expression: str) -> str:
    """Compute an arithmetic expression.

    Parameters
    ----------
    expression : str
        Numbers, parentheses and the operators ``+ - * / // % **``, such as 1900 - 1543.

    Raises
    ------
    ToolError
        The expression is no arithmetic, divides by zero, or becomes too large.

    Examples
    --------
    >>> calculate("1900 - 1543"), calculate("(1 + 2) / 4"), calculate("1 / 3")
    ('357', '0.75', '0.333333333333')
    """
    if len(expression) > _LONGEST:
        raise ToolError(f"the expression has {len(expression)} characters, more than {_LONGEST}")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ToolError(f"{expression!r} is no arithmetic expression") from None
    try:
        value = _value(tree.body)
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.12g}"


def _value(node: ast.AST) -> Fraction:
    """The value of a node; exact, since 0.1 + 0.2 is 0.3 for whoever asks a calculator."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = Fraction(repr(node.value)) if abs(node.value) <= _LARGEST else None
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _value(node.operand)
        value = -inner if isinstance(node.op, ast.USub) else inner
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow) and (abs(right) > 100 or right.denominator != 1):
            raise ToolError("exponents are whole numbers from -100 to 100")
        value = Fraction(_OPERATORS[type(node.op)](left, right))
    else:
        raise ToolError(f"{ast.unparse(node)!r} is no arithmetic: give numbers and + - * / // % **")
    if value is None or max(abs(value.numerator), value.denominator) > _LARGEST**2:
        raise ToolError("the result is too large")
    return value

"""Tools: schemas from types, arguments checked, errors as texts; the calculator."""

import json
import math
from fractions import Fraction
from typing import Literal, Optional

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.agents import Tool, ToolError, argument_errors, calculate, python_tool
from llmlib.generation import compile_schema


def travel(
    place: str,
    days: int,
    budget: float = 10.0,
    tags: list[str] = [],  # noqa: B006
    how: Literal["train", "boat"] = "train",
    back: bool | None = None,
) -> str:
    """Plan a journey.

    More about it.

    Parameters
    ----------
    place : str
        Where to,
        exactly.
    days, budget : int, float
        How much of it.

    Returns
    -------
    str
        Not a parameter.
    """
    return f"{place} {days} {budget} {tags} {how} {back}"


TOOL = Tool.from_function(travel)


def test_the_schema_of_a_function():
    assert (TOOL.name, TOOL.description) == ("travel", "Plan a journey.")
    assert TOOL.parameters["required"] == ["place", "days"]
    assert TOOL.parameters["properties"] == {
        "place": {"type": "string", "description": "Where to, exactly."},
        "days": {"type": "integer", "description": "How much of it."},
        "budget": {"type": "number", "description": "How much of it."},
        "tags": {"type": "array", "items": {"type": "string"}},
        "how": {"enum": ["train", "boat"]},
        "back": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    }
    jsonschema.Draft202012Validator.check_schema(TOOL.parameters)
    assert TOOL.specification["function"]["parameters"] is TOOL.parameters
    assert Tool.from_function(travel, name="go").name == "go"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
    | st.sampled_from(["train", "boat"]),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
NAMES = st.sampled_from([*TOOL.parameters["properties"], "else"])


@given(st.dictionaries(NAMES, VALUES, max_size=7))
def test_errors_equal_those_of_jsonschema(arguments):
    """The same verdict as the library that is made for it."""
    validator = jsonschema.Draft202012Validator(TOOL.parameters)
    found = argument_errors(arguments, TOOL.parameters)
    # 3.0 is an integer for JSON Schema; for a Python function it is not.
    strict = arguments | {"days": 0.5} if isinstance(arguments.get("days"), float) else arguments
    assert bool(found) == (not validator.is_valid(strict))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"place": "Rome"}, "days is missing"),
        ({"place": "Rome", "days": "3"}, "days: '3' is no integer"),
        ({"place": "Rome", "days": True}, "days: True is no integer"),
        ({"place": 3, "days": 3}, "place: 3 is no string"),
        ({"place": "Rome", "days": 3, "tags": ["a", 1]}, "tags[1]: 1 is no string"),
        ({"place": "Rome", "days": 3, "how": "car"}, "how: 'car' is none of ['train', 'boat']"),
        ({"place": "Rome", "days": 3, "hotel": 1}, "hotel is unknown: give place, days"),
        ({"place": "Rome", "days": 3, "back": "yes"}, "back: 'yes' is no boolean"),
        ("Rome", "arguments: 'Rome' is no object"),
    ],
)
def test_wrong_arguments_become_a_text(arguments, message):
    result = TOOL.call(arguments)
    assert result.startswith("Error: ")
    assert message in result


def test_right_arguments_reach_the_function():
    result = TOOL.call({"place": "Rome", "days": 3, "budget": 4, "tags": ["a"], "back": True})
    assert result == "Rome 3 4 ['a'] train True"


def test_errors_and_results_become_texts():
    def broken(kind: str) -> object:
        if kind == "told":
            raise ToolError("no such village")
        if kind == "bug":
            raise KeyError("x")
        return {"a": [1, "é"]} if kind == "json" else {1, 2}

    tool = Tool.from_function(broken)
    assert tool.call({"kind": "told"}) == "Error: no such village"
    assert tool.call({"kind": "bug"}) == "Error: KeyError: 'x'"
    assert tool.call({"kind": "json"}) == '{"a": [1, "é"]}'
    assert tool.call({"kind": "set"}) == "{1, 2}"


def test_every_schema_of_a_tool_can_be_decoded():
    """Constrained decoding reads what tools are described with."""
    automaton = compile_schema(TOOL.parameters)
    arguments = {"place": "Rome", "days": 3, "how": "boat", "back": None}
    assert automaton.matches(json.dumps(arguments))
    assert not automaton.matches(json.dumps(arguments | {"how": "car"}))


def test_functions_without_a_schema():
    def untyped(a): ...
    def anything(a: dict): ...
    def many(*a: int): ...
    def in_place(a: int, /): ...
    def listed(a: list): ...

    for function, message in (
        (untyped, "a needs a type"),
        (anything, "no schema"),
        (many, "has no schema"),
        (in_place, "by name"),
        (listed, "no schema"),
    ):
        with pytest.raises(TypeError, match=message):
            Tool.from_function(function)

    def old(a: Optional[int] = None) -> int:  # noqa: UP045
        return 1

    assert Tool.from_function(old).call({"a": None}) == "1"


# --- the calculator ---

NUMBERS = st.integers(0, 10**6)


@given(st.recursive(
    NUMBERS.map(lambda n: (str(n), Fraction(n))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda t: (f"({t[0][0]} {t[1]} {t[2][0]})", combine(t[0][1], t[1], t[2][1]))
    ),
    max_leaves=4,
))  # fmt: skip
def test_it_computes(given_):
    expression, value = given_
    if value is None:
        with pytest.raises(ToolError, match="division by zero"):
            calculate(expression)
    elif value.denominator == 1:
        assert calculate(expression) == str(value.numerator)
    else:
        assert math.isclose(float(calculate(expression)), float(value), rel_tol=1e-11)


def combine(left, operation, right):
    if left is None or right is None:
        return None
    if operation == "/":
        return left / right if right else None
    return left + right if operation == "+" else left - right if operation == "-" else left * right


@pytest.mark.parametrize(
    ("expression", "result"),
    [("-3 + 1", "-2"), ("2 ** 10", "1024"), ("7 // 2", "3"), ("-7 % 3", "2"), ("0.1 + 0.2", "0.3"),
     (" 1900 - 1543 ", "357"), ("2 ** -1", "0.5"), ("1e3 * 2", "2000")],
)  # fmt: skip
def test_more_sums(expression, result):
    assert calculate(expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('ls')",
        "open('/etc/passwd').read()",
        "(1).__class__",
        "[1, 2]",
        "'a' * 3",
        "x + 1",
        "1 if 1 else 2",
        "True + 1",
        "1j * 1j",
        "10 ** 100 ** 100",
        "9 ** 99 ** 2",
        "2 ** 0.5",
        "1 +",
        "",
        "1; 2",
        "(" * 100 + "1" + ")" * 100,
        "1" * 201,
        "1e400",
        "10 ** 90",
        "1 / 0",
        "5 % 0",
        "0 ** -1",
        "print(1)",
        "lambda: 1",
    ],
)
def test_it_refuses(expression):
    with pytest.raises(ToolError):
        calculate(expression)


def test_the_interpreter_as_a_tool():
    tool = python_tool(seconds=2, weaker_ok=True)
    assert tool.parameters["required"] == ["code"]
    assert tool.parameters["properties"]["code"]["description"] == "The program."
    assert tool.call({"code": "print('Tarobe'[::-1])"}) == "eboraT"
    assert tool.call({"code": "1 / 0"}) == "Error: ZeroDivisionError: division by zero"
    assert "code is missing" in tool.call({"program": "1"})

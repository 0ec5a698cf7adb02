"""Tools: typed Python functions that a model may call.

A model knows a tool by three things: a name, a description, and a JSON schema of its arguments.
All stand in the function already: its name, its docstring, the types of its parameters.

=====================================  ==================================================
type of a parameter                    schema
=====================================  ==================================================
``str`` ``int`` ``float`` ``bool``     string, integer, number, boolean
``list[T]``                            array of the schema of ``T``
``Literal["a", "b"]``                  enum
``T | None``                           the schema of ``T``, or null
=====================================  ==================================================

A parameter with a default may be left out. What a model gives is checked before the function
sees it, and whatever goes wrong, in the arguments or in the function, becomes a text that the
model can read: an agent has to go on after an error, as a person would.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

__all__ = ["Tool", "ToolError", "argument_errors"]

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_OF_TYPE = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


class ToolError(Exception):
    """What a tool raises to tell the model that something cannot be done."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function that a model may call.

    Parameters
    ----------
    name : str
        How the model calls it.
    description : str
        What it does, for the model.
    parameters : dict
        JSON schema of its arguments, an object.
    function : callable
        Takes the arguments by name and gives anything that ``str`` can write.

    Examples
    --------
    >>> def repeat(text: str, times: int = 2) -> str:
    ...     '''Write a text several times.'''
    ...     return text * times
    >>> tool = Tool.from_function(repeat)
    >>> tool.parameters["required"], tool.call({"text": "ab", "times": 3})
    (['text'], 'ababab')
    >>> tool.call({"text": "ab", "times": "three"})
    "Error: times: 'three' is no integer"
    """

    name: str
    description: str
    parameters: dict[str, Any]
    function: Callable[..., Any]

    @classmethod
    def from_function(cls, function: Callable[..., Any], *, name: str | None = None) -> Tool:
        """Make a tool of a function with types and a docstring.

        The first line of the docstring describes the tool, and a section ``Parameters`` as in
        this library its parameters.

        Raises
        ------
        TypeError
            A parameter has no type, or one that has no schema; the message says which.
        """
        hints = get_type_hints(function)
        document = inspect.getdoc(function) or ""
        about = _parameter_descriptions(document)
        properties, required = {}, []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"{function.__name__}: *{parameter.name} has no schema")
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise TypeError(f"{function.__name__}: {parameter.name} has to be given by name")
            if parameter.name not in hints:
                raise TypeError(f"{function.__name__}: {parameter.name} needs a type")
            schema = _schema(hints[parameter.name], f"{function.__name__}: {parameter.name}")
            if parameter.name in about:
                schema["description"] = about[parameter.name]
            properties[parameter.name] = schema
            if parameter.default is parameter.empty:
                required.append(parameter.name)
        return cls(
            name=name or function.__name__,
            description=document.split("\n\n")[0].replace("\n", " "),
            parameters={
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            },
            function=function,
        )

    @property
    def specification(self) -> dict[str, Any]:
        """The tool as an OpenAI-compatible endpoint takes it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}

    def call(self, arguments: Mapping[str, Any]) -> str:
        """Call the function.

        Parameters
        ----------
        arguments : mapping
            As the model gave them.

        Returns
        -------
        str
            The result, or ``Error: ...``; nothing is raised.
        """
        errors = argument_errors(arguments, self.parameters)
        if errors:
            return "Error: " + "; ".join(errors)
        try:
            result = self.function(**arguments)
        except Exception as error:  # whatever it is, the model is to hear of it
            kind = "" if isinstance(error, ToolError) else f"{type(error).__name__}: "
            return f"Error: {kind}{error}"
        if isinstance(result, str):
            return result
        try:
            return json.dumps(result, ensure_ascii=False)
        except (TypeError, ValueError):
            return str(result)


def argument_errors(value: Any, schema: Mapping[str, Any], where: str = "") -> list[str]:
    """Say what is wrong with a value, for the schemas that tools have.

    Examples
    --------
    >>> schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    >>> argument_errors({"m": 3}, schema | {"additionalProperties": False})
    ['n is missing', 'm is unknown: give n']
    """
    name = where or "arguments"
    if "anyOf" in schema:
        found = [argument_errors(value, one, where) for one in schema["anyOf"]]
        return [] if any(not errors for errors in found) else found[0]
    if "enum" in schema:
        fits = any(type(value) is type(one) and value == one for one in schema["enum"])
        return [] if fits else [f"{name}: {value!r} is none of {schema['enum']}"]
    kind = schema["type"]
    if not _OF_TYPE[kind](value):
        article = "no" if kind != "null" else "not"
        return [f"{name}: {value!r} is {article} {kind}"]
    if kind == "array":
        places = enumerate(value)
        return [
            e for i, one in places for e in argument_errors(one, schema["items"], f"{name}[{i}]")
        ]
    if kind != "object":
        return []
    properties = schema["properties"]
    prefix = f"{where}." if where else ""
    errors = [f"{prefix}{key} is missing" for key in schema["required"] if key not in value]
    for key, one in value.items():
        if key in properties:
            errors += argument_errors(one, properties[key], f"{prefix}{key}")
        else:
            errors.append(f"{prefix}{key} is unknown: give {', '.join(properties) or 'nothing'}")
    return errors


def _schema(hint: Any, where: str) -> dict[str, Any]:
    origin = get_origin(hint)
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin is list and get_args(hint):
        return {"type": "array", "items": _schema(get_args(hint)[0], where)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(one, where) for one in get_args(hint)]}
    raise TypeError(
        f"{where} has the type {hint}, for which there is no schema: use str, int, float, bool, "
        "list[...], Literal[...] or a union of them"
    )


def _parameter_descriptions(document: str) -> dict[str, str]:
    """Parameter -> its description, from a section of the form that this library uses."""
    _, _, section = document.partition("\nParameters\n----------\n")
    section = re.split(r"\n\w+\n-{3,}\n", section)[0]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line[0].isspace():
            names = [name.strip() for name in line.split(":")[0].split(",")]
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found

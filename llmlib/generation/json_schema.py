r"""JSON schemas as regular languages: texts that parse, and have the fields they should.

===========================  =================================================================
keyword                      what it allows
===========================  =================================================================
``type``                     object, array, string, integer, number, boolean, null, or a list
``properties``,              the fields of an object, in the order of the schema; those that are
``required``                 not required may be left out; others never occur
``items``, ``minItems``,     elements of an array; any number unless it says otherwise
``maxItems``
``minLength``,               length of a string; any length unless it says otherwise
``maxLength``
``pattern``                  a regular expression ``^…$`` for a string
``enum``, ``const``          given values
``anyOf``, ``oneOf``         one of several schemas; for both, several may fit
``$ref``                     a schema under ``$defs``, which may not contain itself
===========================  =================================================================

A schema that contains itself (a tree, say) is not regular: brackets that open must be closed, to
any depth, and a finite automaton cannot count. What is not in the table is refused, not ignored.
``description``, ``title``, ``default``, ``$defs`` and ``$schema`` say nothing about the text.

The text is written as ``json.dumps`` does it, with ``", "`` and ``": "`` and no other white space:
a model that may write spaces for ever may do so. An integer has at most 15 digits, which every
reader of JSON keeps exactly.

References
----------
1. Bray (editor), *The JavaScript Object Notation (JSON) Data Interchange Format*, 2017, RFC 8259.
2. *JSON Schema: A Media Type for Describing JSON Documents*, 2020-12 draft.
"""

from __future__ import annotations

import json
from typing import Any

from llmlib.generation.automaton import (
    ANY,
    Automaton,
    Chars,
    Choice,
    Node,
    Repeat,
    Sequence,
    build_automaton,
    literal,
)
from llmlib.generation.regular import parse_regex

__all__ = ["compile_schema", "parse_schema"]

_SILENT = {"title", "description", "default", "examples", "$defs", "$schema", "$id"}
_OF_TYPE = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "pattern"},
    "integer": set(),
    "number": set(),
    "boolean": set(),
    "null": set(),
}
#: What must be written with a backslash in a string: control characters, quote, backslash.
_ESCAPED = Chars(((0, 31), (34, 34), (92, 92), (127, 127)))
_PLAIN = ANY.without(_ESCAPED)
_CHARACTER = Choice(
    (_PLAIN, parse_regex(r'\\(["\\bfnrt]|u([0-9a-cef][0-9a-f]{3}|d[0-7][0-9a-f]{2}))'))
)
_INTEGER = parse_regex(r"-?(0|[1-9]\d{0,14})")
_NUMBER = parse_regex(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?([eE][+-]?\d{1,2})?")


def compile_schema(
    schema: dict[str, Any], *, max_items: int | None = None, max_length: int | None = None
) -> Automaton:
    """Build the automaton of the JSON texts that a schema allows.

    Parameters
    ----------
    schema : dict
        See the table above.
    max_items, max_length : int, optional
        Of arrays and strings for which the schema has no limit. Without one they are as long as
        the model makes them, and end in time all the same: see
        :class:`~llmlib.generation.TokenConstraint`.

    Raises
    ------
    ValueError
        The schema is not supported, or no text fits it.

    Examples
    --------
    >>> point = compile_schema({
    ...     "type": "object",
    ...     "properties": {"x": {"type": "integer"}, "name": {"type": "string"}},
    ...     "required": ["x"],
    ... })
    >>> [point.matches(text) for text in ('{"x": 3}', '{"x": 3, "name": "a"}', '{"x": ""}')]
    [True, True, False]
    """
    return build_automaton(parse_schema(schema, max_items=max_items, max_length=max_length))


def parse_schema(
    schema: dict[str, Any], *, max_items: int | None = None, max_length: int | None = None
) -> Node:
    """Read a schema into nodes; see :func:`compile_schema`."""
    defs = schema.get("$defs", {}) if isinstance(schema, dict) else {}
    return _Reader(defs, max_items, max_length).read(schema, ())


class _Reader:
    def __init__(self, defs: dict[str, Any], max_items: int | None, max_length: int | None) -> None:
        self.defs, self.max_items, self.max_length = defs, max_items, max_length

    def read(self, schema: dict[str, Any], inside: tuple[str, ...]) -> Node:
        """The node of a schema; ``inside`` are the definitions that it stands in."""
        if not isinstance(schema, dict):
            raise ValueError(f"{schema!r} is no schema: give a dictionary with a type")
        keys = set(schema) - _SILENT
        for key in ("anyOf", "oneOf"):
            if key in keys:
                _only(schema, keys, {key})
                return Choice(tuple(self.read(part, inside) for part in schema[key]))
        if "$ref" in keys:
            _only(schema, keys, {"$ref"})
            return self._reference(schema["$ref"], inside)
        if "enum" in keys or "const" in keys:
            _only(schema, keys, {"enum", "const", "type"})
            values = [schema["const"]] if "const" in keys else schema["enum"]
            return Choice(tuple(literal(json.dumps(v, ensure_ascii=False)) for v in values))
        kind = schema.get("type")
        if isinstance(kind, list):
            return Choice(tuple(self.read(_as(schema, one), inside) for one in kind))
        if kind not in _OF_TYPE:
            raise ValueError(f"type {kind!r} is not supported: give one of {sorted(_OF_TYPE)}")
        _only(schema, keys, {"type"} | _OF_TYPE[kind])
        if kind == "object":
            return self._object(schema, inside)
        if kind == "array":
            return self._array(schema, inside)
        if kind == "string":
            return self._string(schema)
        simple = {
            "integer": _INTEGER,
            "number": _NUMBER,
            "boolean": Choice((literal("true"), literal("false"))),
            "null": literal("null"),
        }
        return simple[kind]

    def _reference(self, ref: str, inside: tuple[str, ...]) -> Node:
        name = ref.removeprefix("#/$defs/")
        if name not in self.defs:
            raise ValueError(f"$ref {ref!r}: there are definitions for {sorted(self.defs)}")
        if name in inside:
            raise ValueError(
                f"$ref {ref!r} is inside itself: such texts nest to any depth, which no finite "
                "automaton can follow"
            )
        return self.read(self.defs[name], (*inside, name))

    def _object(self, schema: dict[str, Any], inside: tuple[str, ...]) -> Node:
        properties = schema.get("properties", {})
        required = set(schema.get("required", ()))
        if schema.get("additionalProperties"):
            raise ValueError("additionalProperties: other fields than the given are not supported")
        if required - set(properties):
            raise ValueError(f"required {sorted(required - set(properties))}: not in properties")
        fields = [
            (
                Sequence(
                    (literal(json.dumps(name, ensure_ascii=False) + ": "), self.read(value, inside))
                ),
                name in required,
            )
            for name, value in properties.items()
        ]
        return Sequence((literal("{"), _fields(fields), literal("}")))

    def _array(self, schema: dict[str, Any], inside: tuple[str, ...]) -> Node:
        if "items" not in schema:
            raise ValueError("an array needs items: a schema of its elements")
        item = self.read(schema["items"], inside)
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", self.max_items)
        _ordered("Items", least, most)
        inner: Node = Sequence(())
        if most != 0:
            more = Sequence((literal(", "), item))
            rest = None if most is None else most - 1
            inner = Sequence((item, Repeat(more, max(least, 1) - 1, rest)))
            inner = inner if least else Repeat(inner, 0, 1)
        return Sequence((literal("["), inner, literal("]")))

    def _string(self, schema: dict[str, Any]) -> Node:
        if "pattern" in schema:
            pattern = schema["pattern"]
            if not (pattern.startswith("^") and pattern.endswith("$")) or len(schema) > 2 + len(
                set(schema) & _SILENT
            ):
                raise ValueError(f"pattern {pattern!r}: write ^…$, and no length beside it")
            inner = _unescaped(parse_regex(pattern))
        else:
            least = schema.get("minLength", 0)
            most = schema.get("maxLength", self.max_length)
            _ordered("Length", least, most)
            inner = Repeat(_CHARACTER, least, most)
        return Sequence((literal('"'), inner, literal('"')))


def _fields(fields: list[tuple[Node, bool]]) -> Node:
    """Fields in order, commas between those that are there.

    Either the first field is there, and every later one comes with a comma before it; or it is
    left out, and the rest is again such a list.
    """
    if not fields:
        return Sequence(())
    (first, needed), rest = fields[0], fields[1:]
    later: list[Node] = []
    for field, required in rest:
        with_comma = Sequence((literal(", "), field))
        later.append(with_comma if required else Repeat(with_comma, 0, 1))
    there = Sequence((first, *later))
    return there if needed else Choice((there, _fields(rest)))


def _unescaped(node: Node) -> Node:
    """The texts of a node that need no backslash in a JSON string."""
    if isinstance(node, Chars):
        return node.without(_ESCAPED)
    if isinstance(node, Repeat):
        return Repeat(_unescaped(node.part), node.least, node.most)
    return type(node)(tuple(_unescaped(part) for part in node.parts))


def _ordered(what: str, least: int, most: int | None) -> None:
    if least < 0 or (most is not None and most < least):
        raise ValueError(f"min{what} {least} and max{what} {most}: no text has both")


def _as(schema: dict[str, Any], kind: str) -> dict[str, Any]:
    """The schema with one of its types, and only the keywords of that type."""
    others = set().union(*_OF_TYPE.values()) - _OF_TYPE.get(kind, set())
    return {key: value for key, value in schema.items() if key not in others} | {"type": kind}


def _only(schema: dict[str, Any], keys: set[str], known: set[str]) -> None:
    if keys - known:
        raise ValueError(
            f"{sorted(keys - known)} in {json.dumps(schema)} is not supported beside "
            f"{sorted(keys & known)}"
        )

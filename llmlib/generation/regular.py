r"""Regular expressions, read into nodes of an automaton.

====================================  ===========================================================
written                               meaning
====================================  ===========================================================
``a``, ``\.``, ``\n``, ``\xe9``       a character
``.``                                 any character but a line feed
``[a-z_]``, ``[^"]``                  one of a set, or one that is not in it
``\d`` ``\w`` ``\s``                  digits, letters with ``_``, white space, all of ASCII; in
                                      capitals all others
``ab``, ``a|b``, ``(a)``, ``(?:a)``   after each other, one of, together
``a?`` ``a*`` ``a+`` ``a{2,5}``       how many times
====================================  ===========================================================

An expression stands for whole texts, as in ``re.fullmatch``; ``^`` at its beginning and ``$`` at
its end may be written. What looks around or back (``(?=``, ``\b``, ``\1``) is not regular or not
supported, and is refused. So are lazy quantifiers: they choose among matches, and here is but one
text.
"""

from __future__ import annotations

from llmlib.generation.automaton import (
    ANY,
    Automaton,
    Chars,
    Choice,
    Node,
    Repeat,
    Sequence,
    build_automaton,
)

__all__ = ["compile_regex", "parse_regex"]

_DIGIT = Chars(((48, 57),))
_WORD = Chars(((48, 57), (65, 90), (95, 95), (97, 122)))
_SPACE = Chars(((9, 13), (32, 32)))
_SETS = {"d": _DIGIT, "w": _WORD, "s": _SPACE} | {
    name: ANY.without(chars) for name, chars in (("D", _DIGIT), ("W", _WORD), ("S", _SPACE))
}
_CONTROLS = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "0": 0}
_HEX = {"x": 2, "u": 4, "U": 8}


def compile_regex(pattern: str) -> Automaton:
    """Build the automaton of a regular expression.

    Raises
    ------
    ValueError
        The expression is wrong or not supported; the message shows the place.

    Examples
    --------
    >>> year = compile_regex(r"(19|20)\\d{2}")
    >>> year.matches("1984"), year.matches("1884")
    (True, False)
    """
    return build_automaton(parse_regex(pattern))


def parse_regex(pattern: str) -> Node:
    """Read a regular expression.

    Examples
    --------
    >>> parse_regex("[ab]?")
    Repeat(part=Chars(ranges=((97, 98),)), least=0, most=1)
    """
    return _Parser(pattern).whole()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    def whole(self) -> Node:
        if self._next("^"):
            pass
        node = self._choice()
        if self.at < len(self.pattern):
            raise self._wrong("this closes nothing")
        return node

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._next("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            if self.pattern[self.at] == "$" and self.at == len(self.pattern) - 1:
                self.at += 1
                break
            parts.append(self._repeated())
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self) -> Node:
        node = self._one()
        begin = self.at
        if self._next("*"):
            node = Repeat(node, 0, None)
        elif self._next("+"):
            node = Repeat(node, 1, None)
        elif self._next("?"):
            node = Repeat(node, 0, 1)
        elif self._next("{"):
            least = self._number()
            most: int | None = least
            if self._next(","):
                most = None if self._looking_at("}") else self._number()
            if not self._next("}"):
                raise self._wrong("expected } here")
            if most is not None and most < least:
                raise self._wrong(f"{{{least},{most}}} is no range")
            node = Repeat(node, least, most)
        if self.at > begin and self.at < len(self.pattern) and self.pattern[self.at] in "*+?{":
            raise self._wrong("a second quantifier; lazy and possessive ones are not supported")
        return node

    def _one(self) -> Node:
        c = self.pattern[self.at]
        if c == "(":
            self.at += 1
            if self._next("?") and not self._next(":"):
                raise self._wrong("only ( and (?: are supported")
            node = self._choice()
            if not self._next(")"):
                raise self._wrong("expected ) here")
            return node
        if c == "[":
            return self._set()
        if c == "\\":
            return self._escape()
        if c in "*+?{":
            raise self._wrong("there is nothing to repeat")
        if c in "^$":
            raise self._wrong("anchors stand only at the two ends, and need not be written")
        self.at += 1
        return ANY.without(Chars(((10, 10),))) if c == "." else _single(c)

    def _escape(self) -> Chars:
        self.at += 1
        if self.at == len(self.pattern):
            raise self._wrong("nothing follows the backslash")
        c = self.pattern[self.at]
        self.at += 1
        if c in _SETS:
            return _SETS[c]
        if c in _CONTROLS:
            return _single(chr(_CONTROLS[c]))
        if c in _HEX:
            digits = self.pattern[self.at : self.at + _HEX[c]]
            try:
                if len(digits) < _HEX[c]:
                    raise ValueError
                value = chr(int(digits, 16))
            except (ValueError, OverflowError):
                raise self._wrong(f"\\{c} needs {_HEX[c]} digits of a character") from None
            self.at += _HEX[c]
            return _single(value)
        if c.isalnum():
            raise self._wrong(f"\\{c} is not supported")
        return _single(c)

    def _set(self) -> Chars:
        self.at += 1
        others = self._next("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self._looking_at("]"):
            first = False
            if self.at >= len(self.pattern):
                raise self._wrong("expected ] here")
            low = self._in_set()
            if self._looking_at("-") and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self._in_set()
                if len(low.ranges) != 1 or len(high.ranges) != 1 or low.ranges > high.ranges:
                    raise self._wrong("this is no range")
                (a, _), (_, b) = low.ranges[0], high.ranges[0]
                ranges.append((a, b))
            else:
                ranges += low.ranges
        self.at += 1
        chars = Chars(_joined(ranges))
        return ANY.without(chars) if others else chars

    def _in_set(self) -> Chars:
        if self._looking_at("\\"):
            return self._escape()
        self.at += 1
        return _single(self.pattern[self.at - 1])

    def _number(self) -> int:
        begin = self.at
        while self.at < len(self.pattern) and self.pattern[self.at] in "0123456789":
            self.at += 1
        if begin == self.at:
            raise self._wrong("expected a number here")
        return int(self.pattern[begin : self.at])

    def _looking_at(self, c: str) -> bool:
        return self.pattern[self.at : self.at + 1] == c

    def _next(self, c: str) -> bool:
        found = self._looking_at(c)
        self.at += found
        return found

    def _wrong(self, why: str) -> ValueError:
        before, after = self.pattern[: self.at], self.pattern[self.at :]
        return ValueError(f"in the expression {before}▸{after}: {why}")


def _single(c: str) -> Chars:
    return Chars(((ord(c), ord(c)),))


def _joined(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sorted, and ranges that touch made one."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)

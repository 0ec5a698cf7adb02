r"""Finite automata over bytes: which byte may come next, given those so far.

A text in a regular language is built from characters by three operations:

==========================  ===========================================  ==================
node                        texts it stands for                          written
==========================  ===========================================  ==================
:class:`Chars`              one character of a set                       ``[a-z]``
:class:`Sequence`           one part after the other                     ``ab``
:class:`Choice`             one of the parts                             ``a|b``
:class:`Repeat`             a part several times                         ``a*``, ``a{2,5}``
==========================  ===========================================  ==================

:func:`build_automaton` turns nodes into a table in two steps. *Thompson's construction* makes an
automaton that may be in several states at once; the *subset construction* makes each set of such
states one state. Tokens are pieces of UTF-8, so the automaton reads bytes: a character becomes a
sequence of up to four of them.

==============  ==================================================  =============
code            what it is                                          shape
==============  ==================================================  =============
``table``       next state for every state and byte; 0 is dead      ``(S, 256)``
``accepting``   whether the text may end here                       ``(S,)``
==============  ==================================================  =============

References
----------
1. Thompson, *Regular Expression Search Algorithm*, 1968, Communications of the ACM 11(6).
2. Rabin and Scott, *Finite Automata and Their Decision Problems*, 1959, IBM Journal of Research
   and Development 3(2) (subset construction).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import numpy as np

__all__ = [
    "Automaton",
    "Chars",
    "Choice",
    "Node",
    "Repeat",
    "Sequence",
    "build_automaton",
    "literal",
    "utf8_ranges",
]

_LAST = 0x10FFFF  # of the characters
_MOST_STATES = 20_000
#: More steps than any text has.
FAR = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Chars:
    """One character of a set, given by ranges of code points, both ends included.

    Examples
    --------
    >>> Chars(((97, 122),)).without(Chars(((101, 101),)))
    Chars(ranges=((97, 100), (102, 122)))
    """

    ranges: tuple[tuple[int, int], ...]

    def without(self, other: Chars) -> Chars:
        """The characters that are not in the other set."""
        left = list(self.ranges)
        for low, high in other.ranges:
            cut = []
            for a, b in left:
                cut += [(a, min(b, low - 1)), (max(a, high + 1), b)]
            left = [(a, b) for a, b in cut if a <= b]
        return Chars(tuple(sorted(set(left))))


@dataclass(frozen=True)
class Sequence:
    """The parts one after the other; without parts the empty text."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of the parts; without parts no text at all."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """The part from ``least`` to ``most`` times; None for any number of times."""

    part: Node
    least: int
    most: int | None


Node = Chars | Sequence | Choice | Repeat
#: Every character.
ANY = Chars(((0, _LAST),))


def literal(text: str) -> Sequence:
    """The node of one text.

    Examples
    --------
    >>> literal("ab").parts
    (Chars(ranges=((97, 97),)), Chars(ranges=((98, 98),)))
    """
    return Sequence(tuple(Chars(((ord(c), ord(c)),)) for c in text))


def utf8_ranges(low: int, high: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Write a range of characters as sequences of ranges of bytes.

    Examples
    --------
    >>> list(utf8_ranges(0x61, 0xFF))
    [((97, 127),), ((194, 195), (128, 191))]
    """
    # Surrogates are no characters; where the number of bytes changes, a sequence ends.
    for first, last in (
        (0, 0x7F),
        (0x80, 0x7FF),
        (0x800, 0xD7FF),
        (0xE000, 0xFFFF),
        (65536, _LAST),
    ):
        a, b = max(low, first), min(high, last)
        if a <= b:
            yield from _same_length(a, b, len(chr(first).encode()))


@cache
def _utf8_ranges(low: int, high: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    return tuple(utf8_ranges(low, high))


def _same_length(low: int, high: int, size: int) -> Iterator[tuple[tuple[int, int], ...]]:
    for i in range(1, size):
        rest = (1 << 6 * i) - 1  # what the last i bytes hold
        if low & ~rest != high & ~rest:
            if low & rest:
                yield from _same_length(low, low | rest, size)
                yield from _same_length((low | rest) + 1, high, size)
                return
            if high & rest != rest:
                yield from _same_length(low, (high & ~rest) - 1, size)
                yield from _same_length(high & ~rest, high, size)
                return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))


@dataclass
class _Several:
    """An automaton that may be in several states at once."""

    bytes: list[list[tuple[int, int, int]]] = field(default_factory=list)  # first, last, next
    free: list[list[int]] = field(default_factory=list)  # next, without reading

    def state(self) -> int:
        self.bytes.append([])
        self.free.append([])
        return len(self.bytes) - 1

    def add(self, node: Node, start: int) -> int:
        """Add a node that begins in a state; give the state in which it has been read."""
        end = self.state()
        if isinstance(node, Chars):
            for low, high in node.ranges:
                for ranges in _utf8_ranges(low, high):
                    at = start
                    for i, (first, last) in enumerate(ranges):
                        to = end if i == len(ranges) - 1 else self.state()
                        self.bytes[at].append((first, last, to))
                        at = to
        elif isinstance(node, Sequence):
            at = start
            for part in node.parts:
                at = self.add(part, at)
            self.free[at].append(end)
        elif isinstance(node, Choice):
            for part in node.parts:
                self.free[self.add(part, self._after(start))].append(end)
        else:
            at = start
            for _ in range(node.least):
                at = self.add(node.part, at)
            if node.most is None:
                again = self._after(at)
                self.free[self.add(node.part, again)].append(again)
                self.free[again].append(end)
            else:
                for _ in range(node.most - node.least):
                    self.free[at].append(end)
                    at = self.add(node.part, self._after(at))
                self.free[at].append(end)
        return end

    def _after(self, at: int) -> int:
        state = self.state()
        self.free[at].append(state)
        return state

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        """The states, and those reached from them without reading."""
        found = set(states)
        look = list(found)
        while look:
            for state in self.free[look.pop()]:
                if state not in found:
                    found.add(state)
                    look.append(state)
        return frozenset(found)


class Automaton:
    """A table that says which byte may come next.

    State 0 is dead: nothing leads out of it. From every other state a text of the language can be
    completed.

    Parameters
    ----------
    table : ndarray
        ``(S, 256)`` integers, the next state.
    accepting : ndarray
        ``(S,)`` boolean.
    start : int
        The state before the first byte.

    Examples
    --------
    >>> numbers = build_automaton(Repeat(Chars(((48, 57),)), 1, None))
    >>> numbers.matches("2024"), numbers.matches(""), numbers.matches("20a")
    (True, False, False)
    """

    def __init__(self, table: np.ndarray, accepting: np.ndarray, start: int) -> None:
        self.table, self.accepting, self.start = table, accepting, start

    def __len__(self) -> int:
        return len(self.table)

    def read(self, text: str | bytes, state: int | None = None) -> int:
        """The state after a text, from the start or another state."""
        state = self.start if state is None else state
        for byte in text.encode() if isinstance(text, str) else text:
            state = int(self.table[state, byte])
        return state

    def matches(self, text: str | bytes) -> bool:
        """Whether the whole text is in the language."""
        return bool(self.accepting[self.read(text)])


def build_automaton(node: Node) -> Automaton:
    """Make the automaton of a node.

    Raises
    ------
    ValueError
        No text at all is in the language, or the automaton has more than 20,000 states.
    """
    several = _Several()
    start = several.state()
    end = several.add(node, start)
    first = several.closure([start])
    numbers: dict[frozenset[int], int] = {frozenset(): 0, first: 1}
    rows = [np.zeros(256, dtype=np.int32)]
    look = deque([first])
    while look:
        states = look.popleft()
        edges = [edge for state in states for edge in several.bytes[state]]
        row = np.zeros(256, dtype=np.int32)
        marks = sorted({mark for first, last, _ in edges for mark in (first, last + 1)})
        for low, high in pairwise(marks):
            reached = [to for first, last, to in edges if first <= low <= last]
            after = several.closure(reached)
            if after not in numbers:
                if len(numbers) > _MOST_STATES:
                    raise ValueError(
                        f"the automaton has more than {_MOST_STATES} states: allow fewer "
                        "repetitions"
                    )
                numbers[after] = len(numbers)
                look.append(after)
            row[low:high] = numbers[after]
        rows.append(row)
    table = np.stack(rows)
    accepting = np.array([end in states for states in numbers])
    return _trimmed(table, accepting, 1)


def steps_to_end(table: np.ndarray, accepting: np.ndarray) -> np.ndarray:
    """Fewest steps from each state to an accepting one, by breadth-first search backwards.

    Parameters
    ----------
    table : ndarray
        ``(S, steps)`` integers: the next state; 0 is dead.
    accepting : ndarray
        ``(S,)`` boolean.

    Returns
    -------
    ndarray
        ``(S,)`` integers; :data:`FAR` where no accepting state can be reached.

    Examples
    --------
    >>> table = np.array([[0, 0], [0, 2], [3, 0], [0, 0]])
    >>> steps_to_end(table, np.array([False, False, False, True]))[1:].tolist()
    [2, 1, 0]
    """
    before: list[list[int]] = [[] for _ in range(len(table))]
    for state, row in enumerate(table):
        for after in np.unique(row):
            before[after].append(state)
    steps = np.full(len(table), FAR, dtype=np.int32)
    look = np.flatnonzero(accepting).tolist()
    steps[look] = 0
    while look:
        reached = []
        for state in look:
            for previous in before[state]:
                if previous and steps[previous] == FAR:
                    steps[previous] = steps[state] + 1
                    reached.append(previous)
        look = reached
    return steps


def _trimmed(table: np.ndarray, accepting: np.ndarray, start: int) -> Automaton:
    """Make states dead from which no text can be completed."""
    alive = steps_to_end(table, accepting) < FAR
    if not alive[start]:
        raise ValueError("no text is in this language: the pattern contradicts itself")
    return Automaton(np.where(alive[table], table, 0), accepting, start)

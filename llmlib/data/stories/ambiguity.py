"""Proof that no two series of choices give the same text.

Every beat is a *prefix code*: no string of one line is the beginning of (or equal to) a string of
another line, or of the same line with other options. Then a text can be cut into beats from the
left in one way only, as with a Huffman code, and the choices can be read off. The first beats of
all plots form one such code together, so the first beat tells the plot; and where a plot forks
into its endings, the next beats of all endings do, so they tell the ending.

Strings are compared as automata, without writing them out: two lines are walked through together,
unit by unit (an English word, a Chinese character, a mark), by all pairs of states that can be
reached on the same string. Slots are taken to be any filler at every mention, which allows more
strings than the grammar has: if no two lines share a string here, none do there.
"""

from __future__ import annotations

import re
from collections import defaultdict

from .generate import JOINER
from .notation import Choice, Line, Plot
from .plots import plots
from .vocabulary import forms

__all__ = ["Automaton", "ambiguities", "clash"]

UNIT = re.compile(r"[A-Za-z]+|.")


class Automaton:
    """The strings of a line as a graph: state -> [(unit, or None for a free step, next state)].

    Each series of choices is a walk of its own.
    """

    def __init__(self, line: Line, slots: dict[str, str], language: str, joiner: str = ""):
        self.edges: dict[int, list[tuple[str | None, int]]] = defaultdict(list)
        self.states = 1
        self.slots = slots
        self.language = language
        self.end = self._add((*line, joiner) if joiner else line, 0)

    def _state(self) -> int:
        self.states += 1
        return self.states - 1

    def _add(self, line: Line, at: int) -> int:
        for piece in line:
            if isinstance(piece, Choice):
                close = self._state()
                for option, _ in piece.options:
                    opened = self._state()
                    self.edges[at].append((None, opened))
                    self.edges[self._add(option, opened)].append((None, close))
                at = close
            elif isinstance(piece, str):
                at = self._string(piece, at)
            else:
                close = self._state()
                for string in forms(self.slots[piece.name], piece.form, self.language):
                    self.edges[self._string(string, at)].append((None, close))
                at = close
        return at

    def _string(self, string: str, at: int) -> int:
        for unit in UNIT.findall(string):
            following = self._state()
            self.edges[at].append((unit, following))
            at = following
        return at


def clash(a: Automaton, b: Automaton | None = None) -> bool:
    """Say whether a string of ``a`` is, or begins, a string of ``b`` or the other way round.

    With ``b`` left out: whether two different series of choices in ``a`` do so.

    Examples
    --------
    >>> from llmlib.data.stories.notation import parse_line
    >>> make = lambda text: Automaton(parse_line(text, {}), {"hero": "person"}, "en")
    >>> clash(make("{hero} ran."), make("{hero} ran. Anna hid."))
    True
    >>> clash(make("{hero} ran."), make("{hero} hid."))
    False
    >>> clash(make("the [old |old green ][green |]door"))
    True
    """
    same = b is None
    other = a if b is None else b
    start = (0, 0, not same)
    seen = {start}
    todo = [start]
    while todo:
        p, q, apart = todo.pop()
        if apart and (p == a.end or q == other.end):
            return True
        if apart:
            following = [(left, q, True) for unit, left in a.edges[p] if unit is None]
            following += [(p, right, True) for unit, right in other.edges[q] if unit is None]
            following += [
                (left, right, True)
                for unit, left in a.edges[p]
                for unit_b, right in other.edges[q]
                if unit is not None and unit == unit_b
            ]
        else:  # the same walk twice so far: p and q are one state
            following = [
                (left, right, left != right)
                for unit, left in a.edges[p]
                for unit_b, right in a.edges[p]
                if unit == unit_b
            ]
        for state in following:
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return False


def ambiguities(language: str) -> list[str]:
    """List all pairs of lines of one beat (or fork) that share the beginning of a string.

    An empty list is the proof that the information in a story is exact.
    """
    found = []
    first: list[tuple[str, Automaton]] = []
    for plot in plots():
        common = plot.beats[language]
        forks = [
            [line for ending in plot.endings.values() for line in ending.beats[language][0]],
            *[list(beat) for e in plot.endings.values() for beat in e.beats[language][1:]],
        ]
        for i, beat in enumerate([*map(list, common), *forks]):
            automata = [
                (f"{plot.name}: {_shown(line)}", _automaton(line, plot, language)) for line in beat
            ]
            found += _clashes(automata)
            if i == 0:
                first += automata
    return found + _clashes(first, between_plots=True)


def _automaton(line: Line, plot: Plot, language: str) -> Automaton:
    """Make the automaton of a line; the joiner ends a word."""
    return Automaton(line, plot.slots, language, JOINER[language])


def _clashes(automata: list[tuple[str, Automaton]], *, between_plots: bool = False) -> list[str]:
    """List the clashes within a set of lines."""
    found = []
    for i, (name, one) in enumerate(automata):
        if not between_plots and clash(one):
            found.append(f"{name!r} gives one string in two ways")
        for other_name, other in automata[:i]:
            if between_plots and name.split(":")[0] == other_name.split(":")[0]:
                continue
            if clash(one, other):
                found.append(f"{other_name!r} and {name!r} share a beginning")
    return found


def _shown(line: Line) -> str:
    """Write a line roughly, for a message."""
    shown = []
    for piece in line:
        if isinstance(piece, Choice):
            piece = "[..]"
        shown.append(piece if isinstance(piece, str) else f"{{{piece.key}}}")
    return "".join(shown)

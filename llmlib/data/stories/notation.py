"""The notation in which plots are written, and what it becomes.

A plot is a block of text::

    == lost thing : hero=person friend=person thing=small colour=colour place=place spot=spot
    <Day> {hero} [took|carried] a {colour} {thing} to the {place}.
    {hero} went to the {place} with a {colour} {thing}.

    On the way home the {thing} was gone.
    => found 2 right=friend wrong=hero : {hero} lost the {thing} and found it {spot}.
    The {colour} {thing} lay {spot}.
    => gone : {hero} lost the {thing} for good.
    ...
    ?who Who lost the {thing}? = {hero}
    ?where@found Where was the {thing}? = {spot}
    zh
    (the same beats and endings in Chinese)

A line is an *alternative*, lines together are a *beat*, a blank line starts the next beat. One
alternative of each beat is drawn, all equally likely, then one option of each ``[a|3:b]`` in it,
with probability weight over sum of weights (no weight is 1). Options may hold further choices.
``<macro>`` stands for options that plots share, ``@name`` for a whole beat that they share.
``=> name weight`` starts one of the plot's endings.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

__all__ = [
    "Choice",
    "Ending",
    "Plot",
    "Shared",
    "Slot",
    "expansions",
    "parse_line",
    "parse_plots",
    "parse_shared",
]


@dataclass(frozen=True)
class Slot:
    """A place in a sentence that the record fills: a field of the record and a form of it."""

    name: str
    form: str = ""

    @property
    def key(self) -> str:
        return f"{self.name}.{self.form}" if self.form else self.name


@dataclass(frozen=True)
class Choice:
    """Options of which one is drawn, with its probability."""

    options: tuple[tuple[Line, Fraction], ...]


Line = tuple["str | Slot | Choice", ...]
Beat = tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """One way in which a plot ends."""

    name: str
    weight: int
    right: str | None  # slot of the one who was right, where somebody was
    wrong: str | None
    happened: str  # one sentence with slots
    beats: dict[str, list[Beat]] = field(default_factory=dict)  # language -> beats


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One schema: slots, beats in each language, endings, questions."""

    name: str
    slots: dict[str, str]  # slot -> kind
    beats: dict[str, list[Beat]]  # language -> beats before the endings part
    endings: dict[str, Ending]
    questions: list[tuple[str, str | None, str, str]]  # kind, only at this ending, question, answer

    def path(self, language: str, ending: str) -> list[Beat]:
        """Return all beats of a telling, in order."""
        return self.beats[language] + self.endings[ending].beats[language]

    def ending_bits(self, ending: str) -> float:
        """Return the information in the choice of the ending."""
        total = sum(e.weight for e in self.endings.values())
        return -math.log2(self.endings[ending].weight / total)


TOKEN = re.compile(r"\{(\w+)(?:\.(\w+))?\}|<(\w+)>|([\[|\]])|([^{<\[|\]]+)")


def parse_line(text: str, macros: dict[str, str]) -> Line:
    """Parse one alternative.

    Raises
    ------
    ValueError
        For an unknown macro, fewer than two or repeated options, or a stray mark.

    Examples
    --------
    >>> slot, space, choice, stop = parse_line("{hero.She} [3:ran|hid].", {})
    >>> slot, [(words, str(probability)) for words, probability in choice.options]
    (Slot(name='hero', form='She'), [(('ran',), '3/4'), (('hid',), '1/4')])
    """
    stack: list[list[list[str | Slot | Choice]]] = [[[]]]
    end = 0
    for match in TOKEN.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        slot, form, macro, mark, literal = match.groups()
        if slot:
            stack[-1][-1].append(Slot(slot, form or ""))
        elif macro:
            if macro not in macros:
                raise ValueError(f"no macro <{macro}> in {text!r}")
            stack[-1][-1].extend(parse_line(f"[{macros[macro]}]", macros))
        elif literal:
            stack[-1][-1].append(literal)
        elif mark == "[":
            stack.append([[]])
        elif len(stack) == 1:
            raise ValueError(f"stray {mark!r} in {text!r}")
        elif mark == "|":
            stack[-1].append([])
        else:
            options = stack.pop()
            stack[-1][-1].append(_choice(options, text))
    if end != len(text) or len(stack) > 1 or "%" in text:
        raise ValueError(f"stray mark at {text[end:]!r} or open bracket in {text!r}")
    return tuple(stack[0][0])


def _choice(options: list[list[str | Slot | Choice]], text: str) -> Choice:
    """Read the weights of options."""
    weighted = []
    for pieces in options:
        weight = 1
        if pieces and isinstance(pieces[0], str) and (found := re.match(r"(\d+):", pieces[0])):
            weight = int(found[1])
            rest = pieces[0][found.end() :]
            pieces = [rest, *pieces[1:]] if rest else pieces[1:]
        weighted.append((tuple(pieces), weight))
    total = sum(weight for _, weight in weighted)
    if len({line for line, _ in weighted}) < max(2, len(weighted)):
        raise ValueError(f"options in {text!r}: give two or more, all different")
    return Choice(tuple((line, Fraction(weight, total)) for line, weight in weighted))


def expansions(line: Line) -> Iterator[tuple[tuple[str | Slot, ...], Fraction]]:
    """Give every way to draw the options of a line, with its probability.

    Examples
    --------
    >>> for pieces, probability in expansions(parse_line("[a|b] [3:c|d[e|f]]", {})):
    ...     print("".join(pieces), probability)
    a c 3/8
    a de 1/16
    a df 1/16
    b c 3/8
    b de 1/16
    b df 1/16
    """
    parts = []
    for piece in line:
        if isinstance(piece, Choice):
            parts.append([(p, own * q) for way, own in piece.options for p, q in expansions(way)])
        else:
            parts.append([((piece,), Fraction(1))])
    for drawn in itertools.product(*parts):
        pieces = tuple(itertools.chain.from_iterable(p for p, _ in drawn))
        yield pieces, math.prod((q for _, q in drawn), start=Fraction(1))


@dataclass(frozen=True)
class Shared:
    """What plots of one language share."""

    macros: dict[str, str]
    beats: dict[str, list[str]]


def parse_shared(text: str) -> dict[str, Shared]:
    """Parse macros (``<name> options``) and beats (``@name``, then its lines), by language.

    Examples
    --------
    >>> shared = parse_shared("language en\\n<big> big|huge\\n@end\\nThe end.\\nNo more.")
    >>> shared["en"].macros, shared["en"].beats
    ({'big': 'big|huge'}, {'end': ['The end.', 'No more.']})
    """
    found: dict[str, Shared] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("language "):
            shared = found[line.split()[1]] = Shared({}, {})
        elif line.startswith("<"):
            name, options = line[1:].split("> ", 1)
            shared.macros[name] = options
        elif line.startswith("@"):
            lines = shared.beats[line[1:]] = []
        elif line:
            lines.append(line)
    return found


def parse_plots(text: str, shared: dict[str, Shared]) -> list[Plot]:
    """Parse plots in the notation above.

    Raises
    ------
    ValueError
        For a line that is not in the notation, or a plot whose languages differ in their endings.
    """
    plots: list[Plot] = []
    language, into = "en", []
    for line in text.strip().splitlines():
        line = line.strip()
        if line.startswith("=="):
            name, slots = line[2:].split(":")
            language, into = "en", []
            plots.append(
                Plot(
                    name=name.strip(),
                    slots=dict(slot.split("=") for slot in slots.split()),
                    beats={"en": into},
                    endings={},
                    questions=[],
                )
            )
            into.append([])
        elif line == "zh":
            language, into = "zh", [[]]
            plots[-1].beats["zh"] = into
        elif line.startswith("=>"):
            into = [[]]
            _add_ending(plots[-1], line[2:], language, into)
        elif line.startswith("?"):
            kind, rest = line[1:].split(" ", 1)
            kind, _, ending = kind.partition("@")
            question, answer = rest.rsplit(" = ", 1)
            plots[-1].questions.append((kind, ending or None, question, answer))
        elif not line:
            into.append([])
        elif line.startswith("@"):
            lines = shared[language].beats[line[1:]]
            into[-1].extend(parse_line(one, shared[language].macros) for one in lines)
        else:
            into[-1].append(parse_line(line, shared[language].macros))
    for plot in plots:
        for ending in plot.endings.values():
            if set(ending.beats) != set(plot.beats):
                raise ValueError(f"plot {plot.name!r}, ending {ending.name!r}: languages differ")
            for found in (*plot.beats.values(), *ending.beats.values()):
                found[:] = [tuple(beat) for beat in found if beat]
    return plots


def _add_ending(plot: Plot, head: str, language: str, into: list) -> None:
    """Start an ending of a plot, or its telling in another language."""
    words, _, happened = head.partition(":")
    name, *settings = words.split()
    if language == "en":
        named = dict(s.split("=") for s in settings if "=" in s)
        weight = next((int(s) for s in settings if "=" not in s), 1)
        plot.endings[name] = Ending(
            name=name,
            weight=weight,
            right=named.get("right"),
            wrong=named.get("wrong"),
            happened=happened.strip(),
        )
    if name not in plot.endings:
        raise ValueError(f"plot {plot.name!r} has no ending {name!r}")
    plot.endings[name].beats[language] = into

"""Compare the outputs that a notebook stores with those of a fresh run.

Words have to be equal. Numbers in text and in JSON agree within a relative tolerance, so that
another processor's last digits do not matter; whole numbers (counts, shapes, ids) are exact unless
the cell carries a tolerance of its own. Pictures have to be there, but are not compared.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

RTOL = 1e-2
ATOL = 1e-8  # 0 equals the rounding noise of a sum that ends in 0
SCALE = 1e-4  # in a list of numbers: of the largest one, which is less than a figure can show

NUMBER = re.compile(
    r"(?<![\w.])[-+−]?"  # a minus after a letter or digit is a hyphen
    r"(?:\d{1,3}(?:,\d{3})+\.\d+|\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?"
)
# They have to be there, and are not compared.
PICTURES = ("image/", "application/vnd.jupyter.widget-view+json")


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may be apart; `exact_integers` is off where a cell sets its own tolerance."""

    rtol: float = RTOL
    exact_integers: bool = True

    @classmethod
    def of(cls, tags: Sequence[str]) -> Tolerance:
        """The tolerance that a cell's tags ask for.

        Examples
        --------
        >>> Tolerance.of(["rtol=0.05"]).rtol
        0.05
        """
        own = [float(tag.removeprefix("rtol=")) for tag in tags if tag.startswith("rtol=")]
        return cls(rtol=own[-1], exact_integers=False) if own else cls()

    def accepts(self, stored: float, fresh: float, scale: float = 0.0) -> bool:
        """Whether two numbers agree; `scale` is the largest number beside them in a list."""
        if isinstance(stored, int) and isinstance(fresh, int) and self.exact_integers:
            return stored == fresh
        if stored == fresh:  # infinities too
            return True
        margin = self.rtol * max(abs(stored), abs(fresh)) + ATOL + SCALE * scale
        return abs(stored - fresh) <= margin


ANY_NUMBER = Tolerance(rtol=2.0, exact_integers=False)  # no two numbers are further apart


def differences(
    stored: Sequence[Mapping], fresh: Sequence[Mapping], tolerance: Tolerance, sanitize=str
) -> list[str]:
    """What differs between the outputs of one cell, one message each; empty when they agree.

    Outputs are as in nbformat, with the streams of one name joined. `sanitize` replaces what
    differs on every run (times, addresses) in both texts.
    """
    return list(_differences(stored, fresh, tolerance, sanitize))


def _differences(stored, fresh, tolerance, sanitize) -> Iterator[str]:
    for number, (old, new) in enumerate(itertools.zip_longest(stored, fresh), start=1):
        if new is None:
            yield f"output {number} is missing now: stored was {_brief(old)}"
        elif old is None:
            yield f"output {number} is new: {_brief(new)}"
        elif _kind(old) != _kind(new):
            yield f"output {number} was {_kind(old)}, now it is {_kind(new)}: {_brief(new)}"
        else:
            for mime, (left, right, margin) in _parts(old, new, tolerance).items():
                for found in _compare(mime, left, right, margin, sanitize):
                    yield f"output {number} ({mime}): {found}"


def _kind(output: Mapping) -> str:
    """What an output is: a stream by its name, anything else by the forms of its data."""
    if output["output_type"] == "stream":
        return output["name"]
    if output["output_type"] == "error":
        return f"the error {output['ename']}"
    return " + ".join(sorted(output["data"]))


def _brief(output: Mapping) -> str:
    words = output.get("text") or output.get("evalue") or output.get("data", {}).get("text/plain")
    return f"{_kind(output)} {_shortened(words)!r}" if words else _kind(output)


def _parts(old: Mapping, new: Mapping, tolerance: Tolerance) -> dict[str, tuple]:
    """Form -> its stored and its fresh content, and the tolerance for their numbers."""
    if old["output_type"] == "stream":
        return {old["name"]: (old["text"], new["text"], tolerance)}
    if old["output_type"] == "error":
        return {"error": (old["evalue"], new["evalue"], tolerance)}
    parts = {mime: (old["data"][mime], new["data"][mime], tolerance) for mime in old["data"]}
    if "text/html" in parts and any(mime.endswith("json") for mime in parts):
        # the same figure once more, made from the JSON: there the numbers are compared in their
        # lists, so here only the words
        parts["text/html"] = (*parts["text/html"][:2], ANY_NUMBER)
    return dict(sorted(parts.items()))


def _compare(mime: str, old, new, tolerance: Tolerance, sanitize) -> Iterator[str]:
    if mime.startswith(PICTURES):
        return
    if mime.endswith("json"):
        yield from compare_json(old, new, tolerance)
    else:
        yield from compare_text(sanitize(old), sanitize(new), tolerance)


def compare_text(old: str, new: str, tolerance: Tolerance) -> Iterator[str]:
    """Say what differs between two texts.

    How many spaces stand between words does not matter: a minus sign moves a column.

    Examples
    --------
    >>> list(compare_text("loss 2.500", "loss 2.501", Tolerance()))
    []
    >>> list(compare_text("loss 2.500", "loss 2.625", Tolerance()))
    ['2.500 became 2.625 (off by 4.8 %, tolerance 1 %) in: loss 2.500']
    >>> list(compare_text("12 heads", "12 hands", Tolerance()))
    ["'heads' became 'hands'; stored: 12 heads; now: 12 hands"]
    """
    left, right = list(_tokens(old)), list(_tokens(new))
    for a, b in itertools.zip_longest(left, right):
        if a is None or b is None:
            yield f"{_ending('stored', a)}; {_ending('now', b)}"
            return
        if a.word != b.word or (a.value is None) != (b.value is None):
            lines = f"stored: {_shortened(a.line)}; now: {_shortened(b.line)}"
            yield f"{a.text!r} became {b.text!r}; {lines}"
            return
        if a.value is not None and not tolerance.accepts(a.value, b.value):
            yield f"{_off(a.text, b.text, a.value, b.value, tolerance)} in: {_shortened(a.line)}"


@dataclass(frozen=True)
class _Token:
    """A word, or a number (whose `word` is empty), and the line in which it stands."""

    text: str
    line: str
    value: float | None

    @property
    def word(self) -> str:
        return self.text if self.value is None else ""


def _tokens(words: str) -> Iterator[_Token]:
    for line in words.splitlines():
        end = 0
        for found in NUMBER.finditer(line):
            yield from (_Token(word, line, None) for word in line[end : found.start()].split())
            yield _Token(found[0], line, _value(found[0]))
            end = found.end()
        yield from (_Token(word, line, None) for word in line[end:].split())


def _value(digits: str) -> float:
    """An int where the text is a whole number without point or exponent, else a float."""
    plain = digits.replace("−", "-").replace(",", "")
    return int(plain) if re.fullmatch(r"[-+]?\d+", plain) else float(plain)


def compare_json(old, new, tolerance: Tolerance, place: str = "$") -> Iterator[str]:
    """Say where two JSON values differ, such as two Plotly figures.

    Examples
    --------
    >>> list(compare_json({"y": [0.5, 2e-9]}, {"y": [0.5001, 0]}, Tolerance()))
    []
    >>> list(compare_json({"y": [0.5, 1.0]}, {"y": [0.5, 1.05]}, Tolerance()))
    ['$.y[1]: 1.0 became 1.05 (off by 4.8 %, tolerance 1 %)']
    """
    if _is_number(old) and _is_number(new):
        if not tolerance.accepts(old, new):
            yield f"{place}: {_off(old, new, old, new, tolerance)}"
    elif type(old) is not type(new):
        yield f"{place}: {_json(old)} became {_json(new)}"
    elif isinstance(old, str):
        yield from (f"{place}: {found}" for found in compare_text(old, new, tolerance))
    elif isinstance(old, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in new:
                yield f"{place}.{key} is missing now: stored was {_json(old[key])}"
            elif key not in old:
                yield f"{place}.{key} is new: {_json(new[key])}"
            else:
                yield from compare_json(old[key], new[key], tolerance, f"{place}.{key}")
    elif isinstance(old, list):
        yield from _compare_lists(old, new, tolerance, place)
    elif old != new:
        yield f"{place}: {_json(old)} became {_json(new)}"


def _compare_lists(old: list, new: list, tolerance: Tolerance, place: str) -> Iterator[str]:
    if len(old) != len(new):
        yield f"{place} had {len(old)} entries, now it has {len(new)}"
        return
    scale = max((abs(value) for value in old if _is_number(value)), default=0.0)
    for index, (a, b) in enumerate(zip(old, new, strict=True)):
        at = f"{place}[{index}]"
        if _is_number(a) and _is_number(b):
            if not tolerance.accepts(a, b, scale):
                yield f"{at}: {_off(a, b, a, b, tolerance)}"
        else:
            yield from compare_json(a, b, tolerance, at)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _off(old, new, a: float, b: float, tolerance: Tolerance) -> str:
    if isinstance(a, int) and isinstance(b, int) and tolerance.exact_integers:
        return f"{old} became {new} (whole numbers are exact)"
    largest = max(abs(a), abs(b))
    share = f"{100 * abs(a - b) / largest:.2g} %" if math.isfinite(largest) else "no number"
    return f"{old} became {new} (off by {share}, tolerance {100 * tolerance.rtol:.2g} %)"


def _ending(when: str, token: _Token | None) -> str:
    return f"{when} ends here" if token is None else f"{when} goes on with {token.line.strip()!r}"


def _json(value) -> str:
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(words, width: int = 120) -> str:
    line = " ".join(str(words).split())
    return line if len(line) <= width else line[: width - 1] + "…"

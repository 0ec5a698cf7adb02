"""What an exercise is, and how an answer to it is judged.

``Exercise`` compares an answer with a reference on random inputs; ``Choice`` is a question with
fixed choices. Judging prints nothing: it returns a :class:`Report`, whose lines ``check`` prints.
"""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from llmlib.checks.compare import describe, first_difference

__all__ = ["Choice", "Exercise", "Report", "Wrong"]


@dataclass(frozen=True)
class Report:
    """What a learner is told: whether all is right, and the lines that say so."""

    passed: bool
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Wrong:
    """A wrong answer that learners give, and what it is told.

    Parameters
    ----------
    answer : object
        The wrong answer itself, of the same kind as the reference.
    message : str
        What went wrong and why, in one or two sentences.
    """

    answer: Any
    message: str


def _call(answer: Any, *inputs: Any) -> Any:
    return answer(*inputs) if callable(answer) else answer


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A task whose answer is compared with a reference on random inputs.

    Parameters
    ----------
    name : str
        ``"part.exercise"``.
    reference : object
        The right answer: a function of the inputs, or a plain value.
    hint : str
        Printed with every wrong answer. It helps without giving the answer away.
    inputs : callable
        Draws one tuple of arguments from a seeded ``torch.Generator``. Nothing by default.
    wrong : mapping of str to Wrong
        Wrong answers that are recognised, by a short name.
    run : callable
        How an output is got from an answer: ``run(answer, *inputs)``. A function is called and a
        value taken as it is, by default.
    cases : int
        How many inputs are drawn. One where the reference is a value.
    rtol, atol : float
        Tolerances, as in ``torch.isclose``.
    remark : str
        Printed when all is right: what the result means.

    Examples
    --------
    >>> double = Exercise(
    ...     name="numbers.double",
    ...     reference=lambda x: 2 * x,
    ...     inputs=lambda g: (torch.randn(3, generator=g),),
    ...     hint="Add the number to itself.",
    ...     wrong={"square": Wrong(lambda x: x * x, "This is the square.")},
    ... )
    >>> double.judge(lambda x: x + x).lines[0]
    'numbers.double: 20 of 20 cases right.'
    >>> double.judge(lambda x: x * x).lines[-2:]
    ('  what happened: This is the square.', '  hint: Add the number to itself.')
    """

    name: str
    reference: Any
    hint: str
    inputs: Callable[[torch.Generator], tuple] = lambda generator: ()
    wrong: Mapping[str, Wrong] = field(default_factory=dict)
    run: Callable[..., Any] = _call
    cases: int = 20
    rtol: float = 1e-4
    atol: float = 1e-6
    remark: str = ""

    def judge(self, answer: Any) -> Report:
        """Compare ``answer`` with the reference on every case.

        An answer that raises is reported, not raised. The state of torch's generator is the same
        afterwards as before.
        """
        if _is_stub(answer):
            return _not_attempted(self.name)
        outcomes = [self._outcome(answer, case) for case in self._case_numbers()]
        if _is_stub(outcomes[0].value) or isinstance(outcomes[0].error, NotImplementedError):
            return _not_attempted(self.name)
        right = [self._outcome(self.reference, case) for case in self._case_numbers()]
        differences = self._differences(outcomes, right)
        wrong_cases = [case for case, difference in enumerate(differences) if difference]
        total = len(differences)
        count = f"{self.name}: {total - len(wrong_cases)} of {total} cases right."
        if not wrong_cases:
            return Report(True, (count, f"  {self.remark}") if self.remark else (count,))
        first = wrong_cases[0]
        lines = [count, f"  first difference (case {first + 1}): {differences[first]}"]
        if self._draw(first):
            lines.append(f"  inputs of that case: {self._inputs_in_words(first)}")
        message = self._recognise(outcomes)
        if message:
            lines.append(f"  what happened: {message}")
        return Report(False, (*lines, f"  hint: {self.hint}"))

    def _case_numbers(self) -> range:
        return range(self.cases if callable(self.reference) else 1)

    def _draw(self, case: int) -> tuple:
        return self.inputs(torch.Generator().manual_seed(case))

    def _inputs_in_words(self, case: int) -> str:
        arguments = [describe(argument) for argument in self._draw(case)]
        names = list(inspect.signature(self.reference).parameters)
        if len(names) != len(arguments):
            return ", ".join(arguments)
        return ", ".join(f"{name} {text}" for name, text in zip(names, arguments, strict=True))

    def _outcome(self, answer: Any, case: int) -> _Outcome:
        """Run an answer on inputs drawn afresh, from a known state of the generator."""
        arguments = self._draw(case)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(case)
            try:
                return _Outcome(value=self.run(answer, *arguments))
            except Exception as error:
                return _Outcome(error=error, line=_line_of(answer, error))

    def _differences(self, outcomes: list[_Outcome], wanted: list[_Outcome]) -> list[str | None]:
        return [
            mine.difference(right, rtol=self.rtol, atol=self.atol)
            for mine, right in zip(outcomes, wanted, strict=True)
        ]

    def _recognise(self, outcomes: list[_Outcome]) -> str | None:
        """Message of the first known wrong answer that gives the same outcome in every case."""
        for wrong in self.wrong.values():
            known = [self._outcome(wrong.answer, case) for case in self._case_numbers()]
            if not any(self._differences(outcomes, known)):
                return wrong.message
        return None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A question with fixed choices: predict before you run.

    Parameters
    ----------
    name : str
        ``"part.exercise"``.
    right : str
        Label of the right choice.
    why : mapping of str to str
        For every label, in the order of the question, why it is right or wrong.
    hint : str
        Printed with a wrong choice.

    Raises
    ------
    ValueError
        ``right`` is not one of the labels.

    Examples
    --------
    >>> sign = Choice(
    ...     name="numbers.sign",
    ...     right="b",
    ...     why={"a": "A square is never negative.", "b": "The square of -2 is 4."},
    ...     hint="What is minus times minus?",
    ... )
    >>> sign.judge("a").lines[0]
    'numbers.sign: (a) is not right. A square is never negative.'
    """

    name: str
    right: str
    why: Mapping[str, str]
    hint: str

    def __post_init__(self) -> None:
        if self.right not in self.why:
            raise ValueError(
                f"{self.name}: right={self.right!r} is not one of {sorted(self.why)}: add it to why"
            )

    def judge(self, answer: Any) -> Report:
        """Say whether ``answer`` is the right label, and why; letter case does not matter."""
        if _is_stub(answer):
            return _not_attempted(self.name)
        label = answer.strip().strip("()").lower() if isinstance(answer, str) else None
        if label not in self.why:
            choices = ", ".join(repr(choice) for choice in self.why)
            return Report(
                False, (f"{self.name}: {describe(answer)} is not a choice: give {choices}.",)
            )
        if label != self.right:
            verdict = f"{self.name}: ({label}) is not right. {self.why[label]}"
            return Report(False, (verdict, f"  hint: {self.hint}"))
        others = [f"  ({other}) {why}" for other, why in self.why.items() if other != label]
        return Report(True, (f"{self.name}: ({label}) is right. {self.why[label]}", *others))


@dataclass(frozen=True)
class _Outcome:
    """What came of one case: a value, or an error."""

    value: Any = math.nan
    error: Exception | None = None
    line: int | None = None  # of the learner's code, where the error came from

    def difference(self, wanted: _Outcome, *, rtol: float, atol: float) -> str | None:
        if wanted.error is not None:
            if type(self.error) is type(wanted.error):
                return None
            got = "returned a value" if self.error is None else self._raised()
            return f"your answer {got}, expected a {type(wanted.error).__name__}"
        if self.error is not None:
            return f"your answer {self._raised()}"
        return first_difference(self.value, wanted.value, rtol=rtol, atol=atol)

    def _raised(self) -> str:
        first_line = str(self.error).strip().split("\n")[0][:120]
        where = f" in line {self.line}" if self.line else ""
        return f"raised {type(self.error).__name__}{where}" + (first_line and f": {first_line}")


def _line_of(answer: Any, error: Exception) -> int | None:
    """Last line of the file or cell of ``answer`` that the error passed through."""
    if not inspect.isfunction(answer):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if f.filename == answer.__code__.co_filename]
    return lines[-1] if lines else None


def _is_stub(value: Any) -> bool:
    return value is None or value is Ellipsis


def _not_attempted(name: str) -> Report:
    return Report(False, (f"{name}: not attempted.",))

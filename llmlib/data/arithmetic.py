"""Short arithmetic with exact answers: sums, differences and products, as numbers and as words.

A problem belongs to a split by a hash of its two numbers and its operation, so 17 + 25 is never in
two splits, however it is asked.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["ArithmeticProblem", "arithmetic_problems", "arithmetic_split"]

#: Operation -> ways to ask.
ASKED = {
    "+": ("What is {} + {}?", "How much is {} plus {}?", "Add {} and {}."),
    "-": ("What is {} - {}?", "How much is {} minus {}?", "Take {1} away from {0}."),
    "*": ("What is {} * {}?", "How much is {} times {}?", "Multiply {} by {}."),
}


def evaluate(left: int, operation: str, right: int) -> int:
    """Return the result of one operation.

    Examples
    --------
    >>> evaluate(3, "*", 4)
    12
    """
    if operation == "+":
        return left + right
    return left - right if operation == "-" else left * right


def arithmetic_split(left: int, operation: str, right: int) -> str:
    """Return the split that a problem belongs to, however it is asked.

    Examples
    --------
    >>> arithmetic_split(17, "+", 25) in ("train", "validation", "test")
    True
    """
    bucket = hashlib.blake2b(f"{left}{operation}{right}".encode(), digest_size=1).digest()[0]
    return {0: "validation", 1: "test"}.get(bucket & 15, "train")


@dataclass(frozen=True, kw_only=True)
class ArithmeticProblem:
    """A question and its answer; differences are never negative."""

    left: int
    operation: str  # +, - or *
    right: int
    question: str

    @property
    def expression(self) -> str:
        """What a calculator would be given."""
        return f"{self.left} {self.operation} {self.right}"

    @property
    def value(self) -> int:
        """The result."""
        return evaluate(self.left, self.operation, self.right)

    @property
    def answer(self) -> str:
        """The result, written."""
        return str(self.value)


def arithmetic_problems(
    count: int, *, seed: int = 0, split: str = "train", largest: int = 99, operations: str = "+-*"
) -> Iterator[ArithmeticProblem]:
    """Draw problems of one split.

    Parameters
    ----------
    count : int
        How many; they may repeat.
    split : str
        ``"train"`` (14 of 16 problems), ``"validation"`` or ``"test"`` (one of 16 each).
    largest : int
        Of the numbers in sums and differences; in products the second is at most 12.
    operations : str
        Which of ``+-*`` to draw from.

    Raises
    ------
    ValueError
        For an unknown split or operation, or a range with too few numbers to have all splits.

    Examples
    --------
    >>> for problem in arithmetic_problems(2, seed=1):
    ...     print(problem.question, problem.answer)
    Take 12 away from 92. 80
    Take 16 away from 43. 27
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split {split!r} is not train, validation or test")
    if not operations or set(operations) - set(ASKED):
        raise ValueError(f"operations {operations!r}: give some of '+-*'")
    if largest < 20:
        raise ValueError(f"largest {largest} must be at least 20: fewer pairs fill no split")
    rng = random.Random(f"arithmetic {seed}")
    made = 0
    while made < count:
        operation = rng.choice(operations)
        left = rng.randint(0, largest)
        right = rng.randint(0, 12 if operation == "*" else largest)
        if operation == "-" and left < right:
            left, right = right, left
        if arithmetic_split(left, operation, right) != split:
            continue
        made += 1
        question = rng.choice(ASKED[operation]).format(left, right)
        yield ArithmeticProblem(left=left, operation=operation, right=right, question=question)

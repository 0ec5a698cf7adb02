"""One-line programs: questions about numbers and words, the line that answers them, its output.

A small model cannot spell a name backwards or add the numbers from 1 to 250, but it can write the
line that does. What a line prints is computed here beside it and never by running it.

=============  =======================================  ================================
kind           question                                 line
=============  =======================================  ================================
``sum to``     What is the sum of 1 to 17?              ``print(sum(range(17 + 1)))``
``remainder``  What is left when 50 is split by 7?      ``print(50 % 7)``
``power``      What is 3 to the power of 4?             ``print(3 ** 4)``
``largest``    Which is the largest of 4, 31 and 17?    ``print(max(4, 31, 17))``
``backwards``  Spell Tarobe backwards.                  ``print("Tarobe"[::-1])``
``capitals``   Write Tarobe in capitals.                ``print("Tarobe".upper())``
``letters``    How many times is a in Tarobe?           ``print("Tarobe".count("a"))``
=============  =======================================  ================================

A line about numbers belongs to a split by its hash, a line about a word by the word's, so no line
is in two splits.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .island import invented_names

__all__ = ["WORD_KINDS", "ProgramProblem", "program_about", "program_problems"]


@dataclass(frozen=True, kw_only=True)
class ProgramProblem:
    """A question, a line of Python that answers it, and what the line prints."""

    kind: str
    question: str
    code: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class _Kind:
    asked: tuple[str, ...]
    code: str
    result: Callable[..., object]
    draw: Callable[[random.Random], tuple[object, ...]]


def _one_letter(rng: random.Random) -> tuple[str]:
    return (rng.choice("aeiou"),)


def _nothing(rng: random.Random) -> tuple[()]:
    return ()


#: About numbers: all values are drawn.
NUMBER_KINDS = {
    "sum to": _Kind(
        asked=(
            "What is the sum of all numbers from 1 to {}?",
            "Add up all numbers from 1 to {}.",
            "What is the sum of 1 to {}?",
        ),
        code="print(sum(range({} + 1)))",
        result=lambda n: n * (n + 1) // 2,
        draw=lambda rng: (rng.randint(5, 400),),
    ),
    "remainder": _Kind(
        asked=(
            "What is the remainder of {} divided by {}?",
            "What is left when {} is split by {}?",
            "Divide {} by {}: what is the remainder?",
        ),
        code="print({} % {})",
        result=lambda n, m: n % m,
        draw=lambda rng: (rng.randint(20, 400), rng.randint(3, 19)),
    ),
    "power": _Kind(
        asked=(
            "What is {} to the power of {}?",
            "Raise {} to the power of {}.",
            "How much is {} to the power of {}?",
        ),
        code="print({} ** {})",
        result=lambda n, m: n**m,
        draw=lambda rng: (rng.randint(2, 30), rng.randint(2, 5)),
    ),
    "largest": _Kind(
        asked=(
            "Which is the largest of {}, {} and {}?",
            "What is the largest number of {}, {} and {}?",
            "Find the largest of {}, {} and {}.",
        ),
        code="print(max({}, {}, {}))",
        result=max,
        draw=lambda rng: tuple(rng.sample(range(1, 100), 3)),
    ),
}
#: About a word, which comes first; other values are drawn.
WORD_KINDS = {
    "backwards": _Kind(
        asked=("Spell {} backwards.", "What is {} backwards?", "Write {} from right to left."),
        code='print("{}"[::-1])',
        result=lambda word: word[::-1],
        draw=_nothing,
    ),
    "capitals": _Kind(
        asked=("Write {} in capitals.", "Spell {} in capitals.", "What is {} in capitals?"),
        code='print("{}".upper())',
        result=str.upper,
        draw=_nothing,
    ),
    "letters": _Kind(
        asked=(
            "How many times is {1} in {0}?",
            "How often does {0} have the letter {1}?",
            "Count the letter {1} in {0}.",
        ),
        code='print("{}".count("{}"))',
        result=str.count,
        draw=_one_letter,
    ),
}
#: Last four bits of a hash -> split.
_HELD_OUT = {0: "validation", 1: "test"}


def program_problems(
    count: int, *, seed: int = 0, split: str = "train"
) -> Iterator[ProgramProblem]:
    """Draw problems of one split, each kind as often in the mean.

    Parameters
    ----------
    count : int
        How many; they may repeat.
    split : str
        ``"train"``, ``"validation"`` or ``"test"``. Of the lines about numbers, one in 16 each is
        held out; of the words, a quarter each, as ``island_name_split`` says.

    Raises
    ------
    ValueError
        For an unknown split.

    Examples
    --------
    >>> for problem in program_problems(3, seed=4):
    ...     print(problem.question, problem.code, problem.answer)
    Write Zofito from right to left. print("Zofito"[::-1]) otifoZ
    How many times is a in Punini? print("Punini".count("a")) 0
    Raise 19 to the power of 5. print(19 ** 5) 2476099
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split {split!r} is not train, validation or test")
    rng = random.Random(f"programs {seed}")
    kinds = [*NUMBER_KINDS, *WORD_KINDS]
    for _ in range(count):
        name = rng.choice(kinds)
        if name in WORD_KINDS:
            (word,) = invented_names(1, split, rng)
            yield program_about(word, rng, kind=name)
            continue
        kind = NUMBER_KINDS[name]
        while True:
            values = kind.draw(rng)
            code = kind.code.format(*values)
            if _split_of(code) == split:
                break
        yield ProgramProblem(
            kind=name,
            question=rng.choice(kind.asked).format(*values),
            code=code,
            answer=str(kind.result(*values)),
        )


def program_about(
    word: str, rng: random.Random, *, kind: str, called: str | None = None
) -> ProgramProblem:
    """Return a problem about a word that is given.

    Parameters
    ----------
    word : str
        Letters only.
    kind : str
        One of :data:`WORD_KINDS`.
    called : str, optional
        How the question calls the word, when it is not to name it.

    Examples
    --------
    >>> program_about("Tarobe", random.Random(0), kind="backwards").answer
    'eboraT'
    """
    made = WORD_KINDS[kind]
    values = (word, *made.draw(rng))
    return ProgramProblem(
        kind=kind,
        question=rng.choice(made.asked).format(called or word, *values[1:]),
        code=made.code.format(*values),
        answer=str(made.result(*values)),
    )


def _split_of(code: str) -> str:
    bucket = hashlib.blake2b(code.encode(), digest_size=1).digest()[0] & 15
    return _HELD_OUT.get(bucket, "train")

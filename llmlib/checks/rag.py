"""Exercises of the chapter on retrieval-augmented generation."""

from __future__ import annotations

import re
from functools import partial

from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]

REFUSAL = "I do not know."
WORDS = ("mill", "boat", "river", "green", "red", "old", "baker", "salt", "flour", "roof")
NAMES = ("Tarobe", "Lunika", "Sunika", "Goduzo", "Vera", "Mineti")


def _words(g: Generator, count: int) -> str:
    return " ".join(WORDS[draw.integer(g, 0, len(WORDS) - 1)] for _ in range(count))


# --- prompt -------------------------------------------------------------------------------------


def _listed(question: str, passages: list[str], *, first: int = 1) -> str:
    lines = [f"[{number}] {text}" for number, text in enumerate(passages, start=first)]
    return "\n".join([*lines, f"Question: {question}"])


def _prompt(question: str, passages: list[str], room: int, *, first: int = 1) -> str:
    shown = list(passages)
    while len(_listed(question, shown).split()) > room:
        shown.pop()
    return _listed(question, shown, first=first)


def _best_left_out(question: str, passages: list[str], room: int) -> str:
    shown = list(passages)
    while len(_listed(question, shown).split()) > room:
        shown.pop(0)
    return _listed(question, shown)


def _cut_off(question: str, passages: list[str], room: int) -> str:
    lines, left = [], room
    for line in _listed(question, passages).split("\n"):
        words = line.split()[: max(left, 0)]
        left -= len(words)
        lines += [" ".join(words)] if words else []
    return "\n".join(lines)


def _everything(question: str, passages: list[str], room: int) -> str:
    return _listed(question, passages)


def _question_not_counted(question: str, passages: list[str], room: int) -> str:
    shown = list(passages)
    while len("\n".join(f"[1] {text}" for text in shown).split()) > room:
        shown.pop()
    return _listed(question, shown)


def _too_much(g: Generator) -> tuple[str, list[str], int]:
    question = f"Where is {NAMES[draw.integer(g, 0, 5)]} ?"
    passages = [_words(g, draw.integer(g, 3, 8)) for _ in range(draw.integer(g, 3, 5))]
    kept = draw.integer(g, 1, len(passages) - 1)
    return question, passages, len(_listed(question, passages[:kept]).split())


# --- checked ------------------------------------------------------------------------------------


def _checked(
    reply: str,
    passages: list[str],
    *,
    first: int = 1,
    everywhere: bool = False,
    silent: bool = False,
    words: bool = True,
) -> tuple[str, list[int]]:
    """An answer whose citations hold; the keywords make the known mistakes."""
    numbers = [int(number) for number in re.findall(r"\[(\d+)\]", reply)]
    text = re.sub(r" *\[\d+\]", "", reply)
    there = all(first <= number < len(passages) + first for number in numbers)
    if not there or not (numbers or silent):
        return REFUSAL, []
    chosen = passages if everywhere else [passages[number - first] for number in numbers]
    said = {word for passage in chosen for word in passage.split()}
    if words and (numbers or everywhere) and not set(text.split()) <= said:
        return REFUSAL, []
    return text, numbers


def _believed(reply: str, passages: list[str]) -> tuple[str, list[int]]:
    numbers = [int(number) for number in re.findall(r"\[(\d+)\]", reply)]
    return re.sub(r" *\[\d+\]", "", reply), numbers


def _reply(g: Generator) -> tuple[str, list[str]]:
    count = draw.integer(g, 2, 3)
    passages = [f"{NAMES[i]} {_words(g, 4)}" for i in range(count)]
    right, other = draw.integer(g, 1, count), NAMES[draw.integer(g, 3, 5)]
    elsewhere = right % count + 1
    replies = (
        f"{NAMES[right - 1]} [{right}]",
        f"{NAMES[right - 1]} [{elsewhere}]",
        f"{NAMES[right - 1]} [{elsewhere}] [{right}]",
        NAMES[right - 1],
        f"{other} [{right}]",
        f"{NAMES[right - 1]} [{count + 1}]",
        f"{NAMES[0]} [0]",
    )
    return replies[draw.integer(g, 0, len(replies) - 1)], passages


# --- context_precision --------------------------------------------------------------------------


def _context_precision(relevant: list[bool]) -> float:
    values = [sum(relevant[:rank]) / rank for rank, helps in enumerate(relevant, 1) if helps]
    return sum(values) / len(values) if values else 0.0


def _plain_share(relevant: list[bool]) -> float:
    return sum(relevant) / len(relevant)


def _reciprocal_rank(relevant: list[bool]) -> float:
    return 1 / (relevant.index(True) + 1) if any(relevant) else 0.0


def _over_all_ranks(relevant: list[bool]) -> float:
    values = [sum(relevant[:rank]) / rank for rank, helps in enumerate(relevant, 1) if helps]
    return sum(values) / len(relevant)


def _every_rank(relevant: list[bool]) -> float:
    return sum(sum(relevant[:rank]) / rank for rank in range(1, len(relevant) + 1)) / len(relevant)


def _relevant(g: Generator) -> tuple[list[bool]]:
    return (draw.mask(g, 1, draw.integer(g, 3, 7), share=0.45)[0].tolist(),)


# --- marginal -----------------------------------------------------------------------------------


def _marginal(scores: Tensor, likelihoods: Tensor) -> Tensor:
    return scores.softmax(0) @ likelihoods


def _best_only(scores: Tensor, likelihoods: Tensor) -> Tensor:
    return likelihoods[scores.argmax()]


def _all_alike(scores: Tensor, likelihoods: Tensor) -> Tensor:
    return likelihoods.mean(0)


def _raw_scores(scores: Tensor, likelihoods: Tensor) -> Tensor:
    return scores @ likelihoods


def _product(scores: Tensor, likelihoods: Tensor) -> Tensor:
    return (scores.softmax(0)[:, None] * likelihoods.log()).sum(0).softmax(0)


def _scores_and_likelihoods(g: Generator) -> tuple[Tensor, Tensor]:
    passages, answers = draw.integer(g, 2, 4), draw.integer(g, 3, 5)
    return draw.normal(g, passages), (2 * draw.normal(g, passages, answers)).softmax(1)


# --- outcomes -----------------------------------------------------------------------------------


def _outcomes(answers: list[str], rights: list[str | None]) -> tuple[float, float]:
    pairs = list(zip(answers, rights, strict=True))
    said = [(answer, right) for answer, right in pairs if answer != REFUSAL]
    right = sum(answer == wanted for answer, wanted in said)
    answerable = sum(wanted is not None for wanted in rights)
    return right / answerable, right / len(said) if said else 1.0


def _refusals_are_wrong(answers: list[str], rights: list[str | None]) -> tuple[float, float]:
    recall, _ = _outcomes(answers, rights)
    right = sum(answer == wanted for answer, wanted in zip(answers, rights, strict=True))
    return recall, right / len(answers)


def _refusals_are_right(answers: list[str], rights: list[str | None]) -> tuple[float, float]:
    rewarded = [REFUSAL if right is None else right for right in rights]
    share = sum(a == r for a, r in zip(answers, rewarded, strict=True)) / len(answers)
    return share, _outcomes(answers, rights)[1]


def _answerable_only(answers: list[str], rights: list[str | None]) -> tuple[float, float]:
    kept = [(a, r) for a, r in zip(answers, rights, strict=True) if r is not None]
    return _outcomes([answer for answer, _ in kept], [right for _, right in kept])


def _swapped(answers: list[str], rights: list[str | None]) -> tuple[float, float]:
    recall, precision = _outcomes(answers, rights)
    return precision, recall


def _answers(g: Generator) -> tuple[list[str], list[str | None]]:
    count = draw.integer(g, 6, 10)
    rights = [NAMES[draw.integer(g, 0, 3)] for _ in range(count)]
    answers = [rights[0], REFUSAL, NAMES[4], REFUSAL, NAMES[5]]
    answers += [
        (rights[i], NAMES[4], REFUSAL, rights[i])[draw.integer(g, 0, 3)] for i in range(5, count)
    ]
    return answers, [None if i in (3, 4) else right for i, right in enumerate(rights)]


EXERCISES = (
    Choice(
        name="rag.predict_k",
        right="b",
        why={
            "a": "The reader has to find the answer among what it is shown. More passages make "
            "that harder, even where one of them has it.",
            "b": "Context recall counts whether some passage has the fact, so another passage can "
            "only add to it. The reader pays for each with a chance to read the wrong one.",
            "c": "Nothing that was shown is taken away when k grows: context recall cannot fall.",
            "d": "The search does not always put the right passage first. That is why k is more "
            "than 1 at all.",
        },
        hint="Which of the two numbers looks at the reader?",
    ),
    Exercise(
        name="rag.prompt",
        reference=_prompt,
        inputs=_too_much,
        hint="Build the whole prompt, count its words with split(), and leave out the last "
        "passage as long as they are too many.",
        remark="The question and the best passage are always there, and no passage is cut.",
        wrong={
            "from zero": Wrong(
                partial(_prompt, first=0),
                "Your numbers begin at 0. The reader learned them from 1, and the check counts so "
                "too.",
            ),
            "best left out": Wrong(
                _best_left_out, "You left out the first passages: those are the best."
            ),
            "cut off": Wrong(
                _cut_off,
                "You cut the text at the limit. What is lost is the end of a passage and, worst "
                "of all, the question.",
            ),
            "everything": Wrong(_everything, "More words than there is room for: count them."),
            "question not counted": Wrong(
                _question_not_counted, "The question needs room too: count the whole prompt."
            ),
        },
    ),
    Exercise(
        name="rag.checked",
        reference=_checked,
        inputs=_reply,
        cases=40,
        hint="First the numbers; none, or one that was not shown, is a refusal. Then each word of "
        "the text has to be among the words of the passages cited.",
        remark="What passes is a quotation. Whether it answers the question is not known.",
        wrong={
            "believed": Wrong(_believed, "You believed every reply: look the citations up."),
            "numbers only": Wrong(
                partial(_checked, words=False),
                "You checked that the passages exist, and not that they say so.",
            ),
            "everywhere": Wrong(
                partial(_checked, everywhere=True),
                "You looked for the words in all passages. The answer points to one: look there.",
            ),
            "silent": Wrong(
                partial(_checked, silent=True),
                "A reply without any citation passed: all() of nothing is True.",
            ),
            "from zero": Wrong(
                partial(_checked, first=0), "You counted passages from 0. [1] is the first."
            ),
        },
    ),
    Exercise(
        name="rag.context_precision",
        reference=_context_precision,
        inputs=_relevant,
        hint="At each rank with a passage that helps: the share of helpful ones down to there. "
        "Then the mean of these.",
        remark="1 says that all that helps stands on top, whatever follows.",
        wrong={
            "share": Wrong(_plain_share, "This is the share that helps: order has to count."),
            "first only": Wrong(
                _reciprocal_rank, "You stopped at the first passage that helps: take all that do."
            ),
            "all ranks": Wrong(
                _over_all_ranks,
                "You divided by all passages: divide by how many of them help.",
            ),
            "every rank": Wrong(
                _every_rank, "You averaged over every rank: only those count where one helps."
            ),
        },
    ),
    Exercise(
        name="rag.marginal",
        reference=_marginal,
        inputs=_scores_and_likelihoods,
        hint="Softmax of the scores is p(z | x); multiply it with the rows p(y | x, z) and add.",
        remark="It sums to 1: a mixture of distributions is one.",
        wrong={
            "best only": Wrong(
                _best_only, "You asked the best passage only: the others have their weight too."
            ),
            "alike": Wrong(_all_alike, "All passages weigh alike: use the scores."),
            "raw": Wrong(
                _raw_scores, "Scores are no probabilities: they need a softmax over the passages."
            ),
            "product": Wrong(
                _product,
                "You averaged logarithms: then one passage that says no rules an answer out. "
                "Add probabilities.",
            ),
        },
    ),
    Exercise(
        name="rag.outcomes",
        reference=_outcomes,
        inputs=_answers,
        hint="Count the answers that are no refusals, the right ones among them, and the "
        "questions that have an answer.",
        remark="Refusing everything has precision 1 and recall 0: report both.",
        wrong={
            "refusals wrong": Wrong(
                _refusals_are_wrong,
                "For precision you divided by all questions: a refusal is no answer.",
            ),
            "refusals right": Wrong(
                _refusals_are_right,
                "You counted refusals among the right answers: recall asks about questions that "
                "have one.",
            ),
            "answerable only": Wrong(
                _answerable_only,
                "You left out the questions without an answer. An answer to one of them is wrong, "
                "and precision has to see it.",
            ),
            "swapped": Wrong(_swapped, "The two are swapped: recall comes first."),
        },
    ),
)

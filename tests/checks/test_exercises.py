"""Every exercise of the book: the right answer passes, and each wrong one is told why."""

import pytest

from llmlib.checks import Choice, all_exercises, check

EXERCISES = all_exercises()
COMPARED = [name for name, one in EXERCISES.items() if not isinstance(one, Choice)]
CHOICES = [name for name, one in EXERCISES.items() if isinstance(one, Choice)]
WRONG = [(name, wrong) for name in COMPARED for wrong in EXERCISES[name].wrong]


def untouched(*args, **kwargs): ...


def unfinished(*args, **kwargs):
    raise NotImplementedError


FUNCTIONS = [name for name in COMPARED if callable(EXERCISES[name].reference)]
STUBS = [(name, stub) for name in EXERCISES for stub in (None, ...)]
STUBS += [(name, stub) for name in FUNCTIONS for stub in (untouched, unfinished)]


@pytest.mark.parametrize("name", COMPARED)
def test_the_reference_passes(name, capsys):
    exercise = EXERCISES[name]
    assert check(name, exercise.reference)
    total = exercise.cases if callable(exercise.reference) else 1
    assert f"{name}: {total} of {total} cases right." in capsys.readouterr().out


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_each_wrong_answer_is_told_its_own_message(name, wrong):
    exercise = EXERCISES[name]
    report = exercise.judge(exercise.wrong[wrong].answer)
    assert not report.passed
    assert f"  what happened: {exercise.wrong[wrong].message}" in report.lines
    assert report.lines[-1] == f"  hint: {exercise.hint}"


@pytest.mark.parametrize("name", COMPARED)
def test_messages_differ_and_say_something(name):
    exercise = EXERCISES[name]
    assert exercise.wrong, "list the wrong answers that learners give"
    messages = [wrong.message for wrong in exercise.wrong.values()]
    assert len({*messages, exercise.hint}) == len(messages) + 1
    assert min(map(len, [*messages, exercise.hint])) > 20


@pytest.mark.parametrize(("name", "stub"), STUBS)
def test_a_stub_is_not_attempted(name, stub, capsys):
    assert not check(name, stub)
    assert capsys.readouterr().out == f"{name}: not attempted.\n"


@pytest.mark.parametrize("name", COMPARED)
def test_nonsense_is_reported_and_not_raised(name):
    exercise = EXERCISES[name]
    for nonsense in (lambda *args: "nonsense", lambda: 0, lambda *args: args[99], "nonsense"):
        assert not exercise.judge(nonsense).passed


@pytest.mark.parametrize("name", CHOICES)
def test_every_label_is_explained_in_its_own_words(name):
    choice = EXERCISES[name]
    assert len(choice.why) >= 3
    assert len(set(choice.why.values())) == len(choice.why)
    for label, why in choice.why.items():
        report = choice.judge(label)
        assert report.passed == (label == choice.right)
        assert why in report.lines[0]
    labels = ", ".join(map(repr, choice.why))
    assert choice.judge("no such label").lines[0].endswith(f"is not a choice: give {labels}.")

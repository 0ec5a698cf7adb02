"""How answers are judged, on exercises made for it."""

import numpy as np
import pytest
import torch

from llmlib.checks import Choice, Exercise, Wrong, check, draw
from llmlib.checks.compare import describe, first_difference

CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def softmax(scores):
    return scores.softmax(dim=-1)


SOFTMAX = Exercise(
    name="made.softmax",
    reference=softmax,
    inputs=lambda g: (draw.normal(g, draw.integer(g, 2, 4), 5),),
    hint="Every row sums to 1.",
    wrong={
        "other axis": Wrong(lambda scores: scores.softmax(dim=0), "The columns sum to 1."),
        "bare powers": Wrong(lambda scores: scores.exp(), "Nothing was divided by the sum."),
    },
    remark="A softmax is an average waiting to happen.",
)


def test_a_right_answer_in_another_form_passes():
    report = SOFTMAX.judge(lambda x: (x - x.max()).exp() / (x - x.max()).exp().sum(-1, True))
    assert report.passed
    assert report.lines == (
        "made.softmax: 20 of 20 cases right.",
        "  A softmax is an average waiting to happen.",
    )


def test_how_much_is_right_is_counted():
    right = sum(
        SOFTMAX.inputs(torch.Generator().manual_seed(case))[0].shape[0] == 3 for case in range(20)
    )
    report = SOFTMAX.judge(lambda x: softmax(x) if len(x) == 3 else x)
    assert 0 < right < 20
    assert report.lines[0] == f"made.softmax: {right} of 20 cases right."
    assert not any("what happened" in line for line in report.lines)


def test_the_first_difference_names_case_place_and_inputs():
    def answer(scores):
        output = softmax(scores)
        if len(scores) == 4:
            output[1, 2] = 7.0
        return output

    report = SOFTMAX.judge(answer)
    sizes = [len(SOFTMAX.inputs(torch.Generator().manual_seed(case))[0]) for case in range(20)]
    first = sizes.index(4)
    assert report.lines[1].startswith(
        f"  first difference (case {first + 1}): at [1, 2] you have 7,"
    )
    assert report.lines[2] == "  inputs of that case: scores (4, 5)"
    assert report.lines[-1] == "  hint: Every row sums to 1."


def test_an_error_is_reported_with_its_line():
    def answer(scores):
        scores = scores + 1
        return scores @ scores  # the line that raises

    report = SOFTMAX.judge(answer)
    line = answer.__code__.co_firstlineno + 2
    assert f"your answer raised RuntimeError in line {line}: " in report.lines[1]
    assert not report.passed


def test_an_answer_cannot_harm_its_successor_or_the_reader():
    def in_place(scores):
        return scores.sub_(scores.max()).exp_().div_(scores.sum(-1, True))

    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert SOFTMAX.judge(in_place).passed
    assert SOFTMAX.judge(lambda scores: torch.rand(2)).lines[0].endswith(" 0 of 20 cases right.")
    assert torch.equal(torch.get_rng_state(), before)


def test_verdicts_are_the_same_on_every_run():
    assert SOFTMAX.judge(torch.rand_like) == SOFTMAX.judge(torch.rand_like)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_not_swallowed(interrupt):
    def answer(scores):
        raise interrupt

    with pytest.raises(interrupt):
        SOFTMAX.judge(answer)


def test_an_exercise_may_ask_for_an_error():
    def reference(n):
        if n < 3:
            raise ValueError("too small")
        return n

    exercise = Exercise(
        name="made.refuse",
        reference=reference,
        inputs=lambda g: (draw.integer(g, 1, 4),),
        hint="Refuse small numbers.",
        wrong={"accepts all": Wrong(lambda n: n, "You refuse nothing.")},
    )
    assert exercise.judge(reference).passed
    report = exercise.judge(lambda n: n)
    assert "your answer returned a value, expected a ValueError" in report.lines[1]
    assert "  what happened: You refuse nothing." in report.lines


def test_the_answer_may_be_a_value_or_a_module():
    number = Exercise(
        name="made.bytes",
        reference=4096,
        hint="Four bytes each.",
        wrong={"bits": Wrong(32768, "These are bits.")},
    )
    assert number.judge(4096.0).lines == ("made.bytes: 1 of 1 cases right.",)
    assert number.judge(32768).lines[1:] == (
        "  first difference (case 1): you have 32768, expected 4096",
        "  what happened: These are bits.",
        "  hint: Four bytes each.",
    )
    assert not number.judge(None).passed
    module = Exercise(
        name="made.layer",
        reference=torch.nn.Identity,
        inputs=lambda g: (draw.normal(g, 2, 3),),
        run=lambda answer, x: answer()(x),
        hint="Give back what came in.",
        wrong={"dropout": Wrong(torch.nn.Dropout, "Half of it is missing.")},
    )
    assert module.judge(torch.nn.Identity).passed
    assert "  what happened: Half of it is missing." in module.judge(torch.nn.Dropout).lines


def test_a_choice_forgives_spelling_and_nothing_else():
    choice = Choice(
        name="made.sign", right="b", why={"a": "Never.", "b": "Always."}, hint="Square it."
    )
    assert choice.judge(" (B) ").lines == (
        "made.sign: (b) is right. Always.",
        "  (a) Never.",
    )
    assert choice.judge("a").lines == (
        "made.sign: (a) is not right. Never.",
        "  hint: Square it.",
    )
    for odd in ("ab", 2, ["b"], torch.zeros(2)):
        assert "is not a choice: give 'a', 'b'" in choice.judge(odd).lines[0]
    with pytest.raises(ValueError, match="right='c'"):
        Choice(name="made.sign", right="c", why={"a": "Never."}, hint="")


def test_check_prints_and_names_what_is_close(capsys):
    assert check("attention.scaled_scores", lambda q, k: q @ k.transpose(-2, -1)) is False
    out = capsys.readouterr().out
    assert out.startswith("attention.scaled_scores: 0 of 20 cases right.\n  first difference")
    assert max(map(len, out.splitlines())) <= 88
    with pytest.raises(ValueError, match=r"'attention.scaled_score'.*attention.scaled_scores"):
        check("attention.scaled_score", None)
    with pytest.raises(ValueError, match="attention"):
        check("zzz", None)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (torch.tensor([1.0, 2.0]), torch.tensor([1.00001, 2.0])),
        ([1, 2], torch.tensor([1.0, 2.0])),
        (np.array([1.0, 2.0]), torch.tensor([1.0, 2.0], dtype=torch.float64)),
        (torch.tensor([float("nan"), float("inf")]), torch.tensor([float("nan"), float("inf")])),
        (torch.tensor(3), 3.0),
        (np.float32(0.5), 0.5),
        (torch.ones(2, requires_grad=True) * 2, torch.tensor([2.0, 2.0])),
        ("cat", "cat"),
        ([1, (2, "a")], (1, [2, "a"])),
        ({"a": 1.0, "b": [2]}, {"b": [2.0], "a": 1}),
        (True, True),
        (torch.Size([2, 3]), (2, 3)),
    ],
)
def test_equal(actual, expected):
    assert first_difference(actual, expected, **CLOSE) is None


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (torch.tensor([1.0, 2.1]), torch.tensor([1.0, 2.0]), "at [1] you have 2.1, expected 2"),
        (torch.tensor([float("nan")]), torch.tensor([0.0]), "at [0] you have nan, expected 0"),
        (torch.tensor(1.5), 2, "you have 1.5, expected 2"),
        (torch.ones(3), torch.ones(3, 1), "you have shape (3,), expected (3, 1)"),
        (torch.ones(1), 1.0, "you have shape (1,), expected () (one number)"),
        (torch.ones(2), torch.ones(2).bool(), "you have dtype torch.float32, expected torch.bool"),
        (1, True, "you have dtype torch.int64, expected torch.bool"),
        ("cat", 1.0, "you have 'cat' (str), expected a number"),
        (None, torch.ones(2), "you have None (NoneType), expected a tensor of shape (2,)"),
        ("cat", "dog", "you have 'cat', expected 'dog'"),
        ([1, 2], [1, 2, 3], "you have 2 values, expected 3"),
        ("ab", ["a", "b"], "you have 'ab', expected 2 values in a list"),
        ([1, 2.5], (1, 2.0), "in value 1: you have 2.5, expected 2"),
        ({"a": 1}, {"b": 1}, "you have the keys ['a'], expected ['b']"),
        ({"a": 1}, {"a": 2}, "under 'a': you have 1, expected 2"),
        ([("a", 1)], {"a": 1}, "you have [('a', 1)], expected a dictionary"),
    ],
)
def test_first_difference(actual, expected, message):
    assert first_difference(actual, expected, **CLOSE) == message


def test_describe_is_short():
    assert describe(torch.arange(7.0)) == "(7,)"
    assert describe(torch.tensor(2.0)) == "2"
    assert describe(list(range(100))).endswith("...")
    assert len(describe("x" * 100)) == 60


def test_draws_come_from_the_generator_alone():
    def draws(seed):
        g = torch.Generator().manual_seed(seed)
        return [
            draw.normal(g, 2, 3),
            draw.uniform(g, 4, low=-1.0),
            draw.mask(g, 5, 6),
            draw.tokens(g, 3, vocab_size=9),
            torch.tensor(draw.integer(g, 1, 100)),
        ]

    torch.manual_seed(0)
    first = draws(1)
    torch.manual_seed(1)
    assert all(torch.equal(one, other) for one, other in zip(draws(1), first, strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(draws(2), first, strict=True))

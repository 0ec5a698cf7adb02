"""Arithmetic, tool calls and copy segments: right answers, splits that hold."""

import contextlib
import io
import json
import operator
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.data import (
    arithmetic_problems,
    copy_segments,
    make_island,
    program_problems,
    tool_tasks,
)
from llmlib.data.programs import NUMBER_KINDS, WORD_KINDS
from llmlib.data.tool_calls import TASK_KINDS

SPLITS = ("train", "validation", "test")
OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def printed(code):
    """What a line of ours prints; it is run here, as the library never does."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    return out.getvalue().strip()


def test_answers_are_right():
    problems = list(arithmetic_problems(2000, seed=3))
    assert {problem.operation for problem in problems} == set("+-*")
    for problem in problems:
        assert (
            int(problem.answer) == OPERATIONS[problem.operation](problem.left, problem.right) >= 0
        )
        left, right = map(int, re.findall(r"\d+", problem.question))
        assert sorted((left, right)) == sorted((problem.left, problem.right))
        assert problem.expression == f"{problem.left} {problem.operation} {problem.right}"


def test_taking_away_is_asked_in_the_right_order():
    asked = [p for p in arithmetic_problems(300, operations="-") if p.question.startswith("Take")]
    assert asked
    for problem in asked:
        assert problem.question == f"Take {problem.right} away from {problem.left}."


def test_problems_of_different_splits_never_meet():
    made = {
        split: {p.expression for p in arithmetic_problems(3000, seed=1, split=split)}
        for split in SPLITS
    }
    assert not made["train"] & made["validation"]
    assert not made["train"] & made["test"]
    assert not made["validation"] & made["test"]
    assert min(map(len, made.values())) > 300


@pytest.mark.parametrize(
    ("options", "message"),
    [({"split": "dev"}, "'dev'"), ({"operations": "/"}, "'/'"), ({"largest": 3}, "largest 3")],
)
def test_wrong_problems(options, message):
    with pytest.raises(ValueError, match=message):
        list(arithmetic_problems(1, **options))


@pytest.mark.parametrize("split", SPLITS)
def test_calls_lead_to_the_answer(split):
    island = make_island(seed=2, split=split)
    for task in tool_tasks(300, seed=2, split=split):
        assert task.kind in TASK_KINDS
        for call in task.calls:
            request = json.loads(call.request)
            assert request == {"name": call.tool, "arguments": call.arguments}
            if call.tool == "search":
                title = request["arguments"]["query"]
                assert title in task.question
                assert call.result == island.article(title).text
            elif call.tool == "python":
                assert call.result == printed(request["arguments"]["code"])
            else:
                left, operation, right = request["arguments"]["expression"].split()
                assert call.result == str(OPERATIONS[operation](int(left), int(right)))
        assert task.answer in task.calls[-1].result
        if task.kind == "both":
            numbers = task.calls[1].arguments["expression"].split()[::2]
            in_question = re.findall(r"\d+", task.question)
            in_article = re.findall(r"\d+", task.calls[0].result)
            assert sorted(numbers) == sorted(
                [*in_question, next(n for n in in_article if n in numbers)]
            )


def test_the_second_call_needs_what_the_first_found():
    seen = set()
    for task in tool_tasks(200, seed=5, split="test", kinds=("both", "look up and run")):
        first, second = task.calls
        seen.add(second.tool)
        (given,) = second.arguments.values()
        words = re.findall(r"\d+|[A-Z][a-z]+", given)
        assert any(word in first.result and word not in task.question for word in words), task
    assert seen == {"calculator", "python"}


def test_an_island_of_another_split_is_refused():
    with pytest.raises(ValueError, match="the island is for 'train'"):
        list(tool_tasks(1, split="test", island=make_island()))


def test_kinds_come_as_often():
    kinds = [task.kind for task in tool_tasks(30)]
    assert {kind: kinds.count(kind) for kind in TASK_KINDS} == dict.fromkeys(TASK_KINDS, 6)
    assert list(tool_tasks(30, seed=1)) == list(tool_tasks(30, seed=1))
    assert [task.kind for task in tool_tasks(3, kinds=("run",))] == ["run"] * 3


def test_an_unknown_kind_of_task_is_refused():
    with pytest.raises(ValueError, match="'guess'"):
        list(tool_tasks(1, kinds=("guess",)))
    with pytest.raises(ValueError, match="give some of"):
        list(tool_tasks(1, kinds=()))


@pytest.mark.parametrize("split", SPLITS)
def test_programs_print_their_answers(split):
    problems = list(program_problems(400, seed=6, split=split))
    assert {problem.kind for problem in problems} == {*NUMBER_KINDS, *WORD_KINDS}
    for problem in problems:
        assert problem.answer == printed(problem.code), problem
        for value in re.findall(r"\d\d+|[A-Z][a-z]+", problem.code):
            assert value in problem.question


def test_programs_of_different_splits_never_meet():
    made = {s: {p.code for p in program_problems(2000, seed=7, split=s)} for s in SPLITS}
    assert not made["train"] & made["validation"]
    assert not made["train"] & made["test"]
    assert not made["validation"] & made["test"]
    with pytest.raises(ValueError, match="'dev'"):
        list(program_problems(1, split="dev"))


@given(
    st.integers(2, 500),
    st.integers(1, 20),
    st.integers(0, 20),
    st.integers(0, 2**32),
    st.sampled_from(SPLITS),
)
def test_a_segment_comes_twice(vocab_size, shortest, more, seed, split):
    if vocab_size**shortest < 200:  # too few segments for every split to have some
        shortest += 8
    for segment in copy_segments(
        5, vocab_size=vocab_size, shortest=shortest, longest=shortest + more, seed=seed, split=split
    ):
        half = segment.learned_from
        assert shortest <= half <= shortest + more
        assert segment.ids[:half] == segment.ids[half:]
        assert all(0 <= token < vocab_size for token in segment.ids)


def test_segments_leave_out_tokens_and_splits_never_meet():
    made = {
        split: {
            tuple(s.ids)
            for s in copy_segments(
                300, vocab_size=12, shortest=3, longest=3, leave_out=[0, 5], split=split
            )
        }
        for split in SPLITS
    }
    assert not any({0, 5} & set(ids) for found in made.values() for ids in found)
    assert not made["train"] & (made["validation"] | made["test"])
    assert not made["validation"] & made["test"]


def test_wrong_segments():
    with pytest.raises(ValueError, match="lengths 5 to 4"):
        copy_segments(1, vocab_size=10, shortest=5, longest=4)
    with pytest.raises(ValueError, match="1 tokens"):
        copy_segments(1, vocab_size=2, leave_out=[0])
    with pytest.raises(ValueError, match="'dev'"):
        copy_segments(1, vocab_size=9, split="dev")

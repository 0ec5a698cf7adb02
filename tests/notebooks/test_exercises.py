"""The exercises of the chapters: declared, not attempted in the stub, solved in the solution.

nbval proves that the stored outputs are what the cells print; here they are read.
"""

import re
from pathlib import Path

import pytest

from llmlib.checks import all_exercises
from tools.book_files import Book
from tools.chapter import Chapter, printed, source, tags
from tools.notebook_lint import CHECK

BOOK = Book()
CHAPTERS = [Chapter(path, BOOK) for path in BOOK.notebooks()]


def cells(tag):
    """(chapter, cell) for every cell with the tag."""
    return [
        pytest.param(chapter, cell, id=f"{Path(chapter.name).stem}-{cell['id']}")
        for chapter in CHAPTERS
        for cell in chapter.code
        if tag in tags(cell)
    ]


def outcomes(cell):
    """Exercise -> what `check` said of it, as stored."""
    said = "".join(printed(cell))
    keys = CHECK.findall(source(cell))
    return {key: re.findall(rf"^{re.escape(key)}: (.*)$", said, re.MULTILINE) for key in keys}


def solved(verdict):
    return bool(re.match(r"(\d+) of \1 cases right|\(\w+\) is right", verdict))


@pytest.mark.parametrize(("chapter", "cell"), cells("exercise"))
def test_stub_prints_not_attempted(chapter, cell):
    for key, verdicts in outcomes(cell).items():
        assert verdicts == ["not attempted."], f"{chapter.name}: {cell['id']}: {key}"


@pytest.mark.parametrize(("chapter", "cell"), cells("solution"))
def test_solution_passes_its_check(chapter, cell):
    for key, verdicts in outcomes(cell).items():
        assert verdicts, f"{chapter.name}: {cell['id']}: {key} printed nothing"
        assert all(map(solved, verdicts)), f"{chapter.name}: {cell['id']}: {key}: {verdicts}"


def test_declared_exercises_and_those_in_the_chapters_are_the_same():
    used = [
        key
        for chapter in CHAPTERS
        for cell in chapter.code
        if "exercise" in tags(cell)
        for key in set(CHECK.findall(source(cell)))
    ]
    assert len(used) == len(set(used)), "an exercise stands in two places"
    declared = set(all_exercises())
    assert set(used) - declared == set(), "in a chapter, but not declared in llmlib.checks"
    # exercises named after a part or a chapter that the book does not have yet may wait for it
    there = {re.sub(r"^\d+_", "", word) for name in BOOK.toc for word in name.split("/")}
    owed = {name for name in declared if name.split(".")[0] in there}
    assert owed, "no exercise belongs to a chapter"
    assert owed - set(used) == set(), "declared in llmlib.checks, but in no chapter"


@pytest.mark.parametrize(
    ("verdict", "wanted"),
    [
        ("20 of 20 cases right.", True),
        ("19 of 20 cases right.", False),
        ("2 of 20 cases right.", False),
        ("(b) is right. A square is never negative.", True),
        ("(b) is not right.", False),
        ("not attempted.", False),
    ],
)
def test_full_marks_are_told_from_others(verdict, wanted):
    assert solved(verdict) == wanted

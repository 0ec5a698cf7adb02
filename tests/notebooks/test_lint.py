"""Every chapter keeps every rule of `tools.notebook_lint`."""

import pytest

from tools.book_files import Book
from tools.notebook_lint import RULES, problems

BOOK = Book()


def test_there_are_chapters_and_the_contents_has_no_others():
    named = {f"{name}.ipynb" for name in BOOK.toc if name.startswith("notebooks/")}
    there = {BOOK.name(path) for path in BOOK.notebooks()}
    assert there, "no notebook found"
    assert named <= there, "in _toc.yml, but not in notebooks/"


@pytest.mark.parametrize("rule", RULES)
def test_every_chapter_keeps(rule):
    only = {rule: RULES[rule]}
    found = [line for path in BOOK.notebooks() for line in problems(path, BOOK, only)]
    assert not found, "\n" + "\n".join(found)

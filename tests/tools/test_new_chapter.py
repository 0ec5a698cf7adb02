"""A new chapter keeps every rule that a tool can keep, and stands in its place."""

import pytest

from tools import new_chapter
from tools.anatomy import SECTIONS
from tools.book_files import Book, read_notebook
from tools.notebook_lint import RULES, problems

# What only the author can do: the printed lines say so.
LEFT = {"written", "a_figure_moves", "exercises", "executed_in_order", "costs_recorded"}


def lay_out(book, part, name):
    return new_chapter.main([f"PART={part}", f"NAME={name}"], book)


def contents(book):
    return [line.split("file: ")[1] for line in toc(book).splitlines() if "file: " in line]


def toc(book):
    return (book.root / "_toc.yml").read_text()


def test_a_new_chapter_breaks_only_the_rules_that_are_left_to_its_author(book, draft, capsys):
    assert lay_out(book, "04_attention", "02_heads") == 0
    path = book.root / "notebooks/04_attention/02_heads.ipynb"
    made = Book(book.root)
    assert {name for name, rule in RULES.items() if problems(path, made, {name: rule})} == LEFT
    assert [cell.id for cell in read_notebook(path, "").cells] == list(SECTIONS)
    said = capsys.readouterr().out
    for words in ("*To write:*", "viz.show", "llmlib/checks/attention.py", "make notebooks NB="):
        assert words in said


def test_the_contents_keep_their_comments_and_order(book, draft):
    before = toc(book)
    assert lay_out(book, "04_attention", "03_third") == 0
    assert lay_out(book, "04_attention", "02_second") == 0
    assert lay_out(book, "06_later", "01_one") == 0
    assert lay_out(book, "05_post_training", "01_one") == 0
    assert lay_out(book, "02_earlier", "01_one") == 0
    assert contents(book) == [
        "notebooks/02_earlier/01_one",
        "notebooks/04_attention/01_first",
        "notebooks/04_attention/02_second",
        "notebooks/04_attention/03_third",
        "notebooks/05_post_training/01_one",
        "notebooks/06_later/01_one",
        "book/glossary",
    ]
    after = toc(book)
    assert all(line in after.splitlines() for line in before.splitlines())
    assert "  - caption: 05 Post training\n    numbered: 2\n    chapters:\n" in after
    assert Book(book.root).toc[1:-1] == tuple(contents(book)[:-1])


def test_the_first_chapter_of_all(book):
    (book.root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nparts:\n"
        "  - caption: Reference\n    chapters:\n      - file: book/glossary\n"
    )
    assert lay_out(book, "01_start", "01_one") == 0
    assert contents(book) == ["book/glossary", "notebooks/01_start/01_one"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name the part and the chapter; usage: make new-chapter PART="),
        (["PART=", "NAME="], "name the part and the chapter"),
        (["PART=04_attention"], "name the part and the chapter"),
        (["04_attention", "02_heads"], "name the part and the chapter"),
        (["PART=04_attention", "NAME=heads"], "NAME=heads: two digits, then"),
        (["PART=attention", "NAME=02_heads"], "PART=attention: two digits, then"),
        (["PART=04_attention", "NAME=02 heads"], "NAME=02 heads: two digits, then"),
        (["PART=../04_attention", "NAME=02_heads"], "two digits, then"),
        (["PART=04_attention", "NAME=02_Heads"], "NAME=02_Heads: two digits, then"),
        (["PART=04_attention", "NAME=01_first"], "01_first.ipynb is there already"),
        (["PART=04_attention", "NAME=01_other"], "01_first.ipynb is there already"),
        (["PART=04_attentoin", "NAME=02_heads"], "use PART=04_attention"),
    ],
)
def test_bad_names_are_one_line_and_change_nothing(book, draft, capsys, arguments, words):
    before = toc(book)
    assert new_chapter.main(arguments, book) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert toc(book) == before
    assert book.notebooks() == [draft.path]


@pytest.mark.parametrize("broken", ["parts: [", "root: a\nchapters: [{file: b}]\n"])
def test_contents_of_another_form_are_refused_in_one_line(book, capsys, broken):
    (book.root / "_toc.yml").write_text(broken)
    assert lay_out(book, "04_attention", "01_first") == 2
    said = capsys.readouterr().err
    assert "add notebooks/04_attention/01_first by hand" in said
    assert said.count("\n") == 1
    assert toc(book) == broken
    assert book.notebooks() == []

"""Names of notebooks, the table of contents, and the stored form of a notebook."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools.book_files import Book, BookError, notebook_text, read_notebook


def add(book, name):
    path = book.root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(notebook_text(new_notebook()))
    return path


@pytest.mark.parametrize(
    "word",
    [
        "01_first",
        "first",
        "04_attention/01_first",
        "notebooks/04_attention/01_first.ipynb",
        "./notebooks/04_attention/01_first.ipynb",
        r"notebooks\04_attention\01_first.ipynb",
        "04_attention",
        "attention",
        "notebooks/04_attention/",
    ],
)
def test_a_notebook_is_found_by(book, draft, word):
    assert book.find(word) == [draft.path]


def test_a_notebook_is_found_by_its_absolute_path(book, draft):
    assert book.find(str(draft.path)) == [draft.path]


def test_a_part_names_all_its_chapters(book, draft):
    second = add(book, "04_attention/02_second")
    assert book.find("04_attention") == [draft.path, second]


def test_an_unknown_name_is_one_line_with_what_is_near(book, draft):
    with pytest.raises(BookError, match=r"no notebook is called '01_frist'; did you mean 01_first"):
        book.find("01_frist")
    with pytest.raises(BookError, match="no notebook is called 'zzz'"):
        book.find("zzz")


def test_a_name_of_two_chapters_asks_for_the_part(book, draft):
    add(book, "05_transformer/03_first")
    with pytest.raises(
        BookError, match=r"2 notebooks.*04_attention.*05_transformer.*name the part"
    ):
        book.find("first")
    assert len(book.find("05_transformer/03_first")) == 1


def test_checkpoints_of_an_editor_are_no_chapters(book, draft):
    hidden = draft.path.parent / ".ipynb_checkpoints" / "01_first-checkpoint.ipynb"
    hidden.parent.mkdir()
    hidden.write_text("{}")
    assert book.notebooks() == [draft.path]


def test_contents_addresses_and_citations(book):
    assert book.toc == ("book/intro", "notebooks/04_attention/01_first", "book/glossary")
    assert book.citations == {"vaswani2017attention"}
    assert book.colab_url("notebooks/a.ipynb") == (
        "https://colab.research.google.com/github/someone/vectors/blob/main/notebooks/a.ipynb"
    )


def test_sections_of_the_contents_are_read(book):
    (book.root / "_toc.yml").write_text(
        "root: a\nparts:\n- chapters:\n  - file: b\n    sections:\n    - file: c\n"
    )
    assert book.toc == ("a", "b", "c")


def test_a_missing_or_broken_configuration_is_one_line(tmp_path):
    with pytest.raises(BookError, match=r"_toc.yml is missing"):
        _ = Book(tmp_path).toc
    (tmp_path / "_toc.yml").write_text("a: [1\nb: 2")
    with pytest.raises(BookError, match=r"_toc.yml is not valid YAML") as caught:
        _ = Book(tmp_path).toc
    assert "\n" not in str(caught.value)


def test_what_belongs_to_a_run_or_an_editor_is_not_stored():
    cell = new_code_cell("1", id="a", metadata={"execution": {"iopub.status": "1"}, "tags": ["t"]})
    made = new_notebook(
        cells=[cell], metadata={"widgets": {}, "language_info": {"name": "python", "version": "3"}}
    )
    text = notebook_text(made)
    assert "iopub" not in text
    assert "widgets" not in text
    assert '"version"' not in text
    assert '"tags"' in text
    assert "execution" in made.cells[0].metadata, "the notebook in memory stays as it is"


def test_storing_twice_changes_nothing(tmp_path):
    outputs = [
        new_output("stream", name="stdout", text="-0.0 é 词\n\u2028x"),
        new_output("display_data", data={"application/json": {"b": -0.0, "a": [1, 2.5]}}),
    ]
    text = notebook_text(new_notebook(cells=[new_code_cell("x\ny", id="a", outputs=outputs)]))
    path = tmp_path / "a.ipynb"
    path.write_text(text, encoding="utf-8")
    again = read_notebook(path, "a")
    assert notebook_text(again) == text
    assert again.cells[0].outputs[0].text == outputs[0].text
    assert "-0.0" in text
    assert "词" in text
    assert text.endswith("}\n")

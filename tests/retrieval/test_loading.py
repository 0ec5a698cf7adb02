"""Loaders: what was written into a file comes out, headings can be split at, errors help."""

import sys

import pytest

from llmlib.retrieval import load_document, load_folder, split_headings, split_text

PAGE = """<!doctype html><html><head><title>No</title><style>p { color: red }</style></head><body>
<nav>Home | About</nav><script>alert("no")</script>
<h1>The island</h1><p>It has <b>two</b> villages:</p>
<ul><li>Tarobe<ul><li>on a hill</li></ul></li><li>Lunika</li></ul>
<h2>The mill</h2><p>Green &amp; old.</p><pre>a  b
c</pre><table><tr><th>year</th><th>who</th></tr><tr><td>1848</td><td>Sofoza</td></tr></table>
</body></html>"""


def test_plain_text_and_markdown(tmp_path):
    for name, text in (("a.txt", "one\n\ntwo\n"), ("b.md", "# Mühle\n\n河边的磨坊。")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        document = load_document(tmp_path / name)
        assert document.text == text
        assert document.source == str(tmp_path / name)
        assert document.metadata["format"] == name[2:]


def test_html_keeps_text_and_headings_only(tmp_path):
    pytest.importorskip("bs4")
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    text = load_document(tmp_path / "page.html").text
    blocks = text.split("\n\n")
    assert blocks == [
        "# The island",
        "It has two villages:",
        "- Tarobe",
        "- on a hill",
        "- Lunika",
        "## The mill",
        "Green & old.",
        "```\na  b\nc\n```",
        "year | who",
        "1848 | Sofoza",
    ]
    paths = [chunk.metadata["path"] for chunk in split_headings(text)]
    assert paths == ["The island", "The island > The mill"]


def test_word(tmp_path):
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.add_heading("The island", level=1)
    document.add_paragraph("It has two villages.")
    document.add_paragraph("Tarobe", style="List Bullet")
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "year", "1848"
    document.add_heading("The mill", level=2)
    document.add_paragraph("It is green.")
    document.save(str(tmp_path / "island.docx"))
    blocks = load_document(tmp_path / "island.docx").text.split("\n\n")
    assert blocks == [
        "# The island", "It has two villages.", "- Tarobe", "year | 1848", "## The mill",
        "It is green.",
    ]  # fmt: skip


def write_pdf(path, pages):
    """A small PDF with one line of text on each page."""
    pypdf = pytest.importorskip("pypdf")
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(300, 200)
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    writer.write(path)


def test_pdf_remembers_its_pages(tmp_path):
    write_pdf(tmp_path / "a.pdf", ["The mill is green.", "The boat is red."])
    document = load_document(tmp_path / "a.pdf")
    assert document.text == "The mill is green.\n\nThe boat is red."
    chunks = split_text(document, size=20)
    assert [(chunk.text, chunk.metadata["page"]) for chunk in chunks] == [
        ("The mill is green.", "1"),
        ("The boat is red.", "2"),
    ]


def test_a_pdf_without_text_says_so(tmp_path):
    write_pdf(tmp_path / "scan.pdf", ["", ""])
    with pytest.raises(ValueError, match=r"scan.pdf has 2 pages and no text"):
        load_document(tmp_path / "scan.pdf")


def test_a_folder_gives_its_files_in_order(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.md", "a.txt", "sub/c.txt", "picture.png"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert [document.source for document in load_folder(tmp_path)] == ["a.txt", "b.md", "sub/c.txt"]
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_folder(tmp_path / "nowhere")


def test_unknown_endings_and_missing_files(tmp_path):
    with pytest.raises(ValueError, match=r"x.png ends in '.png'"):
        load_document(tmp_path / "x.png")
    with pytest.raises(FileNotFoundError, match="no file"):
        load_document(tmp_path / "x.txt")


@pytest.mark.parametrize(
    ("ending", "module", "package"),
    [
        (".html", "bs4", "beautifulsoup4"),
        (".pdf", "pypdf", "pypdf"),
        (".docx", "docx", "python-docx"),
    ],
)
def test_a_missing_extra_is_named(tmp_path, monkeypatch, ending, module, package):
    file = tmp_path / f"a{ending}"
    file.write_text("<p>text</p>")
    monkeypatch.setitem(sys.modules, module, None)  # what import does with it: ImportError
    with pytest.raises(ImportError, match=rf"{package}: pip install 'llmlib\[retrieval\]'"):
        load_document(file)

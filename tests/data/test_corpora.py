"""Loading text: built-in names, local files through ``datasets``, and the one switch."""

import builtins
import json

import pytest

from llmlib.data import BUILT_IN_TEXTS, PUBLIC_TEXTS, corpora, load_corpus, load_text
from llmlib.data.corpora import read_built_in

LINES = ["The first line.", "第二行 😀", "  ", "", "the last"]
KEPT = ["The first line.", "第二行 😀", "the last"]


def write_txt(path):
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")


def write_jsonl(path):
    rows = (json.dumps({"text": line, "number": i}) for i, line in enumerate(LINES))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_parquet(path):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"text": LINES, "number": list(range(len(LINES)))})
    pytest.importorskip("pyarrow.parquet").write_table(table, path)


WRITERS = {"txt": write_txt, "jsonl": write_jsonl, "parquet": write_parquet}


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets")


@pytest.mark.parametrize("kind", list(WRITERS))
def test_local_files(tmp_path, kind, datasets):
    path = tmp_path / f"some text.{kind}"
    WRITERS[kind](path)
    assert list(load_text(path)) == KEPT
    assert list(load_text(str(path), limit=2)) == KEPT[:2]
    assert list(load_text(path, limit=0)) == []


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path, datasets):
    for name, line in (("b.txt", "two"), ("a.txt", "one"), ("c.txt", "three")):
        (tmp_path / name).write_text(line + "\n")
    (tmp_path / "README.md").write_text("not data")
    assert list(load_text(tmp_path)) == ["one", "two", "three"]


def test_another_column_can_be_named(tmp_path, datasets):
    path = tmp_path / "a.jsonl"
    path.write_text('{"story": "once", "id": 1}\n')
    assert list(load_text(path, field="story")) == ["once"]
    with pytest.raises(ValueError, match=r"no column 'text'; the columns are \['id', 'story'\]"):
        list(load_text(path))


def test_files_are_streamed(tmp_path, datasets, monkeypatch):
    path = tmp_path / "a.txt"
    write_txt(path)
    asked = {}
    real = datasets.load_dataset
    monkeypatch.setattr(
        datasets, "load_dataset", lambda **options: asked.update(options) or real(**options)
    )
    next(load_text(path))
    assert asked["streaming"] is True


@pytest.mark.parametrize("name", list(PUBLIC_TEXTS))
def test_public_sets_need_the_switch_and_take_the_same_path(name, datasets, monkeypatch):
    with pytest.raises(ValueError, match="download=True"):
        load_text(name)
    asked = {}

    def pretend(**options):
        asked.update(options)
        return iter([{"text": line} for line in LINES])

    monkeypatch.setattr(datasets, "load_dataset", pretend)
    assert list(load_text(name, download=True, split="validation")) == KEPT
    public = PUBLIC_TEXTS[name]
    assert asked == {
        "path": public.path, "name": public.config, "split": "validation", "streaming": True,
    }  # fmt: skip


@pytest.mark.parametrize("name", BUILT_IN_TEXTS)
def test_built_in_texts_need_no_package(name, monkeypatch):
    real = builtins.__import__

    def refuse(module, *rest, **options):
        if module.split(".")[0] == "datasets":
            raise ImportError(module)
        return real(module, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert len(list(load_text(name, limit=7))) == 7


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    write_txt(tmp_path / "a.txt")
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ImportError, match=r"llmlib\[ecosystem\]"):
        list(load_text(tmp_path / "a.txt"))


def test_a_file_wins_over_a_name(tmp_path, monkeypatch, datasets):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wikitext-2").mkdir()
    (tmp_path / "wikitext-2" / "mine.txt").write_text("mine\n")
    assert list(load_text("wikitext-2")) == ["mine"]


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="neither a file nor one of: river-town-en"):
        load_text("no-such-thing")
    with pytest.raises(ValueError, match="limit -1"):
        load_text("river-town-en", limit=-1)
    with pytest.raises(ValueError, match="files of one kind"):
        load_text(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.csv").write_text("text\nx\n")
    with pytest.raises(ValueError, match=r"\['.csv', '.txt'\]"):
        load_text(tmp_path)
    (tmp_path / "c.bin").write_text("x")
    with pytest.raises(ValueError, match=r"\['.bin'\]"):
        load_text(tmp_path / "c.bin")
    with pytest.raises(ValueError, match="not one of"):
        read_built_in("wikitext-2")


def test_the_two_languages_of_the_river_town_go_line_by_line():
    english, chinese = (read_built_in(f"river-town-{language}") for language in ("en", "zh"))
    assert len(english) == len(chinese) == 20
    for one, other in zip(english, chinese, strict=True):
        assert 2.5 < len(one) / len(other) < 4.5
        assert one.isascii()
        assert not any("a" <= letter.lower() <= "z" for letter in other)


def test_every_built_in_text_has_a_card():
    for folder in ("texts", "word_world"):
        card = corpora.resources.files("llmlib.data") / folder / "card.md"
        text = card.read_text(encoding="utf-8")
        assert "Licence" in text
        assert "not good for" in text


@pytest.mark.online
def test_a_public_set_is_read_by_its_name():
    texts = list(load_text("tiny-stories", split="validation", limit=3, download=True))
    assert len(texts) == 3
    assert all(len(text) > 50 for text in texts)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("kind", list(WRITERS))
def test_a_corpus_gives_whole_rows(tmp_path, monkeypatch, kind, streaming, datasets):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = tmp_path / f"rows.{kind}"
    WRITERS[kind](path)
    rows = list(load_corpus(path, streaming=streaming))
    if kind == "txt":
        assert [row["text"] for row in rows if row["text"].strip()] == KEPT
    else:
        assert rows == [{"text": line, "number": i} for i, line in enumerate(LINES)]


def test_stories_written_by_the_command_are_read_back(tmp_path, datasets):
    from llmlib.data.stories import generate_stories
    from llmlib.data.stories.__main__ import main

    file = tmp_path / "stories.jsonl"
    main(["--count", "6", "--format", "jsonl", "--out", str(file)])
    assert [row["text"] for row in load_corpus(file)] == [s.text for s in generate_stories(6)]


def test_a_public_corpus_takes_the_same_path_behind_the_switch(monkeypatch, datasets):
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda **what: asked.append(what) or [{"a": 1}])
    with pytest.raises(ValueError, match="pass download=True to allow it"):
        load_corpus("wikitext-2")
    assert asked == []
    assert list(load_corpus("wikitext-2", split="test", streaming=False, download=True)) == [
        {"a": 1}
    ]
    [what] = asked
    assert what == {
        "path": "Salesforce/wikitext",
        "name": "wikitext-2-raw-v1",
        "split": "test",
        "streaming": False,
    }


def test_a_corpus_that_is_not_one(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="use load_text"):
        load_corpus("river-town-en")
    with pytest.raises(ValueError, match="neither a file nor one of: river-town-en"):
        load_corpus("nowhere")
    path = tmp_path / "a.txt"
    path.write_text("line\n")
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"llmlib\[ecosystem\]"):
        load_corpus(path)

"""A chapter that keeps every rule passes; each way of breaking one is found, and by that rule."""

import subprocess

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tools.notebook_lint import RULES, problems


def broken_rules(draft):
    """The rules that the chapter on disk breaks, and what they say."""
    said = {name: problems(draft.path, draft.book, {name: rule}) for name, rule in RULES.items()}
    return {name: found for name, found in said.items() if found}


def output(**kinds):
    return new_output("display_data", data={k.replace("_", "/"): v for k, v in kinds.items()})


def stream(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def change(draft, identifier, **values):
    draft.cell(identifier).update(values)


def retag(draft, identifier, *tags):
    draft.cell(identifier).metadata["tags"] = list(tags)


def replace(draft, identifier, old, new):
    cell = draft.cell(identifier)
    assert old in cell.source
    cell.source = cell.source.replace(old, new)


def drop(draft, identifier):
    draft.notebook.cells.remove(draft.cell(identifier))
    draft.number()


def swap(draft, one, other):
    cells = draft.notebook.cells
    a, b = cells.index(draft.cell(one)), cells.index(draft.cell(other))
    cells[a], cells[b] = cells[b], cells[a]


def add_code(draft, **values):
    draft.insert("build-up", new_code_cell(**{"source": "x = 1", "id": "extra", **values}))
    draft.number()


def add_text(draft, source):
    draft.insert("build-up", new_markdown_cell(source, id="extra"))


# rule, how it is broken, words that the message has
DAMAGE = [
    ("ids", lambda d: change(d, "run", id="Run_1"), "lower-case letters, digits, hyphens"),
    ("ids", lambda d: change(d, "run", id="3f1c9b02"), "made by an editor"),
    ("ids", lambda d: change(d, "drawing", id="run"), "2 cells have this id"),
    ("executed_in_order", lambda d: change(d, "run", execution_count=None), "never executed"),
    ("executed_in_order", lambda d: change(d, "setup", execution_count=7), "[7] where [1]"),
    ("executed_in_order", lambda d: add_code(d, source="  "), "empty code cell"),
    (
        "outputs_clean",
        lambda d: add_code(
            d, outputs=[new_output("error", ename="KeyError", evalue="", traceback=[])]
        ),
        "ends in KeyError",
    ),
    ("outputs_clean", lambda d: add_code(d, outputs=[stream("old", "stderr")]), "stderr"),
    ("outputs_clean", lambda d: add_code(d, outputs=[stream(" 40%|##  | 2/5")]), "progress bar"),
    (
        "outputs_clean",
        lambda d: add_code(
            d,
            outputs=[new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})],
        ),
        "widget",
    ),
    ("short_cells", lambda d: add_code(d, source="x = 1\n" * 31), "31 lines, at most 30"),
    ("no_absolute_path", lambda d: add_code(d, source='open("/home/me/a.txt")'), "/home/me"),
    ("no_absolute_path", lambda d: add_code(d, outputs=[stream("/tmp/x1\n")]), "/tmp/x1"),
    ("no_absolute_path", lambda d: add_text(d, r"Open C:\Users\me"), r"C:\Users"),
    ("known_tags", lambda d: retag(d, "run", "nbval-skip"), "unknown tag nbval-skip"),
    ("known_tags", lambda d: retag(d, "run", "rtol=5"), "at most 0.5"),
    ("known_tags", lambda d: retag(d, "run", "rtol=wide"), "rtol=wide"),
    ("known_tags", lambda d: add_code(d, source="# NBVAL_SKIP"), "comment that steers"),
    (
        "outputs_compared",
        lambda d: retag(d, "run", "nbval-ignore-output"),
        "1 of 1 printing cells",
    ),
    ("anatomy", lambda d: drop(d, "invariants"), "cell `invariants`: missing"),
    ("anatomy", lambda d: swap(d, "library", "equal"), "`equal`: stands where `library`"),
    ("anatomy", lambda d: replace(d, "summary", "## ", "**"), "heading of the second level"),
    ("headings", lambda d: add_text(d, "# Another title"), "only the title"),
    ("headings", lambda d: add_text(d, "#### Too deep"), "level is left out"),
    ("written", lambda d: replace(d, "summary", "Written:", "*To write:*"), "`summary`: not"),
    ("set_up", lambda d: replace(d, "setup", "seed=0", "seed=1"), "set-up cell of every"),
    ("colab_badge", lambda d: replace(d, "title", "/main/", "/other/"), "Colab badge has to be"),
    ("a_figure_moves", lambda d: drop(d, "run"), "no figure moves"),
    ("alt_text", lambda d: d.cell("run").metadata.clear(), "figure without alt text"),
    ("alt_text", lambda d: add_text(d, "![](../../book/assets/drawing.svg)"), "no alt text"),
    ("alt_text", lambda d: add_text(d, '<img src="x.svg">'), "<img> without alt"),
    (
        "alt_text",
        lambda d: (
            d.cell("run").outputs[0].data["application/vnd.plotly.v1+json"]["layout"].pop("meta")
        ),
        "show(…, alt=…)",
    ),
    (
        "images",
        lambda d: d.cell("run").outputs.append(output(image_png="iVBO" * 70_000)),
        "a figure of 210 kB",
    ),
    ("images", lambda d: add_text(d, "![A bar](missing.svg)"), "no file missing.svg"),
    ("images", lambda d: add_text(d, "![A bar](https://a.org/b.png)"), "file of this repository"),
    ("citations", lambda d: add_text(d, "{cite:t}`nobody2020`"), "nobody2020 is not in"),
    ("exercises", lambda d: drop(d, "ex-0-solution"), "add the cell `ex-0-solution`"),
    ("exercises", lambda d: drop(d, "ex-0"), "a solution without an exercise"),
    ("exercises", lambda d: retag(d, "ex-0"), "3 exercises"),
    ("exercises", lambda d: retag(d, "ex-0-solution", "solution"), "needs the tags"),
    ("exercises", lambda d: swap(d, "ex-0", "ex-0-solution"), "after its exercise"),
    ("exercises", lambda d: replace(d, "ex-0", "q0", "q1"), "same key"),
]


def test_a_good_chapter_breaks_no_rule(draft):
    assert problems(draft.path, draft.book) == []


@pytest.mark.parametrize(
    ("rule", "damage", "words"), DAMAGE, ids=[f"{rule}-{words}" for rule, _, words in DAMAGE]
)
def test_damage_is_found_by_its_rule(draft, rule, damage, words):
    damage(draft)
    draft.save()
    found = broken_rules(draft)
    assert rule in found, found
    assert any(words in message for message in found[rule]), found[rule]
    assert all(message.startswith(f"{draft.name}: ") for message in found[rule])


def test_every_rule_has_a_test():
    on_files = {"stored_as_tidied", "in_contents", "costs_recorded", "ids_kept"}
    assert {rule for rule, _, _ in DAMAGE} | on_files == set(RULES)


def test_a_notebook_outside_the_contents_is_one_line(draft):
    draft.name = "notebooks/04_attention/02_loose.ipynb"
    replace(draft, "title", "01_first", "02_loose")
    draft.save()
    assert broken_rules(draft) == {
        "in_contents": [f"{draft.name}: not in _toc.yml: add it there, or delete the notebook"],
        "costs_recorded": [
            f"{draft.name}: no costs in book/data/notebook_costs.json: "
            f"run `make notebooks NB={draft.name}`"
        ],
    }


def test_a_chapter_without_sections_is_told_each(draft):
    draft.notebook.cells = draft.notebook.cells[:3]
    draft.save()
    missing = [line for line in broken_rules(draft)["anatomy"] if "missing" in line]
    assert len(missing) == 12


def test_formatting_of_an_editor_is_found(draft):
    draft.path.write_text(draft.path.read_text().replace(" ", "  "))
    assert "stored_as_tidied" in broken_rules(draft)


@pytest.mark.parametrize("content", ["", "{", '{"cells": []}', "[]"])
def test_what_is_no_notebook_is_one_line(draft, content):
    draft.path.write_text(content)
    (line,) = problems(draft.path, draft.book)
    assert line.startswith(f"{draft.name}: not a ")
    assert "\n" not in line


def test_a_cell_without_an_id_is_found(draft):
    draft.path.write_text(draft.path.read_text().replace('"id": "run",', ""))
    (line,) = problems(draft.path, draft.book)
    assert "has no id" in line


def test_an_id_that_changed_since_the_last_commit_is_found(draft):
    def git(*words):
        author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run(["git", *author, *words], cwd=draft.book.root, check=True)

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message=first")
    assert broken_rules(draft) == {}
    change(draft, "run", id="run-it")
    draft.save()
    (message,) = broken_rules(draft)["ids_kept"]
    assert "cell `run-it`: was `run` in HEAD: ids never change" in message
    # a cell that is new, or gone, or changed in its words keeps the rule
    change(draft, "run-it", id="run", source="show(2)")
    drop(draft, "drawing")
    add_text(draft, "Something new.")
    draft.save()
    assert broken_rules(draft) == {}

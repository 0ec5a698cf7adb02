"""The rules that every chapter keeps, checked without running anything.

Each rule is one function: it takes a chapter and yields, for everything that breaks it, which cell,
what is wrong and how to mend it. `python -m tools.notebooks --check` prints them for people,
`tests/notebooks/test_lint.py` makes each one a test.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat

from tools.anatomy import SECTIONS, TO_WRITE, badge, setup_cell
from tools.book_files import COSTS, Book, BookError, committed, notebook_text, read_notebook
from tools.chapter import (
    IGNORE,
    Chapter,
    moves,
    moving_figures,
    pictures,
    printed,
    prose,
    section_headings,
    source,
    tags,
    text,
    where,
)

MAX_LINES = 30
MAX_IMAGE_KB = 200
MAX_IGNORED = 1 / 5  # of the printing cells
MAX_RTOL = 0.5
TAGS = {IGNORE, "exercise", "solution", "hide-cell", "hide-input", "hide-output", "remove-cell"}

ID = re.compile(r"[a-z0-9-]{1,64}")
CHECK = re.compile(r"""\bcheck\(\s*["']([\w.]+)["']""")


Rule = Callable[[Chapter], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(check: Rule) -> Rule:
    RULES[check.__name__] = check
    return check


def problems(path: Path, book: Book, rules: dict[str, Rule] = RULES) -> list[str]:
    """What breaks a rule in one notebook: 'notebook: cell `id`: what: how to mend it'."""
    chapter = Chapter(path.resolve(), book)
    try:
        broken = [f"{chapter.name}: {found}" for found in valid(chapter)]
        return broken or [
            f"{chapter.name}: {found}" for check in rules.values() for found in check(chapter)
        ]
    except BookError as error:
        return [str(error)]


# --- the file -------------------------------------------------------------------------------------


def valid(chapter: Chapter) -> Iterator[str]:
    """It is a notebook of format 4.5, in which every cell has an id."""
    if (chapter.stored.get("nbformat"), chapter.stored.get("nbformat_minor")) != (4, 5):
        yield "not in notebook format 4.5: set nbformat to 4 and nbformat_minor to 5"
    for number, cell in enumerate(chapter.cells, start=1):
        if "id" not in cell:
            opening = text(cell.get("source", "")).strip().split("\n")[0][:40]
            yield f"cell {number} ({opening!r}) has no id: give it a readable one"
    if all("id" in cell for cell in chapter.cells):
        # not nbformat.validate, which gives new ids to cells as it goes
        for error in nbformat.validator.iter_validate(chapter.stored):
            yield f"not a valid notebook: {str(error).splitlines()[0]}"


@rule
def stored_as_tidied(chapter: Chapter) -> Iterator[str]:
    if chapter.text != notebook_text(read_notebook(chapter.path, chapter.name)):
        yield (
            "stored with an editor's own formatting or metadata: "
            f"run `make notebooks NB={chapter.name}`"
        )


@rule
def in_contents(chapter: Chapter) -> Iterator[str]:
    if chapter.name.removesuffix(".ipynb") not in chapter.book.toc:
        yield "not in _toc.yml: add it there, or delete the notebook"


@rule
def costs_recorded(chapter: Chapter) -> Iterator[str]:
    table = chapter.book.root / COSTS
    rows = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    if chapter.name not in rows:
        yield f"no costs in {COSTS}: run `make notebooks NB={chapter.name}`"


# --- cells ----------------------------------------------------------------------------------------


@rule
def ids(chapter: Chapter) -> Iterator[str]:
    for identifier, times in Counter(cell["id"] for cell in chapter.cells).items():
        if not ID.fullmatch(identifier):
            yield f"cell `{identifier}`: an id has 1 to 64 lower-case letters, digits, hyphens"
        if re.fullmatch(r"[0-9a-f]{8}(-?[0-9a-f-]+)?", identifier):
            yield f"cell `{identifier}`: an id made by an editor: name it after what the cell does"
        if times > 1:
            yield f"cell `{identifier}`: {times} cells have this id: give each its own"


@rule
def ids_kept(chapter: Chapter) -> Iterator[str]:
    """Translations are keyed by ids: a cell of the last commits keeps the one it had."""
    now = {cell["id"]: source(cell) for cell in chapter.cells}
    for revision in ("HEAD", "HEAD^"):
        before = committed(chapter.book.root, chapter.name, revision)
        then = {cell.get("id"): cell.source for cell in before.cells} if before else {}
        fresh = {words: identifier for identifier, words in now.items() if identifier not in then}
        for identifier, words in then.items():
            if identifier not in now and words in fresh:
                yield f"cell `{fresh[words]}`: was `{identifier}` in {revision}: ids never change"


@rule
def executed_in_order(chapter: Chapter) -> Iterator[str]:
    mend = f"run `make notebooks NB={chapter.name}`"
    for number, cell in enumerate(chapter.code, start=1):
        if not source(cell).strip():
            yield f"{where(cell)}: an empty code cell: delete it"
        elif cell["execution_count"] is None:
            yield f"{where(cell)}: never executed: {mend}"
            return
        elif cell["execution_count"] != number:
            count = cell["execution_count"]
            yield f"{where(cell)}: executed as [{count}] where [{number}] was next: {mend}"
            return


@rule
def outputs_clean(chapter: Chapter) -> Iterator[str]:
    for cell in chapter.code:
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                yield f"{where(cell)}: ends in {output['ename']}: mend it, or catch and print it"
            if output.get("name") == "stderr":
                yield f"{where(cell)}: writes to stderr: mend the cause (warning, progress bar)"
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                yield f"{where(cell)}: a widget does nothing on the page: use llmlib.viz.show"
        if any(re.search(r"\d%\|", words) for words in printed(cell)):
            yield f"{where(cell)}: a stored progress bar: switch it off"


@rule
def short_cells(chapter: Chapter) -> Iterator[str]:
    for cell in chapter.cells:
        lines = len(source(cell).splitlines())
        if lines > MAX_LINES:
            yield f"{where(cell)}: {lines} lines, at most {MAX_LINES}: split it"


@rule
def no_absolute_path(chapter: Chapter) -> Iterator[str]:
    path = re.compile(
        r"""(?<![\w.:/~-])/(?:home|root|tmp|usr|var|opt|mnt|work|content|Users|private)/[\w.-]+"""
        r"|file://\S+|\b[A-Z]:\\\\?[A-Za-z]\w+"
    )
    for cell in chapter.cells:
        for words in (source(cell), *printed(cell)):
            if found := path.search(words):
                yield f"{where(cell)}: {found[0]} is a path of one machine: use a relative one"
                break


@rule
def known_tags(chapter: Chapter) -> Iterator[str]:
    for cell in chapter.cells:
        for tag in tags(cell):
            if tag.startswith("rtol="):
                try:
                    fine = 0 < float(tag.removeprefix("rtol=")) <= MAX_RTOL
                except ValueError:
                    fine = False
                if not fine:
                    yield f"{where(cell)}: tag {tag}: a number over 0, at most {MAX_RTOL}"
            elif tag not in TAGS:
                yield f"{where(cell)}: unknown tag {tag}: known are {', '.join(sorted(TAGS))}"
        if re.search(r"^\s*#\s*(NBVAL_|PYTEST_VALIDATE_)", source(cell), re.MULTILINE):
            yield f"{where(cell)}: a comment that steers the comparison: tag the cell {IGNORE}"


@rule
def outputs_compared(chapter: Chapter) -> Iterator[str]:
    if message := too_many_ignored(chapter.cells):
        yield message


def too_many_ignored(cells: list[dict]) -> str | None:
    """What to say when over a fifth of the printing cells are left out of the comparison."""
    printing = [cell for cell in cells if cell.get("outputs")]
    ignored = [cell.get("id", "?") for cell in printing if IGNORE in tags(cell)]
    if len(ignored) <= MAX_IGNORED * len(printing):
        return None
    return (
        f"{len(ignored)} of {len(printing)} printing cells are tagged {IGNORE} "
        f"({', '.join(ignored)}), at most a fifth may be: seed them, print fewer decimals, or "
        "print a robust fact"
    )


# --- the chapter ----------------------------------------------------------------------------------


@rule
def anatomy(chapter: Chapter) -> Iterator[str]:
    there = [cell["id"] for cell in chapter.cells]
    missing = [name for name in SECTIONS if name not in there]
    for name in missing:
        yield f"cell `{name}`: missing: {SECTIONS[name]} (see CONTRIBUTING.md)"
    order = sorted((name for name in SECTIONS if name in there), key=there.index)
    wanted = [name for name in SECTIONS if name in there]
    for found, expected in zip(order, wanted, strict=True):
        if found != expected:
            yield f"cell `{found}`: stands where `{expected}` was next: {' → '.join(SECTIONS)}"
            break
    for name in wanted:
        cell, kind = chapter.cell(name), "code" if name == "setup" else "markdown"
        if cell["cell_type"] != kind:
            yield f"cell `{name}`: has to be a {kind} cell"
        elif name not in ("title", "goals", "setup") and not source(cell).startswith("## "):
            yield f"cell `{name}`: has to begin with a heading of the second level (## …)"


@rule
def headings(chapter: Chapter) -> Iterator[str]:
    """One title, and no level left out below it, so that the page has an outline."""
    level = 0
    for cell in chapter.markdown:
        for heading in section_headings(cell):
            depth = len(heading) - len(heading.lstrip("#"))
            if depth == 1 and cell["id"] != "title":
                yield f"{where(cell)}: {heading}: only the title is a heading of the first level"
            elif depth > level + 1:
                yield f"{where(cell)}: {heading}: a level is left out above this heading"
            level = depth


@rule
def written(chapter: Chapter) -> Iterator[str]:
    for cell in chapter.cells:
        if TO_WRITE in source(cell):
            yield f"{where(cell)}: not written yet: put your text where `{TO_WRITE}` stands"


@rule
def set_up(chapter: Chapter) -> Iterator[str]:
    cell = chapter.cell("setup")
    wanted = setup_cell(chapter.book.config["repository"]["url"])
    if cell and source(cell) != wanted:
        yield f"cell `setup`: not the set-up cell of every notebook, which is:\n{wanted}"


@rule
def colab_badge(chapter: Chapter) -> Iterator[str]:
    cell = chapter.cell("title")
    wanted = badge(chapter.book.colab_url(chapter.name))
    if cell and wanted not in source(cell):
        yield f"cell `title`: the Colab badge has to be {wanted}"


@rule
def a_figure_moves(chapter: Chapter) -> Iterator[str]:
    if not any(moves(figure) for cell in chapter.code for figure in moving_figures(cell)):
        yield "no figure moves: show one with llmlib.viz.show(slider(…) or selector(…), name)"


@rule
def alt_text(chapter: Chapter) -> Iterator[str]:
    for cell in chapter.code:
        alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
        if any(pictures(cell)) and not alt.strip():
            yield f"{where(cell)}: a figure without alt text: metadata mystnb.image.alt"
        for figure in moving_figures(cell):
            meta = figure.get("layout", {}).get("meta") or {}
            if not meta.get("alt", "").strip() or meta["alt"].startswith("Moving figure "):
                yield f"{where(cell)}: a moving figure without alt text: show(…, alt=…)"
    for cell in chapter.markdown:
        for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", prose(cell)):
            if not alt.strip():
                yield f"{where(cell)}: {target} has no alt text: ![what it shows]({target})"
        for image in re.findall(r"<img\b[^>]*>", prose(cell)):
            if not re.search(r"""\balt=["'][^"']+""", image):
                yield f"{where(cell)}: an <img> without alt text"


@rule
def images(chapter: Chapter) -> Iterator[str]:
    limit = MAX_IMAGE_KB * 1000
    for cell in chapter.code:
        for picture in pictures(cell):
            size = len(picture) if picture.lstrip().startswith("<") else len(picture) * 3 // 4
            if size > limit:
                yield (
                    f"{where(cell)}: a figure of {size // 1000} kB, at most {MAX_IMAGE_KB}: "
                    "fewer points or a smaller figure"
                )
    for cell in chapter.markdown:
        for target in re.findall(r"!\[[^\]]*\]\(([^)\s]+)", prose(cell)):
            if target.startswith(("http:", "https:", "//", "data:")):
                yield f"{where(cell)}: {target[:60]}: a picture has to be a file of this repository"
            elif not (file := chapter.path.parent / target).is_file():
                yield f"{where(cell)}: there is no file {target}"
            elif file.stat().st_size > limit:
                yield f"{where(cell)}: {target} is over {MAX_IMAGE_KB} kB: make it smaller"


@rule
def citations(chapter: Chapter) -> Iterator[str]:
    for cell in chapter.markdown:
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", source(cell)):
            for key in (part.strip() for part in keys.split(",")):
                if key not in chapter.book.citations:
                    yield f"{where(cell)}: {key} is not in book/references.bib: add its entry"


@rule
def exercises(chapter: Chapter) -> Iterator[str]:
    """Four to six stubs, each followed by a hidden solution that calls the same check."""
    there = [cell["id"] for cell in chapter.cells]
    stubs = [cell for cell in chapter.code if "exercise" in tags(cell)]
    if not 4 <= len(stubs) <= 6:
        yield f"{len(stubs)} exercises (code cells tagged `exercise`): a chapter has four to six"
    for stub in stubs:
        name = f"{stub['id']}-solution"
        solution = chapter.cell(name)
        if not re.match(r"ex-[a-z0-9-]+$", stub["id"]):
            yield f"{where(stub)}: the id of an exercise has to begin with ex-"
        if solution is None:
            yield f"{where(stub)}: no solution: add the cell `{name}`"
            continue
        if there.index(name) < there.index(stub["id"]):
            yield f"cell `{name}`: has to stand after its exercise"
        if not {"solution", "hide-cell"} <= set(tags(solution)):
            yield f"cell `{name}`: needs the tags solution and hide-cell"
        keys = [CHECK.findall(source(cell)) for cell in (stub, solution)]
        if len(set(keys[0])) != 1 or set(keys[0]) != set(keys[1]):
            yield f"{where(stub)}: stub and solution have to call check(…) with the same key"
    for cell in chapter.code:
        pair = chapter.cell(cell["id"].removesuffix("-solution"))
        if "solution" in tags(cell) and (pair is None or "exercise" not in tags(pair)):
            yield f"{where(cell)}: a solution without an exercise"

"""The files of the book: configuration, contents, bibliography, notebooks and their names."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import reads, writes

ROOT = Path(__file__).resolve().parent.parent
COSTS = "book/data/notebook_costs.json"


class BookError(Exception):
    """Something a person can mend; its text is the one line to show them."""


@dataclass(frozen=True)
class Book:
    """A checkout of the book."""

    root: Path = ROOT

    @cached_property
    def config(self) -> dict:
        return self._yaml("_config.yml")

    @property
    def repository(self) -> str:
        """`owner/name` on GitHub."""
        return self.config["repository"]["url"].removeprefix("https://github.com/").strip("/")

    @cached_property
    def toc(self) -> tuple[str, ...]:
        """Every file of the table of contents, in order, without suffix."""
        return tuple(toc_files(self._yaml("_toc.yml")))

    @cached_property
    def citations(self) -> frozenset[str]:
        """The keys of the bibliography."""
        text = "".join(
            (self.root / name).read_text(encoding="utf-8")
            for name in self.config["bibtex_bibfiles"]
        )
        return frozenset(re.findall(r"^@\w+\{\s*([^,\s]+)\s*,", text, re.MULTILINE))

    def colab_url(self, name: str) -> str:
        """Where Colab opens the notebook `name`, a path from the root."""
        branch = self.config["repository"]["branch"]
        return f"https://colab.research.google.com/github/{self.repository}/blob/{branch}/{name}"

    def name(self, path: Path) -> str:
        """A notebook's path from the root, with forward slashes."""
        return path.resolve().relative_to(self.root).as_posix()

    def notebooks(self) -> list[Path]:
        return sorted(
            path
            for path in (self.root / "notebooks").rglob("*.ipynb")
            if ".ipynb_checkpoints" not in path.parts
        )

    def find(self, word: str) -> list[Path]:
        """The notebooks that a word names: a path, a part, a chapter, with or without its number.

        Raises BookError when there is none, or when a chapter's name stands for several.
        """
        wanted = word.replace("\\", "/").removesuffix(".ipynb").rstrip("/")
        if Path(wanted).is_absolute() and Path(wanted).is_relative_to(self.root):
            wanted = Path(wanted).relative_to(self.root).as_posix()
        wanted = wanted.removeprefix("./").removeprefix("notebooks/")
        known: dict[str, list[Path]] = {}
        for path in self.notebooks():
            for name in _short_names(path.relative_to(self.root / "notebooks")):
                known.setdefault(name, []).append(path)
        if wanted not in known:
            near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
            there = f"did you mean {' or '.join(near)}?" if near else "`notebooks/` lists them."
            raise BookError(f"no notebook is called {word!r}; {there}")
        found = known[wanted]
        if len(found) > 1 and "/" not in wanted and any(_chapter(p) == wanted for p in found):
            paths = ", ".join(self.name(path) for path in found)
            raise BookError(
                f"{word!r} stands for {len(found)} notebooks: {paths}; name the part too"
            )
        return found

    def _yaml(self, name: str) -> dict:
        try:
            return yaml.safe_load((self.root / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BookError(f"{name} is missing: run this in a checkout of the book") from None
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise BookError(f"{name} is not valid YAML: {reason}") from None


def toc_files(entry: object) -> Iterator[str]:
    """All `root` and `file` entries below a node of `_toc.yml`."""
    if isinstance(entry, list):
        for item in entry:
            yield from toc_files(item)
    elif isinstance(entry, dict):
        for key, value in entry.items():
            if key in ("root", "file"):
                yield value
            elif key in ("parts", "chapters", "sections", "subtrees"):
                yield from toc_files(value)


def _chapter(path: Path) -> str:
    return re.sub(r"^\d+_", "", path.stem)


def _short_names(path: Path) -> set[str]:
    """What a notebook may be called; `path` starts at its part.

    Examples
    --------
    >>> sorted(_short_names(Path("04_attention/02_multi_head.ipynb")))
    ['02_multi_head', '04_attention', '04_attention/02_multi_head', 'attention', 'multi_head']
    """
    part = path.parent.as_posix()
    whole = path.with_suffix("").as_posix()
    return {whole, part, re.sub(r"^\d+_", "", part), path.stem, _chapter(path)}


def read_json(path: Path, name: str) -> dict:
    """What a notebook's file holds, or in one line why that is no notebook."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BookError(f"{name}: not a notebook ({error}): restore it with git") from None
    cells = stored.get("cells") if isinstance(stored, dict) else None
    whole = isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells)
    if not whole or "metadata" not in stored:
        raise BookError(f"{name}: not a notebook (no cells, no metadata): restore it with git")
    return stored


def read_notebook(path: Path, name: str) -> nbformat.NotebookNode:
    """A notebook with its lines joined; nothing is added to what its file holds."""
    text = json.dumps(read_json(path, name))
    try:
        return reads(text)  # nbformat.reads would give ids to cells that have none
    except (AttributeError, KeyError, TypeError) as error:
        raise BookError(f"{name}: not a notebook (no {error}): restore it with git") from None


def notebook_text(notebook: nbformat.NotebookNode) -> str:
    """A notebook as it is stored: sorted keys, one space of indent, nothing about the run itself.

    Left out: when cells ran, the version of Python, the state of widgets, what an editor remembers.
    """
    tidy = nbformat.from_dict(notebook)
    tidy.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    tidy.nbformat, tidy.nbformat_minor = 4, 5
    for cell in tidy.cells:
        for key in ("execution", "collapsed", "scrolled", "ExecuteTime", "colab", "id", "outputId"):
            cell.metadata.pop(key, None)
    return writes(tidy) + "\n"


def committed(root: Path, name: str, revision: str) -> nbformat.NotebookNode | None:
    """The notebook as it stands in a revision of git; None where there is no such version."""
    done = subprocess.run(
        ["git", "show", f"{revision}:./{name}"], cwd=root, capture_output=True, check=False
    )
    if done.returncode:
        return None
    return reads(done.stdout.decode("utf-8"))

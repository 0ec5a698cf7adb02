"""One way to get text: ours, a file of yours, or a public data set.

``load_text`` takes a name or a path:

========================  ==================================================================
``name_or_path``          what comes
========================  ==================================================================
``"river-town-en"``       20 paragraphs of English prose, written for the book (CC BY 4.0)
``"river-town-zh"``       the same 20 paragraphs in Chinese, line by line
``"word-world-en"``       sentences of the generated text of :mod:`llmlib.data.word_world`
``"word-world-zh"``       its Chinese twin, words separated by spaces
a path                    a ``.txt``, ``.jsonl``, ``.json``, ``.csv`` or ``.parquet`` file, or a
                          folder of files of one kind
a public name             see :data:`PUBLIC_TEXTS`; needs ``download=True``, the one switch
========================  ==================================================================

``load_corpus`` gives whole rows, with all their columns, of a file or a public set.

Files and public sets go through the same ``datasets.load_dataset`` call, streamed unless you say
otherwise, so that a set larger than memory works and ``limit`` downloads no more than it needs.
Public sets carry their own licences: read the card of a set before you publish what you made
from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from .word_world import chinese_word_world, english_word_world

__all__ = [
    "BUILT_IN_TEXTS",
    "PUBLIC_TEXTS",
    "PublicText",
    "load_corpus",
    "load_text",
    "read_built_in",
]

#: Texts that come with the library and need no other package.
BUILT_IN_TEXTS = ("river-town-en", "river-town-zh", "word-world-en", "word-world-zh")
BUILDERS = {
    ".txt": "text",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True, kw_only=True)
class PublicText:
    """Where a public text lives on the Hugging Face hub."""

    path: str  # repository of the data set
    config: str | None = None  # its configuration, where it has several
    field: str = "text"  # the column that holds the text


#: Public sets by the name that ``load_text`` knows them by. Read their cards for their licences.
PUBLIC_TEXTS = {
    "wikitext-2": PublicText(path="Salesforce/wikitext", config="wikitext-2-raw-v1"),
    "wikitext-103": PublicText(path="Salesforce/wikitext", config="wikitext-103-raw-v1"),
    "tiny-stories": PublicText(path="roneneldan/TinyStories"),
    "wikipedia-en": PublicText(path="wikimedia/wikipedia", config="20231101.en"),
    "wikipedia-zh": PublicText(path="wikimedia/wikipedia", config="20231101.zh"),
}


def load_text(
    name_or_path: str | Path,
    *,
    split: str = "train",
    field: str | None = None,
    limit: int | None = None,
    download: bool = False,
) -> Iterator[str]:
    """Give the texts of a corpus one by one, leaving out blank ones.

    Parameters
    ----------
    name_or_path : str or Path
        A built-in name, a file or folder, or a public name. A file wins over a name.
    split : str
        Which part of a public set; files have only ``"train"``.
    field : str, optional
        Column that holds the text, ``"text"`` unless the set says otherwise.
    limit : int, optional
        Stop after so many texts.
    download : bool
        Public sets are fetched only when this is True. Nothing else ever touches the network.

    Raises
    ------
    ValueError
        For an unknown name, a public name without ``download=True``, a missing column, a file
        type that is not known, or a folder of mixed or no files.
    ImportError
        When files or public sets are asked for and ``datasets`` is not installed.

    Examples
    --------
    >>> first = next(load_text("river-town-en"))
    >>> first[:38]
    'The town lies where two rivers meet. T'
    >>> len(list(load_text("word-world-zh", limit=5)))
    5
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit {limit} must be 0 or more")
    name = str(name_or_path)
    if not Path(name_or_path).exists() and name in BUILT_IN_TEXTS:
        texts = iter(read_built_in(name))
    else:
        public = None if Path(name_or_path).exists() else PUBLIC_TEXTS.get(name)
        column = field or (public.field if public else "text")
        rows = load_corpus(name_or_path, split=split, download=download)
        texts = _column(rows, column)
    return itertools.islice((text for text in texts if text.strip()), limit)


def load_corpus(
    source: str | Path, *, split: str = "train", streaming: bool = True, download: bool = False
) -> Any:
    """Open a corpus through ``datasets``: rows with all their columns.

    Parameters
    ----------
    source : str or Path
        A file, a folder of files of one kind, or a public name. A file wins over a name.
    split : str
        Which part of a public set; files have only ``"train"``.
    streaming : bool
        True reads row by row and never holds the set; False gives a set with a length and random
        access, kept in the cache of ``datasets``.
    download : bool
        The one switch: public sets are fetched only when this is True.

    Returns
    -------
    datasets.IterableDataset or datasets.Dataset
        Iterating over it gives one dict per row.

    Raises
    ------
    ValueError
        For an unknown name, a public name without ``download=True``, a file type that is not
        known, or a folder of mixed or no files.
    ImportError
        When ``datasets`` is not installed; the message names the extra.

    Examples
    --------
    >>> load_corpus("tiny-stories")
    Traceback (most recent call last):
        ...
    ValueError: 'tiny-stories' is a public set and would be downloaded; pass download=True to ...
    """
    path, name = Path(source), str(source)
    if path.exists():
        files = _files(path)
        what: dict[str, Any] = {"path": BUILDERS[Path(files[0]).suffix], "data_files": files}
    elif name in PUBLIC_TEXTS:
        if not download:
            raise ValueError(
                f"{name!r} is a public set and would be downloaded; pass download=True to allow it"
            )
        what = {"path": PUBLIC_TEXTS[name].path, "name": PUBLIC_TEXTS[name].config}
    elif name in BUILT_IN_TEXTS:
        raise ValueError(f"{name!r} comes with the library, as text alone: use load_text")
    else:
        known = ", ".join([*BUILT_IN_TEXTS, *PUBLIC_TEXTS])
        raise ValueError(f"{name!r} is neither a file nor one of: {known}")
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            "reading files and public sets needs the package 'datasets': "
            'pip install "llmlib[ecosystem]"'
        ) from error
    return datasets.load_dataset(split=split, streaming=streaming, **what)


def read_built_in(name: str) -> list[str]:
    """Return the lines of one of :data:`BUILT_IN_TEXTS`.

    Examples
    --------
    >>> [len(read_built_in(f"river-town-{language}")) for language in ("en", "zh")]
    [20, 20]
    """
    if name not in BUILT_IN_TEXTS:
        raise ValueError(f"{name!r} is not one of: {', '.join(BUILT_IN_TEXTS)}")
    language = name[-2:]
    if name.startswith("word-world"):
        world = english_word_world() if language == "en" else chinese_word_world()
        return world.text.splitlines()
    file = resources.files("llmlib.data") / "texts" / f"river_town.{language}.txt"
    return file.read_text(encoding="utf-8").splitlines()


def _files(path: Path) -> list[str]:
    """Return the data files at a path, sorted by name."""
    files = sorted(f for f in path.iterdir() if f.suffix in BUILDERS) if path.is_dir() else [path]
    kinds = sorted({f.suffix for f in files})
    if len(kinds) != 1 or kinds[0] not in BUILDERS:
        raise ValueError(
            f"{path} holds files of kind {kinds}; give files of one kind out of {list(BUILDERS)}"
        )
    return [str(f) for f in files]


def _column(rows: Iterable[dict[str, Any]], field: str) -> Iterator[str]:
    """Give one column."""
    for row in rows:
        if field not in row:
            raise ValueError(f"no column {field!r}; the columns are {sorted(row)}")
        yield row[field]

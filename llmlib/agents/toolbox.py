"""The tools that the companion knows: a calculator, a search, an interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmlib.agents.calculator import calculate
from llmlib.agents.sandbox import run_python
from llmlib.agents.tool import Tool
from llmlib.data.island import Island
from llmlib.retrieval import BM25, Document

__all__ = ["calculator_tool", "encyclopaedia", "island_tools", "python_tool", "search_tool"]


def calculator_tool() -> Tool:
    """The tool ``calculator``.

    Examples
    --------
    >>> calculator_tool().call({"expression": "17 + 25"})
    '42'
    """
    return Tool.from_function(calculate, name="calculator")


def python_tool(**limits: Any) -> Tool:
    """The tool ``python``: :func:`~llmlib.agents.run_python` with limits set beforehand.

    Examples
    --------
    >>> python_tool(weaker_ok=True).call({"code": "print(sum(range(17 + 1)))"})
    '153'
    """

    def python(code: str) -> str:
        """Run a Python program and give what it prints.

        Parameters
        ----------
        code : str
            The program.
        """
        return run_python(code, **limits).text

    return Tool.from_function(python)


def search_tool(find: Callable[[str], str]) -> Tool:
    """The tool ``search``, for any function from a query to a text.

    Examples
    --------
    >>> search_tool(lambda query: f"{query} is a village.").call({"query": "Tarobe"})
    'Tarobe is a village.'
    """

    def search(query: str) -> str:
        """Look something up in the encyclopaedia.

        Parameters
        ----------
        query : str
            The name of the entry.
        """
        return find(query)

    return Tool.from_function(search)


def encyclopaedia(island: Island) -> Callable[[str], str]:
    """Look things up on an island: the article of that name, or else the one that BM25 finds.

    Examples
    --------
    >>> from llmlib.data import make_island
    >>> island = make_island(seed=1)
    >>> find = encyclopaedia(island)
    >>> article = island.articles[0]
    >>> find(article.title) == article.text, find("zzz")
    (True, 'There is no article about it.')
    """
    by_title = {article.title.lower(): article.text for article in island.articles}
    index = BM25(Document(text=a.text, source=a.title) for a in island.articles)

    def find(query: str) -> str:
        exact = by_title.get(query.strip().lower())
        if exact is not None:
            return exact
        hits = index.search(query, 1)
        return hits[0].chunk.text if hits else "There is no article about it."

    return find


def island_tools(island: Island, **limits: Any) -> list[Tool]:
    """The three tools, with searches on an island.

    Parameters
    ----------
    island : Island
        What searches know.
    limits
        Of :func:`~llmlib.agents.run_python`.
    """
    return [calculator_tool(), python_tool(**limits), search_tool(encyclopaedia(island))]

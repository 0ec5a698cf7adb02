"""The plots of the world, in the notation of :mod:`llmlib.data.stories.notation`."""

from __future__ import annotations

import functools
from importlib import resources

from ..notation import Plot, parse_plots, parse_shared

__all__ = ["plots"]

#: Files of plots: things lost and found, those who help, things made, ways and secrets.
FILES = ("losing", "helping", "making", "wandering")


@functools.cache
def plots() -> tuple[Plot, ...]:
    """Return all plots of the world.

    Examples
    --------
    >>> len(plots())
    45
    """
    shared = parse_shared(_read("shared"))
    return tuple(plot for name in FILES for plot in parse_plots(_read(name), shared))


def _read(name: str) -> str:
    """Return the text of a file of this folder."""
    return (resources.files(__name__) / f"{name}.txt").read_text(encoding="utf-8")

"""A world small enough to write all its stories down."""

import pytest

from llmlib.data.stories import generate, read, record
from tests.data.tiny_world import plots


@pytest.fixture
def tiny_world(monkeypatch):
    """Put the two plots in the place of the real ones."""
    made = tuple(plots())
    for module in (generate, read, record):
        monkeypatch.setattr(module, "plots", lambda: made)
    generate.tellings.cache_clear()
    yield made
    generate.tellings.cache_clear()

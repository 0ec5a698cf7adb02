"""All tests run offline and on one thread, and so do the processes that they start."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import hypothesis
import loopback_only
import pytest

from tools.kernels import OFFLINE, environment

pytest_plugins = ["tests.notebooks.plugin"]


# The same examples on every run, and no limit on the time of one: machines are shared.
hypothesis.settings.register_profile("book", deadline=None, derandomize=True)
hypothesis.settings.load_profile("book")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.update(environment())
    loopback_only.install()


@pytest.fixture(autouse=True)
def _online(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lift the refusal for a test with the marker `online`, and for the processes it starts."""
    if request.node.get_closest_marker("online") is None:
        yield
        return
    paths = os.environ["PYTHONPATH"].split(os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in paths if p != str(OFFLINE)))
    for name in ("GIT_ALLOW_PROTOCOL", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name)
    with loopback_only.lifted():
        yield


@pytest.fixture(autouse=True)
def _printed_as_torch_does() -> None:
    """Take back the print options of a notebook's set-up, which another test may have called."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_printoptions(profile="default")

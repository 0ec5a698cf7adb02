"""All tests run offline and on one thread, and so do the processes that they start."""

from __future__ import annotations

import os
from collections.abc import Iterator

import loopback_only
import pytest

from tools.kernels import OFFLINE, environment

pytest_plugins = ["tests.notebooks.plugin"]


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

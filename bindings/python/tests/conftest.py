"""What all tests of the package share."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from ragpulse._reporter import process
from ragpulse.compat import _identity
from support import Hub, hub

# The same examples every time: a test that fails now and then tells nobody what to repair.
settings.register_profile("ragpulse", derandomize=True, database=None, deadline=None)
settings.load_profile("ragpulse")

# Settings of the person who runs the tests do not reach them.
for name in ("RAGPULSE_URL", "RAGPULSE_TOKEN", "RAGPULSE_TOKEN_FILE", "RAG_PIPELINE_ID", "RAG_SERVICE"):
    os.environ.pop(name, None)

# A shell ignores SIGINT for what it runs in the background, and processes inherit that: no test could interrupt one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def live() -> Iterator[Hub]:
    """A hub for tests that do not stop it."""
    with hub() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_pipeline_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_identity, "_ledgers", {})


@pytest.fixture(autouse=True)
def _reporters_are_stopped() -> Iterator[None]:
    yield
    for engine in list(process._used.values()):
        engine.stop()

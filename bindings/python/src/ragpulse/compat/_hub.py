"""The hub behind a pipeline's calls: a `Reporter` that is made with the first thing that is reported.

What may come in: any calls, from any thread, also after a fork. What it never does: raise, start anything before there
is something to report, or make two reporters of one pipeline in one process.
"""

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ragpulse._reporter.reporter import Reporter

log = logging.getLogger("ragpulse")


class Reports(Protocol):
    """What is used of a `Reporter`."""

    def report(self, event: str, data: Mapping[str, Any] | None = None) -> None:
        """Reports an event."""

    def offline(self, reason: str = "normal_shutdown") -> None:
        """Reports the end of the pipeline."""


class Hub:
    """One pipeline at the hub of the environment (`RAGPULSE_URL`, `RAGPULSE_TOKEN` or `RAGPULSE_TOKEN_FILE`)."""

    def __init__(self, pipeline_id: str, pipeline_type: str, make: Callable[[str, str], Reports] = Reporter) -> None:
        self.pipeline_id = pipeline_id
        """The pipeline."""
        self.pipeline_type = pipeline_type
        """Its kind."""
        self._make = make
        self._reporter: Reports | None = None
        self._is_useless = False
        self._lock = threading.RLock()
        on_fork(self)

    def forked(self) -> None:
        """This process was forked: another thread of the parent may have held the lock."""
        self._lock = threading.RLock()

    def report(self, event: str, data: Mapping[str, Any]) -> None:
        """Reports an event."""
        with self.quietly():
            reporter = self._get()
            if reporter is not None:
                reporter.report(event, data)

    def offline(self) -> None:
        """Reports the end of the pipeline, if it was ever heard of."""
        with self.quietly():
            if self._reporter is not None:
                self._reporter.offline()

    @staticmethod
    def quietly() -> contextlib.AbstractContextManager[None]:
        """What goes wrong within is logged, and is not what the pipeline pays for."""
        return _Quietly()

    def _get(self) -> Reports | None:
        with self._lock:
            if self._reporter is None and not self._is_useless:
                try:
                    self._reporter = self._make(self.pipeline_id, self.pipeline_type)
                except ValueError as error:
                    self._is_useless = True
                    log.error("nothing of %s is reported to a hub: %s", self.pipeline_id, error)
            return self._reporter


class _Quietly(contextlib.AbstractContextManager[None]):
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            log.error("a call could not be reported", exc_info=error)
            return True
        return False


class _Forks(Protocol):
    def forked(self) -> None:
        """This process was forked."""


_all: "weakref.WeakSet[Any]" = weakref.WeakSet()


def on_fork(one: _Forks) -> None:
    """Tells an object of forks, in the child."""
    _all.add(one)


def _forked() -> None:
    for one in list(_all):
        one.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

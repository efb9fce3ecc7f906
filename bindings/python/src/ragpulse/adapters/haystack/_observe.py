"""Observing the runs of a block of code.

What may come in: blocks in several threads and tasks at once, ended in any order. What it never does: report a run of
one block to the reporter of another one, or leave a tracer behind when the last block has ended.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from haystack.tracing.tracer import enable_tracing, tracer

from ragpulse import AsyncReporter, Reporter
from ragpulse.adapters.haystack._run import Observer
from ragpulse.adapters.haystack._tracer import WatchingTracer

log = logging.getLogger("ragpulse")

AnyReporter = TypeVar("AnyReporter", Reporter, AsyncReporter)

_chosen: Final[ContextVar[Observer | None]] = ContextVar("ragpulse_haystack_observer", default=None)
_lock: Final = threading.Lock()
_open: Final[list[Observer]] = []
_installed: "_Blocks | None" = None


class _Blocks(WatchingTracer):
    """Watches for the blocks that are open."""

    def __init__(self) -> None:
        super().__init__(tracer.actual_tracer)
        self.is_active = True
        self._has_warned = False

    def observer(self) -> Observer | None:
        """That of the block in which the run begins; in a thread without one, the only one there is."""
        if not self.is_active:
            return None
        chosen = _chosen.get()
        if chosen is not None:
            return chosen if chosen.is_open else None
        observers = list(_open)
        if len(observers) > 1 and not self._has_warned:
            self._has_warned = True
            log.warning(
                "a Haystack pipeline runs in a thread that belongs to no observe() block while several are open: it is "
                "not reported. Open one in that thread, or run it there by contextvars.copy_context().run"
            )
        return observers[0] if len(observers) == 1 else None


@contextlib.contextmanager
def observe(
    reporter: AnyReporter, *, document_store: Any = None, stages: Mapping[str, str] | None = None
) -> Iterator[AnyReporter]:
    """Reports the runs of indexing pipelines that begin in this block, in threads that it starts too.

    ```python
    with observe(Reporter("my-docs", "local_files")):
        pipeline.run({"router": {"sources": paths}})
    ```

    In `async` code as well, and around `run_async`. The tracer that is enabled goes on to get everything; enable it
    before the block. The reporter is the caller's to close. For the arguments see `RagPulseTracer`.
    """
    global _installed
    observer = Observer(reporter, document_store, dict(stages or {}))
    with _lock:
        _open.append(observer)
        if _installed is None:
            _installed = _Blocks()
            enable_tracing(_installed)
    token = _chosen.set(observer)
    try:
        yield reporter
    finally:
        observer.is_open = False
        with contextlib.suppress(ValueError):
            # Where a generator is closed by another task, that one has nothing to be reset.
            _chosen.reset(token)
        with _lock:
            _open.remove(observer)
            if not _open and _installed is not None:
                _installed.is_active = False
                # Who has enabled another tracer meanwhile keeps it.
                if tracer.actual_tracer is _installed:
                    enable_tracing(_installed.delegate)
                _installed = None

"""Hears why a converter left a source out: Haystack's converters tell it nowhere but in their log.

What may come in: every record that a converter's logger lets through, from any thread. What it never does: hold a
record back, change it, change a level, or take a record of one run for that of another.
"""

import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

Hear = Callable[[logging.LogRecord], None]

hearing: Final[ContextVar[Hear | None]] = ContextVar("ragpulse_haystack_hearing", default=None)
"""Who hears what is logged in this thread or task."""


class _Ear(logging.Filter):
    """A filter that lets everything through. It is no handler: beside one, Python would stop printing warnings."""

    def filter(self, record: logging.LogRecord) -> bool:
        hear = hearing.get()
        if hear is not None:
            hear(record)
        return True


_ear: Final = _Ear()
_lock: Final = threading.Lock()
_open: Final[Counter[str]] = Counter()


def _loggers(qualified: str) -> set[str]:
    """The loggers of a class: those of the modules in which it and what it is made from stand."""
    module, _, name = qualified.rpartition(".")
    kind = getattr(sys.modules.get(module), name, None)
    bases = kind.__mro__ if isinstance(kind, type) else ()
    return {module, *(base.__module__ for base in bases)} - {"builtins", "abc", ""}


def listen(qualified: str) -> set[str]:
    """Begins to listen to the loggers of a class. To be handed to `leave`."""
    names = _loggers(qualified)
    with _lock:
        for name in names:
            _open[name] += 1
            logging.getLogger(name).addFilter(_ear)
    return names


def leave(names: set[str]) -> None:
    """Ends it."""
    with _lock:
        for name in names:
            _open[name] -= 1
            if _open[name] <= 0:
                del _open[name]
                logging.getLogger(name).removeFilter(_ear)

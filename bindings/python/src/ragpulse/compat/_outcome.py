"""How a file ended, as `complete_file(name, success, stats)` says it.

What may come in: any `stats`: a dict, an error, a number, nothing. What it never does: raise, or give a failure without
a reason.
"""

import math
import sys
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ragpulse._reporter.handle import File
from ragpulse._reporter.retryable import _NAMES

Kind = Literal["completed", "failed", "skipped"]

INTERRUPTED: Final = "Interrupted"
"""The type of the error of files whose end nobody told. A real end that comes later takes its place."""
NO_REASON: Final = "the pipeline gave no reason"
"""The message of a failure for which the pipeline told nothing, and none was being handled."""
_LONGEST: Final = 1_000
_WHOLE: Final = (
    ("chunks_created", ("chunks", "chunks_created")),
    ("embeddings_generated", ("embeddings", "embeddings_generated")),
    ("content_length", ("content_length",)),
)
_DURATION: Final = ("duration", "processing_duration")
_ERROR: Final = ("error", "message", "error_message")
_ERROR_TYPE: Final = ("error_type", "type")
_USED: Final = {
    *_DURATION,
    *_ERROR,
    *_ERROR_TYPE,
    "stage",
    "retryable",
    *(name for _, names in _WHOLE for name in names),
}


@dataclass(frozen=True)
class Outcome:
    """One end of a file."""

    kind: Kind
    """Which."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What is told with it, as the methods of `File` name it."""
    error: BaseException | str = NO_REASON
    """Why it failed."""

    def tell(self, file: File) -> None:
        """Tells it."""
        if self.kind == "completed":
            file.completed(**self.fields)
        elif self.kind == "skipped":
            file.skipped(**self.fields)
        else:
            file.failed(self.error, **self.fields)


def interrupted(why: str) -> Outcome:
    """Nobody told its end."""
    return Outcome("failed", {"type": INTERRUPTED, "retryable": True}, why)


def outcome(success: Any, stats: Any) -> Outcome:
    """The end that a call told. A failure without a reason is that of the exception that is being handled, if any."""
    known: dict[str, Any]
    if isinstance(stats, Mapping):
        known = {str(key): value for key, value in stats.items()}
    elif stats is None or isinstance(stats, bool):
        known = {}
    elif isinstance(stats, (int, float)):
        known = {"chunks": stats}
    else:
        known = {"error": stats}
    return _completed(known) if success else _failed(known)


def _first(known: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((known[name] for name in names if known.get(name) not in (None, "")), None)


def _amount(value: Any) -> float | None:
    """A number that is none below zero; of a list, how long it is."""
    try:
        number = float(len(value) if isinstance(value, Sized) and not isinstance(value, (str, bytes)) else value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _completed(known: Mapping[str, Any]) -> Outcome:
    fields: dict[str, Any] = {}
    for own, names in _WHOLE:
        amount = _amount(_first(known, names))
        if amount is not None:
            fields[own] = int(amount)
    duration = _amount(_first(known, _DURATION))
    if duration is not None:
        fields["processing_duration"] = duration
    error = _first(known, _ERROR)
    if error is not None:
        fields["warnings"] = [str(error)[:_LONGEST]]
    for key, value in known.items():
        plain = isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _LONGEST)
        if plain and key not in _USED and key.isidentifier() and key != "self" and len(fields) < 30:
            fields.setdefault(key, value)
    return Outcome("completed", fields)


def _failed(known: Mapping[str, Any]) -> Outcome:
    error = _first(known, _ERROR)
    kind = _first(known, _ERROR_TYPE)
    kind = kind.__name__ if isinstance(kind, type) else None if kind is None else str(kind)[:200]
    if error is None and kind is None:
        error = sys.exc_info()[1]
    retryable = known.get("retryable")
    if not isinstance(retryable, bool):
        retryable = None
        if not isinstance(error, BaseException) and kind in _NAMES:
            retryable = True
    stage = known.get("stage")
    fields = {"type": kind, "stage": None if stage is None else str(stage)[:100], "retryable": retryable}
    if error is not None and not isinstance(error, BaseException):
        error = str(error)
    if not error and not isinstance(error, BaseException):
        error = NO_REASON if kind is None else f"{kind}, and {NO_REASON}"
    return Outcome("failed", {key: value for key, value in fields.items() if value is not None}, error)

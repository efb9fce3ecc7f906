"""Following one file: each step is one call, and leaving the `with` block is the file's end.

What may come in: any calls in any order, from any thread. What it never does: raise, wait, hold back an exception, or
report two ends of one attempt.
"""

import hashlib
import logging
import math
import os
import time
import traceback
from collections.abc import Callable, Mapping
from os import PathLike
from types import TracebackType
from typing import Any, Final, Literal, TypeVar

from ragpulse._reporter.retryable import is_retryable

log = logging.getLogger("ragpulse")

_MAX_TEXT: Final = 4_000
"""How much of an error's message is reported, in characters: a hub takes events of 64 KiB."""

Emit = Callable[[str, dict[str, Any]], None]
Self = TypeVar("Self", bound="File")


def file_id(path: "str | PathLike[str]") -> str:
    """The id of a file by its path: the MD5 of the absolute path."""
    try:
        absolute = os.path.abspath(path)
    except OSError:
        # The working directory is gone.
        absolute = os.fspath(path)
    return hashlib.md5(os.fsencode(absolute), usedforsecurity=False).hexdigest()


def describe(
    name: "str | PathLike[str]",
    *,
    id: str | None = None,
    path: "str | PathLike[str] | None" = None,
    size: int | None = None,
    mime_type: str | None = None,
) -> dict[str, Any]:
    """A file as it is reported."""
    if path is None and isinstance(name, PathLike):
        path, name = name, os.path.basename(name)
    if id is None:
        id = file_id(path) if path is not None else os.urandom(16).hex()
    fields = {"name": str(name), "id": str(id), "path": None if path is None else str(path)}
    return given({**fields, "size": size, "mime_type": mime_type})


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what has no value."""
    return {key: value for key, value in fields.items() if value is not None}


def error_of(
    error: BaseException | str,
    *,
    type: str | None = None,
    stage: str | None = None,
    retryable: bool | None = None,
    code: str | None = None,
    judge: Callable[[BaseException], bool] = is_retryable,
) -> dict[str, Any]:
    """An error as it is reported."""
    if isinstance(error, BaseException):
        cut_off = not isinstance(error, Exception)
        # What ends the program or the task is no fault of the file.
        kind = "Interrupted" if cut_off else error.__class__.__name__
        message = _message(error)
        if retryable is None:
            try:
                retryable = judge(error)
            except Exception:
                log.exception("whether trying again may help could not be told")
    else:
        kind, message = "Error", str(error)
    fields = {"type": type or kind, "message": message[:_MAX_TEXT], "code": code, "stage": stage}
    return given({**fields, "retryable": bool(retryable)})


def _share(progress: Any, current: Any, total: Any) -> float:
    """How much is done, from 0 to 1. Rounding may give a little more than the whole; what is no number says nothing."""
    try:
        share = float(current / total if progress is None else progress)
        return min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    except (TypeError, ValueError, ArithmeticError):
        return 0.0


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = ""
    if not isinstance(error, Exception):
        return f"work on the file was cut off by {error.__class__.__name__}" + (f": {text}" if text else "")
    return text or traceback.format_exception_only(error.__class__, error)[-1].strip()


class File:
    """One file of a pipeline. Made by `Reporter.file`.

    In a `with` block (or `async with`, which is the same) work on it begins when the block does. An exception that
    leaves the block becomes `file:failed`, and goes on; leaving it in any other way completes the file, unless its end
    was told before, or that it waits again (`queued`, `retrying`).

    ```python
    with pipeline.file(Path("docs/a.pdf")) as f:
        f.progress("embedding", 0.4)
        f.completed(chunks_created=12)
    ```
    """

    def __init__(self, emit: Emit, fields: dict[str, Any], judge: Callable[[BaseException], bool]) -> None:
        self._emit = emit
        self._file: Final = fields
        # Progress names the file; who wants to know more has heard it before.
        self._short: Final = {"name": fields["name"], "id": fields["id"]}
        self._judge = judge
        self._state: Literal["new", "waiting", "open", "ended"] = "new"
        self._stage: str | None = None
        self._begun: float | None = None
        self._pid = os.getpid()

    @property
    def id(self) -> str:
        """What identifies it in its pipeline."""
        return str(self._file["id"])

    @property
    def name(self) -> str:
        """Its name, for people."""
        return str(self._file["name"])

    @property
    def stage(self) -> str | None:
        """The stage that was told last."""
        return self._stage

    @property
    def ended(self) -> bool:
        """Whether its end was told."""
        return self._state == "ended"

    def queued(self, *, change: str | None = None, queue_position: int | None = None) -> None:
        """It waits for its turn. `change`: `created`, `modified`, `deleted` or another word."""
        self._state = "waiting"
        self._emit("file:queued", given({"file": self._file, "change": change, "queue_position": queue_position}))

    def processing(
        self, stage: str | None = None, *, estimated_duration: float | None = None, attempt: int | None = None
    ) -> None:
        """Work on it begins, or begins again after it had ended."""
        self._state = "open"
        self._stage = stage
        self._begun = time.monotonic()
        fields = {"file": self._file, "processing_stage": stage, "estimated_duration": estimated_duration}
        self._emit("file:processing", given({**fields, "attempt": attempt}))

    def progress(
        self,
        stage: str | None = None,
        progress: float | None = None,
        *,
        current: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        eta_seconds: float | None = None,
    ) -> None:
        """How much of a stage is done: from 0 to 1, or `current` of `total` units (`pages`, `chunks`, `bytes`).

        Cheap enough to be called for every chunk: of what is not sent yet only the latest is kept.
        """
        if self._state == "ended":
            return
        self._state = "open"
        if stage is not None:
            self._stage = stage
        fields: dict[str, Any] = {"file": self._short, "progress": _share(progress, current, total)}
        if self._stage is not None:
            fields["processing_stage"] = self._stage
        if current is not None or total is not None or unit is not None or eta_seconds is not None:
            fields |= given({"current": current, "total": total, "unit": unit, "eta_seconds": eta_seconds})
        self._emit("file:progress", fields)

    def completed(
        self,
        *,
        chunks_created: int | None = None,
        embeddings_generated: int | None = None,
        processing_duration: float | None = None,
        content_length: int | None = None,
        warnings: "list[str] | None" = None,
        **results: Any,
    ) -> None:
        """It was ingested. Without a `processing_duration` (seconds) it is the time since work on it began."""
        if processing_duration is None and self._begun is not None:
            processing_duration = round(time.monotonic() - self._begun, 3)
        known: dict[str, Any] = {"chunks_created": chunks_created, "embeddings_generated": embeddings_generated}
        known |= {"processing_duration": processing_duration, "content_length": content_length}
        self._end("file:completed", {"results": given({**known, **results}), "warnings": warnings})

    def failed(
        self,
        error: BaseException | str,
        *,
        type: str | None = None,
        stage: str | None = None,
        retryable: bool | None = None,
        code: str | None = None,
        warnings: "list[str] | None" = None,
    ) -> None:
        """It could not be ingested, because of this exception or for this reason.

        Type, message and whether trying again may help are read from an exception; `stage` is the one told last.
        """
        told = error_of(error, type=type, stage=stage or self._stage, retryable=retryable, code=code, judge=self._judge)
        self._end("file:failed", {"error": told, "warnings": warnings})

    def skipped(
        self, reason: str = "unspecified", *, duplicate_of: str | None = None, message: str | None = None
    ) -> None:
        """It was left out on purpose: `unchanged`, `duplicate`, `unsupported`, `empty` or another word."""
        self._end("file:skipped", {"reason": reason, "duplicate_of": duplicate_of, "message": message})

    def cancelled(self, *, requested_by: str | None = None) -> None:
        """It was given up on request."""
        self._end("file:cancelled", {"requested_by": requested_by})

    def deleted(self, *, chunks_deleted: int | None = None) -> None:
        """It is gone, and so is what was made of it."""
        self._end("file:deleted", {"chunks_deleted": chunks_deleted})

    def retrying(self, *, attempt: int | None = None, max_attempts: int | None = None, retry_at: Any = None) -> None:
        """It did not work and will be tried again: as which attempt (from 1), of how many, when (with an offset)."""
        self._state = "waiting"
        fields = {"file": self._file, "attempt": attempt, "max_attempts": max_attempts, "retry_at": retry_at}
        self._emit("file:retrying", given(fields))

    def _end(self, event: str, fields: Mapping[str, Any]) -> None:
        if self._state == "ended":
            return
        self._state = "ended"
        self._emit(event, given({"file": self._file, **fields}))

    def __enter__(self: Self) -> Self:
        self.processing(self._stage)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A process that was forked within the block leaves it too; the file is that of the one that began it.
        if self._state in ("ended", "waiting") or os.getpid() != self._pid:
            return
        if error is not None:
            self.failed(error)
        else:
            self.completed()

    async def __aenter__(self: Self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<File {self.name!r} {self.id} {self._state}>"

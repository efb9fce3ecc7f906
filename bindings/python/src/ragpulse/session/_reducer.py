"""How one event changes the state of a pipeline: the Python counterpart of the reducer in `ragpulse-protocol`.

What may come in: a state and the next event of its sequence, known or not; whether it is the next one is the session's
question. What it never does: I/O, read a clock, change the event, or fail: what does not fit is an anomaly.

tests/fixtures holds what this and every other language's reducer must give.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ragpulse.session._files import FileEntry, FileTable, Json
from ragpulse.session._settings import set_keys
from ragpulse.session._state import COUNTED, PipelineState

INTERRUPTED: Final = "Interrupted"
"""The type of the error with which a hub ends the open files of a reporter that left."""


class Anomaly(NamedTuple):
    """What in an event did not fit the state before it. The event is counted all the same."""

    kind: str
    """`never_opened`, `second_end`, `progress_not_open`, `reserved_key`, `bad_value` or `too_many_keys`."""
    seq: int
    """The event's place in the sequence."""
    subject: str
    """The file's id, or the key."""


Report = Callable[[str, str], None]
Data = Mapping[str, Any]


def _is_interruption(error: Any) -> bool:
    return isinstance(error, Mapping) and error.get("type") == INTERRUPTED


def _as_state(previous: str) -> str:
    return "failed" if previous == "interrupted" else previous


def _set_if_given(target: Json, source: Data, *keys: str) -> None:
    for key in keys:
        value = source.get(key)
        if value is not None:
            target[key] = value


def _set(target: Json, source: Data, *keys: str) -> None:
    for key in keys:
        target.pop(key, None)
    _set_if_given(target, source, *keys)


def _lower(counts: Json, key: str) -> None:
    if counts.get(key, 0) > 0:
        counts[key] -= 1


def _known(state: PipelineState, data: Data) -> str | None:
    """Where a file stood: by the list, else by what the hub says."""
    listed = state.files.get(data["file"]["id"])
    if listed is None:
        previous: str | None = data.get("previous_state")
        return previous
    interrupted = listed.state == "failed" and _is_interruption(listed.known.get("error"))
    return "interrupted" if interrupted else listed.state


def _move(counts: Json, before: str | None, to: str) -> None:
    if before is not None:
        _lower(counts, _as_state(before))
    counts[to] += 1


def _fresh(data: Data, state: str, before: FileEntry | None, *inherited: str) -> FileEntry:
    file = data["file"]
    known: Json = {"id": file["id"], "name": file["name"], "state": state, "seq": data["seq"], "attempt": 1}
    if before:
        _set_if_given(known, before.known, "path", "size", "mime_type", "max_attempts", *inherited)
    _set_if_given(known, file, "path", "size", "mime_type")
    return FileEntry(known, before.extra if before else {})


def _open(state: PipelineState, data: Data, to: str, attempt: Any = None) -> FileEntry:
    """A file becomes queued or is processed. What waited goes on with its attempt; anything else begins a new one."""
    before = state.files.get(data["file"]["id"])
    _move(state.counts, _known(state, data), to)
    waited = before is not None and before.state == "queued"
    opened = _fresh(data, to, before, *(("error", "change", "queued_at") if waited else ("error",)))
    if attempt is None:
        attempt = before.known["attempt"] + (0 if waited else 1) if before else 1
    opened.known["attempt"] = attempt
    return opened


def _close(
    state: PipelineState, data: Data, to: str, report: Report, *, interruption: bool = False
) -> FileEntry | None:
    """A file ends. Gives nothing when it had ended before, unless that was for its reporter's silence."""
    file = data["file"]
    before = state.files.get(file["id"])
    stood = _known(state, data)
    # The real end replaces the one that a hub made because it heard nothing; a second such one says nothing new.
    if stood not in (None, "queued", "processing") and (stood != "interrupted" or interruption):
        report("second_end", file["id"])
        return None
    if stood == "interrupted":
        _lower(state.known, "total_failed")
    # Skipping is how a file that needs no work is first heard of.
    if stood is None and to != "skipped":
        report("never_opened", file["id"])
    _move(state.counts, stood, to)
    closed = _fresh(data, to, before, "attempt", "change", "queued_at", "started_at")
    _set_if_given(closed.known, file, "started_at")
    ended = file.get("completed_at")
    closed.known["completed_at"] = data["timestamp"] if ended is None else ended
    return closed


def _online(state: PipelineState, data: Data, _: Report) -> None:
    known = state.known
    known["pipeline_type"] = data["pipeline_type"]
    known["status"] = "online"
    known["liveness"] = "live"
    _set(known, data, "started_at")
    known.pop("shutdown_at", None)
    known.pop("offline_reason", None)
    _set_if_given(known, data, "check_interval", "watch_location", "lease_seconds")


def _offline(state: PipelineState, data: Data, _: Report) -> None:
    known = state.known
    known["status"] = "offline"
    known["liveness"] = "lost" if data["reason"] == "timeout" else "offline"
    _set(known, data, "shutdown_at")
    known["offline_reason"] = data["reason"]
    if "is_checking" in known:
        known["is_checking"] = False
    known.pop("next_check_time", None)


def _removed(state: PipelineState, _: Data, __: Report) -> None:
    # Whoever keeps a session drops the state after this; see Session.
    state.known["status"] = "removed"
    state.known["liveness"] = "offline"
    state.files = FileTable()
    state.counts = dict.fromkeys(COUNTED, 0)


def _update(state: PipelineState, data: Data, report: Report) -> None:
    set_keys(state, data["changes"], report)


def _queued(state: PipelineState, data: Data, _: Report) -> None:
    file = _open(state, data, "queued")
    _set(file.known, data, "change", "queue_position")
    file.known["queued_at"] = data["timestamp"]
    state.files.insert(file)


def _processing(state: PipelineState, data: Data, _: Report) -> None:
    file = _open(state, data, "processing", data.get("attempt"))
    begun = data["file"].get("started_at")
    file.known["started_at"] = data["timestamp"] if begun is None else begun
    _set_if_given(file.known, data, "processing_stage", "estimated_duration")
    file.known.pop("error", None)
    state.files.insert(file)


def _retrying(state: PipelineState, data: Data, _: Report) -> None:
    before = state.files.get(data["file"]["id"])
    attempt = data.get("attempt")
    if attempt is None and before:
        attempt = before.known["attempt"] + 1
    file = _open(state, data, "queued", attempt)
    file.known["queued_at"] = data["timestamp"]
    _set(file.known, data, "max_attempts", "retry_at")
    state.files.insert(file)


def _progress(state: PipelineState, data: Data, report: Report) -> None:
    before = state.files.get(data["file"]["id"])
    if before is None or before.state not in ("queued", "processing"):
        report("progress_not_open", data["file"]["id"])
        return
    known = {**before.known, "progress": data["progress"]}
    _set_if_given(known, data, "processing_stage")
    # These speak of this stage and moment, so what is not said now is not known now.
    _set(known, data, "current", "total", "unit", "eta_seconds")
    state.files.replace(FileEntry(known, before.extra))


def _completed(state: PipelineState, data: Data, report: Report) -> None:
    file = _close(state, data, "completed", report)
    if file:
        file.known["results"] = data["results"]
        _set_if_given(file.known, data, "warnings")
        state.known["total_processed"] += 1
        state.files.insert(file)


def _failed(state: PipelineState, data: Data, report: Report) -> None:
    file = _close(state, data, "failed", report, interruption=_is_interruption(data["error"]))
    if file:
        file.known["error"] = data["error"]
        _set_if_given(file.known, data, "warnings")
        state.known["total_failed"] += 1
        state.files.insert(file)


def _skipped(state: PipelineState, data: Data, report: Report) -> None:
    file = _close(state, data, "skipped", report)
    if file:
        _set_if_given(file.known, data, "reason", "duplicate_of", "message")
        state.files.insert(file)


def _cancelled(state: PipelineState, data: Data, report: Report) -> None:
    file = _close(state, data, "cancelled", report)
    if file:
        _set_if_given(file.known, data, "requested_by")
        state.files.insert(file)


def _deleted(state: PipelineState, data: Data, _: Report) -> None:
    stood = _known(state, data)
    if stood is not None:
        _lower(state.counts, _as_state(stood))
    state.files.remove(data["file"]["id"])


REDUCERS: Final[Mapping[str, Callable[[PipelineState, Data, Report], None]]] = {
    "pipeline:online": _online,
    "pipeline:offline": _offline,
    "pipeline:removed": _removed,
    "status:update": _update,
    "file:queued": _queued,
    "file:processing": _processing,
    "file:retrying": _retrying,
    "file:progress": _progress,
    "file:completed": _completed,
    "file:failed": _failed,
    "file:skipped": _skipped,
    "file:cancelled": _cancelled,
    "file:deleted": _deleted,
}


def apply(state: PipelineState, event: str, data: Data) -> list[Anomaly]:
    """Folds the next event into a state, which is changed, and gives what did not fit."""
    anomalies: list[Anomaly] = []
    seq = data["seq"]
    known = state.known
    known["seq"] = seq
    known["epoch"] = data["epoch"]
    known["timestamp"] = data["timestamp"]
    known["last_activity"] = data["received_at"]
    # Any event is a sign of life, but for the one that a hub makes because there was none.
    interruption = event == "file:failed" and _is_interruption(data["error"])
    if known["liveness"] == "late" and not interruption:
        known["liveness"] = "live"
    reduce = REDUCERS.get(event)
    if reduce:
        reduce(state, data, lambda kind, subject: anomalies.append(Anomaly(kind, seq, subject)))
    state.files.evict(known["limits"])
    return anomalies

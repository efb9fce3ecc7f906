"""From what came over the wire to a message: the one place where JSON is looked at before it is believed.

What may come in: anything at all. What it never does: raise; refuse a name or a field that it does not know; let
through what the reducer could not fold.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ragpulse.models import MESSAGES
from ragpulse.session._settings import is_number
from ragpulse.session._state import COUNTED

Json = Mapping[str, Any]


class Message(NamedTuple):
    """A message that can be handled: of this or of a later version."""

    event: str
    """Its name."""
    data: dict[str, Any]
    """Its payload. It is not changed."""

    @property
    def is_of_sequence(self) -> bool:
        """Whether it is an event of a pipeline's sequence, whether its name is known or not."""
        return self.event not in MESSAGES


class Bad(NamedTuple):
    """It is no message of the contract."""

    pipeline_id: str | None
    """Of which pipeline, if that can be told."""


_PREVIOUS: Final = frozenset({*COUNTED, "interrupted"})


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return is_number(value) and 0 <= value < 2**53 and value == int(value)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _or_absent(value: object, check: Callable[[Any], bool]) -> bool:
    return value is None or check(value)


def _has_position(data: Json) -> bool:
    return all(_is_text(data.get(key)) for key in ("pipeline_id", "pipeline_type", "epoch")) and _is_count(
        data.get("seq")
    )


def _is_in_sequence(data: Json) -> bool:
    return (
        _has_position(data)
        and data["seq"] != 0
        and _is_text(data.get("timestamp"))
        and _is_text(data.get("received_at"))
    )


def _has_file(data: Json) -> bool:
    file = data.get("file")
    return (
        isinstance(file, dict)
        and _is_text(file.get("id"))
        and _is_text(file.get("name"))
        and _or_absent(data.get("attempt"), is_number)
        and _or_absent(data.get("previous_state"), lambda value: _is_text(value) and value in _PREVIOUS)
    )


def _is_listed_file(file: Any) -> bool:
    return (
        isinstance(file, dict)
        and all(_is_text(file.get(key)) for key in ("id", "name", "state"))
        and _is_count(file.get("seq"))
        and is_number(file.get("attempt"))
        and _or_absent(file.get("error"), _is_object)
    )


def _is_error(error: Any) -> bool:
    return isinstance(error, dict) and _is_text(error.get("type"))


# Beyond the shared fields, what the reducer reads of each event.
_EVENTS: Final[Mapping[str, Callable[[Json], bool]]] = {
    "file:progress": lambda data: _has_file(data) and is_number(data.get("progress")),
    "file:completed": lambda data: _has_file(data) and _is_object(data.get("results")),
    "file:failed": lambda data: _has_file(data) and _is_error(data.get("error")),
    "file:queued": _has_file,
    "file:processing": _has_file,
    "file:retrying": _has_file,
    "file:skipped": _has_file,
    "file:cancelled": _has_file,
    "file:deleted": _has_file,
    "status:update": lambda data: _is_object(data.get("changes")),
    "pipeline:online": lambda _: True,
    "pipeline:offline": lambda data: _is_text(data.get("reason")),
    "pipeline:removed": lambda _: True,
}


def _is_status(data: Json) -> bool:
    counts, limits, files = data.get("counts"), data.get("limits"), data.get("files")
    return (
        _has_position(data)
        and _is_text(data.get("timestamp"))
        and _is_text(data.get("liveness"))
        and isinstance(counts, dict)
        and all(_is_count(counts.get(state)) for state in COUNTED)
        and _is_count(data.get("total_processed"))
        and _is_count(data.get("total_failed"))
        and isinstance(limits, dict)
        and _is_count(limits.get("open"))
        and _is_count(limits.get("ended"))
        and isinstance(files, list)
        and all(map(_is_listed_file, files))
    )


def _is_closing(data: Json) -> bool:
    after = data.get("retry_after_ms")
    return is_number(after) and after is not None and after >= 0


_MESSAGES: Final[Mapping[str, Callable[[Json], bool]]] = {
    "pipeline:status": _is_status,
    "heartbeat": lambda data: _has_position(data) and _is_text(data.get("liveness")),
    "subscription:ended": lambda data: _is_text(data.get("pipeline_id")) and _is_text(data.get("code")),
    "hub:closing": _is_closing,
}


def decode(event: str, data: object) -> Message | Bad | None:
    """Reads what came under a name. None for something of a later version that is about no pipeline."""
    message = _MESSAGES.get(event)
    known = _EVENTS.get(event)
    if isinstance(data, dict):
        good = message(data) if message else _is_in_sequence(data) and (known is None or known(data))
        if good:
            return Message(event, data)
        if _is_text(data.get("pipeline_id")) and (message or known or "seq" in data):
            return Bad(data["pipeline_id"])
    return Bad(None) if message or known else None

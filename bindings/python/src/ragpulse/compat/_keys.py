"""Keys of a status dict as changes of the pipeline's status that a hub takes.

What may come in: any keys and values. What it never does: name a key that the hub keeps itself, or give a value for
which the hub would refuse its neighbours too: such a value is left out.
"""

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from ragpulse._reporter.encode import to_json
from ragpulse._reserved import is_reserved
from ragpulse.compat._times import utc

TIMES: Final = ("started_at", "last_check_time", "next_check_time")
"""Keys whose values are times."""
_PLACES: Final = ("watch_directory", "watch_folder", "folder_id")
"""Keys that say what is watched, as the bridge reads them too."""
_LONGEST_KEY: Final = 128
_LARGEST: Final = 4_096
_EVENT: Final = 12_000


def _number(value: Any) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    number = float(value)
    return (value if isinstance(value, int) else number) if math.isfinite(number) and number >= 0 else None


def _text(value: Any) -> str | None:
    return str(value)


_KNOWN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "status": _text,
    "watch_location": _text,
    "check_interval": _number,
    "is_checking": bool,
    **dict.fromkeys(TIMES, utc),
}


def _value(key: str, value: Any) -> tuple[bool, Any]:
    """Whether a hub takes it, and as what."""
    if value is None:
        return key != "status", None
    if key in _KNOWN:
        try:
            value = _KNOWN[key](value)
        except (TypeError, ValueError, OverflowError):
            return False, None
        if value is None:
            return False, None
    return len(to_json(value)) <= _LARGEST, value


def changes(keys: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """What `status:update` says of them, in as many parts as it takes: one, unless somebody keeps books in there.

    A folder, by whatever key, also says what is watched; totals, which the hub counts itself, go under `reported`.
    """
    named = {str(key): value for key, value in keys.items()}
    place = next((named[key] for key in _PLACES if named.get(key)), None)
    if place and "watch_location" not in named:
        named["watch_location"] = place
    totals = {key: value for key, value in named.items() if key.startswith("total_")}
    if totals and "reported" not in named:
        named["reported"] = totals
    parts: list[dict[str, Any]] = []
    room = 0
    for key, value in named.items():
        if not key or is_reserved(key) or len(key.encode("utf-8", "replace")) > _LONGEST_KEY:
            continue
        taken, value = _value(key, value)
        if not taken:
            continue
        size = len(to_json({key: value}))
        if size > room:
            parts.append({})
            room = _EVENT
        parts[-1][key] = value
        room -= size
    return parts

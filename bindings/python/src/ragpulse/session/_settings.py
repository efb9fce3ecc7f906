"""`status:update`: which keys a pipeline may set of its own status, and with what values.

What may come in: any key, any JSON value. What it never does: let a pipeline set what the reducer keeps.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from ragpulse._reserved import is_reserved
from ragpulse.session._state import PipelineState
from ragpulse.session._time import utc

MAX_EXTRA_KEYS: Final = 64
"""How many keys of its own a pipeline may bring in by `status:update`."""


def is_number(value: object) -> bool:
    """Whether it is a number of JSON."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


# Each reads its value, or gives None for one of another type.
_SETTINGS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "status": _text,
    "check_interval": lambda value: value if is_number(value) and value >= 0 else None,
    "is_checking": lambda value: value if isinstance(value, bool) else None,
    "watch_location": _text,
    "started_at": utc,
    "last_check_time": utc,
    "next_check_time": utc,
}


def _set(state: PipelineState, key: str, value: Any) -> str | None:
    if is_reserved(key):
        return "reserved_key"
    if key in _SETTINGS:
        if value is None and key != "status":
            state.known.pop(key, None)
            return None
        accepted = _SETTINGS[key](value)
        if accepted is None:
            return "bad_value"
        state.known[key] = accepted
    elif value is None:
        state.extra.pop(key, None)
    elif len(state.extra) >= MAX_EXTRA_KEYS and key not in state.extra:
        return "too_many_keys"
    else:
        state.extra[key] = value
    return None


def set_keys(state: PipelineState, changes: Mapping[str, Any], problem: Callable[[str, str], None]) -> None:
    """Sets keys of a pipeline's own status; tells which could not be."""
    # In order of the keys, because the order decides which ones find room.
    for key in sorted(changes):
        kind = _set(state, key, changes[key])
        if kind:
            problem(kind, key)

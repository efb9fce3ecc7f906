"""Makes an item of an event: gives it an id and a time, and encodes it once.

What may come in: any event, with fields of any kind. What it never does: judge an event's contents; that is the hub's
part. What JSON cannot carry is written as text, so that a number of numpy or a path in a report costs no report.
"""

import itertools
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, timezone
from json import JSONEncoder
from os import PathLike, fspath
from typing import Any, Final

from ragpulse._reporter.queue import EFFECTS, RANKS, USUAL, Item

MAX_BYTES: Final = 512_000
"""The largest batch, and the largest event, in bytes of JSON."""
_MAX_DEPTH: Final = 32
"""How deeply nested the fields of an event may be that has to be made good for JSON."""
HEARTBEAT: Final = b'[{"event":"heartbeat"}]'
"""A sign of life, ready to be sent."""


def _as_json(value: Any) -> Any:
    """What stands for a value that JSON does not know."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.astimezone()).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, PathLike):
        return str(fspath(value))
    if isinstance(value, Mapping):
        return {str(key): one for key, one in value.items()}
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    for method in ("model_dump", "tolist", "item"):
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    return str(value)


def _finite(value: Any, depth: int = 0) -> Any:
    """Without numbers that JSON has no word for, with keys that are text, and with an end where there is a circle."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (Mapping, list, tuple)) and depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _finite(one, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one, depth + 1) for one in value]
    return value


# Made once: `json.dumps` with options makes one at each call.
_encode = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_json).encode


def to_json(value: Any) -> bytes:
    """A value as JSON."""
    try:
        text = _encode(value)
    except (ValueError, TypeError):
        text = _encode(_finite(json.loads(json.dumps(_finite(value), default=_as_json, skipkeys=True))))
    # File names that are no UTF-8 hold halves of characters, for which there is no JSON.
    return text.encode("utf-8", "replace")


def timestamp() -> str:
    """This moment as the contract writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z"


class Encoder:
    """Gives every event an id that is unique in the pipeline and stays the same however often it is sent."""

    def __init__(self, prefix: str) -> None:
        # It must differ between any two reporters that ever speak for one pipeline: it is random.
        self._prefix = prefix
        # Counting in one step, so that no lock is needed.
        self._numbers = itertools.count(1)

    def encode(
        self, event: str, data: Mapping[str, Any], *, event_id: str | None = None, time: str | None = None
    ) -> Item:
        """An event as an item."""
        effect = EFFECTS.get(event, "other")
        file = stage = None
        if effect in ("begin", "end", "progress"):
            named = data.get("file")
            if isinstance(named, Mapping):
                file = named.get("id") or named.get("name")
            stage = data.get("processing_stage")
        fields = to_json(data)
        return Item(
            json=self._head(event, event_id, time) + fields + b"}",
            rank=RANKS.get(event, USUAL),
            effect=effect,
            file=str(file) if file is not None else "",
            stage=str(stage) if stage is not None else None,
            data=fields if effect in ("online", "begin") else b"",
        )

    def again(self, event: str, item: Item, time: str) -> Item:
        """The same said again, for a hub that forgot it."""
        return item._replace(json=self._head(event, None, time) + item.data + b"}", reopening=True)

    def _head(self, event: str, event_id: str | None, time: str | None) -> bytes:
        # What was made here, or is known, needs no escaping: this is on the way of every call.
        name = f'"{event}"' if event in EFFECTS else to_json(event).decode()
        own_id = f'"{self._prefix}-{next(self._numbers)}"' if event_id is None else to_json(event_id).decode()
        own_time = f'"{timestamp()}"' if time is None else to_json(time).decode()
        return f'{{"event":{name},"event_id":{own_id},"timestamp":{own_time},"data":'.encode()

"""Drop-in for `supabase_status`: what was written to a database is reported to a RagPulse hub, and nowhere else.

```python
from ragpulse.compat.supabase_status import init_status_tracker

tracker = init_status_tracker("google-drive-pipeline", "google_drive")
```

A tracker is told whole lists, again and again; it reports what is new in them. A file is new by its id and start, one
without these by how often its name is listed. Files that were told to `pipeline_status` too are reported once.

What may come in: lists of file dicts or of names, one of either, or counts; any keys. What it never does: I/O or a
thread on import, wait for the hub, or raise because of it.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from ragpulse._endpoint import from_environment
from ragpulse.compat._hub import Hub, on_fork
from ragpulse.compat._identity import as_name, ledger, own_ledger, type_of
from ragpulse.compat._keys import changes
from ragpulse.compat._ledger import Ledger
from ragpulse.compat._outcome import Outcome, outcome

__all__ = ["StatusTracker", "init_status_tracker"]

_LEFT_OPEN: Final = "the check ended, and the pipeline never told how this file ended"
_STOPPED: Final = "the pipeline stopped, and never told how this file ended"
_LISTS: Final = ("files_processing", "files_completed", "files_failed")
_ONLINE: Final = ("check_interval", "watch_location", "started_at")


class _Item(NamedTuple):
    """A file in a list."""

    name: str
    id: str | None
    started_at: Any
    completed_at: str
    told: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str | None, str, str]:
        return self.name, self.id, str(self.started_at or ""), self.completed_at


class StatusTracker:
    """Tells one pipeline's status. Made by `init_status_tracker`."""

    def __init__(self, ledger: Ledger) -> None:
        self.lock = threading.RLock()
        """Held while a call is compared with the one before."""
        self._ledger = ledger
        self._keys: dict[str, Any] = {}
        self._listed: dict[str, Counter[Any]] = {}
        self._processing: frozenset[str] = frozenset()
        self._processing_names: list[str] = []
        on_fork(self)

    def forked(self) -> None:
        """This process was forked: another thread of the parent may have held the lock."""
        self.lock = threading.RLock()

    @property
    def pipeline_id(self) -> str:
        """The pipeline."""
        return self._ledger.hub.pipeline_id

    @property
    def pipeline_type(self) -> str:
        """Its kind."""
        return self._ledger.hub.pipeline_type

    def start(self, details: "Mapping[str, Any] | None" = None) -> None:
        """The pipeline is online; `details` are keys of its status."""
        with self.lock, Hub.quietly():
            given = _mapping(details)
            first = next(iter(changes(given)), {})
            fields = {key: first[key] for key in _ONLINE if first.get(key) is not None}
            self._ledger.hub.report("pipeline:online", fields)
            # A new beginning: what it said of itself before is told again.
            self._keys = {}
            self._tell(given)

    def stop(self) -> None:
        """The pipeline is offline. What is still open ends as failed and `Interrupted`."""
        with self.lock, Hub.quietly():
            self._ledger.give_up(_STOPPED)
            self._ledger.hub.offline()

    def update_status(self, status: "Mapping[str, Any] | None" = None, **more: Any) -> None:
        """Merges keys of the status, its lists of files among them. Only what differs from before is reported."""
        with self.lock, Hub.quietly():
            self._tell({**_mapping(status), **more})

    def update_processing_status(
        self,
        files_processing: Any = None,
        files_completed: Any = None,
        files_failed: Any = None,
        is_checking: "bool | None" = None,
        next_check_time: Any = None,
        **more: Any,
    ) -> None:
        """What is being processed and what ended. Lists are told whole; None says nothing of one.

        `is_checking=False` ends what this process left open, but for what `files_processing` lists.
        """
        given = {"files_processing": files_processing, "files_completed": files_completed}
        given |= {"files_failed": files_failed, "is_checking": is_checking, "next_check_time": next_check_time, **more}
        self.update_status({key: value for key, value in given.items() if value is not None})

    def _tell(self, given: Mapping[str, Any]) -> None:
        files = {name: given[name] for name in _LISTS if given.get(name) is not None}
        keys = {key: value for key, value in given.items() if key not in _LISTS}
        counts = {name: files.pop(name) for name in _LISTS if isinstance(files.get(name), (int, float))}
        if counts:
            keys["reported"] = {**_mapping(self._keys.get("reported")), **_mapping(keys.get("reported")), **counts}
        fresh = {key: value for key, value in keys.items() if key not in self._keys or self._keys[key] != value}
        self._keys |= fresh
        for part in changes(fresh):
            self._ledger.hub.report("status:update", {"changes": part})
        self._tell_files({name: _items(value) for name, value in files.items()})
        checking = given.get("is_checking")
        if checking is not None and not checking:
            self._ledger.give_up(_LEFT_OPEN, self._processing)

    def _tell_files(self, files: Mapping[str, list[_Item]]) -> None:
        if "files_processing" in files:
            listed = files["files_processing"]
            self._processing = frozenset(one.id or one.name for one in listed)
            self._processing_names = [one.name for one in listed]
            for item in self._new("files_processing", listed):
                self._begin(item)
        for name, success in (("files_completed", True), ("files_failed", False)):
            for item in self._new(name, files.get(name)):
                self._end(item, success)

    def _new(self, name: str, items: "list[_Item] | None") -> list[_Item]:
        """What is listed more often than before."""
        if items is None:
            return []
        left = self._listed.get(name, Counter()).copy()
        self._listed[name] = Counter(item.key for item in items)
        fresh = []
        for item in items:
            if left[item.key] > 0:
                left[item.key] -= 1
            else:
                fresh.append(item)
        return fresh

    def _begin(self, item: _Item) -> None:
        known = item.id is not None and self._ledger.attempt(item.id, str(item.started_at or ""))
        # Told to `pipeline_status` before, or by another list.
        wanted = 1 if item.id is not None else sum(one == item.name for one in self._processing_names)
        if not known and self._ledger.count_open(item.name, item.id) < wanted:
            self._ledger.begin(item.name, item.id, item.started_at)

    def _end(self, item: _Item, success: bool) -> None:
        end = _outcome(item, success)
        known = self._ledger.attempt(item.id, str(item.started_at or "")) if item.id is not None else None
        if known is not None and known.outcome is not None:
            # Told to `pipeline_status` before; or given up, which stands in the list of failures as one of them.
            told = not known.is_given_up or not success
        else:
            told = item.id is None and self._ledger.claim(item.name, end.kind)
        if not told:
            self._ledger.end(item.name, end, item.id)
            self._ledger.claim(item.name, end.kind)


def _outcome(item: _Item, success: bool) -> Outcome:
    told = {key: value for key, value in item.told.items() if key not in ("name", "id", "started_at", "completed_at")}
    for nested in ("stats", "results"):
        told |= _mapping(told.pop(nested, None))
    error = told.get("error")
    if isinstance(error, Mapping):
        told |= {"error": error.get("message"), "error_type": error.get("type"), "stage": error.get("stage")}
    return outcome(success, told)


def _mapping(value: Any) -> dict[str, Any]:
    return {str(key): one for key, one in value.items()} if isinstance(value, Mapping) else {}


def _items(value: Any) -> list[_Item]:
    alone = isinstance(value, (str, Mapping)) or not isinstance(value, Iterable)
    return [item for one in ([value] if alone else value) if (item := _item(one)) is not None]


def _item(value: Any) -> _Item | None:
    told = _mapping(value) if isinstance(value, Mapping) else {"name": value}
    id = next((str(told[key]) for key in ("id", "file_id") if told.get(key) not in (None, "")), None)
    name = next((str(told[key]) for key in ("name", "filename", "file_name") if told.get(key) not in (None, "")), id)
    if name is None:
        return None
    return _Item(name, id, told.get("started_at"), str(told.get("completed_at") or ""), told)


def init_status_tracker(id: Any = None, type: Any = None) -> StatusTracker:
    """A tracker for a pipeline. Nothing is reported yet; without an id or type the environment says them."""
    pipeline_id, kind = as_name(id), as_name(type)
    if not pipeline_id:
        return StatusTracker(own_ledger(kind))
    return StatusTracker(ledger(pipeline_id, kind or as_name(from_environment("RAG_SERVICE")) or type_of(pipeline_id)))

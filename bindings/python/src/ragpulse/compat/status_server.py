"""Drop-in for `status_server`: the status dict, its HTTP server, and every call reported to a RagPulse hub as well.

```python
from ragpulse.compat.status_server import pipeline_status, start_status_server
```

The dict (`data`, `get()`, `GET /status`) is what it always was: the last ten completed files, the last five failed, the
totals. The hub is named by `RAGPULSE_URL` and `RAGPULSE_TOKEN` (or `RAGPULSE_TOKEN_FILE`), the pipeline by
`RAG_PIPELINE_ID` and `RAG_SERVICE`.

What may come in: any calls, in any order, from any thread. What it never does: I/O or a thread on import, wait for the
hub, or raise because of it.
"""

import copy
import json
import logging
import math
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from ragpulse.compat._hub import Hub, on_fork
from ragpulse.compat._identity import as_name, is_known, own_ledger
from ragpulse.compat._keys import TIMES, changes
from ragpulse.compat._ledger import Entry, Ledger
from ragpulse.compat._outcome import Outcome, outcome
from ragpulse.compat._times import moment, now, utc

log = logging.getLogger("ragpulse")

__all__ = ["PipelineStatus", "pipeline_status", "start_status_server"]

LAST_COMPLETED: Final = 10
"""How many completed files the dict lists."""
LAST_FAILED: Final = 5
"""How many failed files the dict lists."""
_LEFT_OPEN: Final = "the check ended, and the pipeline never told how this file ended"


class PipelineStatus:
    """The status of this process's pipeline: a dict that callers read, and what they tell of it."""

    def __init__(self, *, ledger: Ledger | None = None) -> None:
        """`ledger`: that of another pipeline than the one the environment names; for tests."""
        self.lock = threading.RLock()
        """Held while the dict is changed. Who holds it may call everything here."""
        self.data: dict[str, Any] = {
            "status": "initializing",
            "pipeline_type": None,
            "last_check_time": None,
            "next_check_time": None,
            "files_processing": [],
            "files_completed": [],
            "files_failed": [],
            "total_processed": 0,
            "total_failed": 0,
            "check_interval": 60,
            "is_checking": False,
            "started_at": now(),
            "last_activity": None,
        }
        """The dict itself, alive."""
        self._ledger = ledger
        # What was told before it was known for which pipeline.
        self._waiting: dict[str, Any] = {}
        # Ends that were counted since somebody else counted.
        self._counted = {"total_processed": 0, "total_failed": 0}
        on_fork(self)

    def forked(self) -> None:
        """This process was forked: another thread of the parent may have held the lock."""
        self.lock = threading.RLock()

    def update(self, **kwargs: Any) -> None:
        """Merges keys. `is_checking=False` ends what this process left open, as failed and `Interrupted`."""
        with self.lock:
            for key, value in kwargs.items():
                if key in self._counted:
                    self._set_total(key, value)
                else:
                    self.data[key] = value
            self.data["last_activity"] = now()
            told = {key: self.data[key] for key in kwargs}
            if {"total_processed", "total_failed"} & told.keys():
                told |= {key: self.data[key] for key in self._counted}
            self._tell(told)
            checking = kwargs.get("is_checking", True)
            if checking is not None and not checking and self._ledger is not None:
                for entry in self._ledger.give_up(_LEFT_OPEN):
                    self._ended(entry)

    def add_processing_file(self, filename: Any, file_id: Any = None) -> None:
        """Work on a file begins. Without an id it is its name, and where that is taken a unique one."""
        with self.lock:
            with Hub.quietly():
                self._begun(self._connect().begin(filename, file_id))
            self.data["last_activity"] = now()

    def complete_file(self, filename: Any, success: Any = True, stats: Any = None) -> None:
        """A file ends: the oldest open one of this name that this thread began, else the oldest of any thread.

        `stats` may hold `chunks`, `embeddings`, `duration` (seconds) and `content_length`, or `error`, `error_type`,
        `stage` and `retryable`. A file that was never begun begins and ends; an end that is told twice counts once.
        """
        with self.lock:
            with Hub.quietly():
                self._end(filename, outcome(success, stats))
            self.data["last_activity"] = now()

    def skip_file(self, filename: Any, reason: str = "unsupported", message: "str | None" = None) -> None:
        """A file is left out on purpose: it is neither completed nor failed. Not part of the old surface.

        `reason`: `unsupported`, `unchanged`, `duplicate`, `empty` or another word.
        """
        with self.lock:
            with Hub.quietly():
                self._end(filename, Outcome("skipped", {"reason": reason, "message": message}))
            self.data["last_activity"] = now()

    def get(self) -> dict[str, Any]:
        """A copy of the dict."""
        with self.lock:
            try:
                return copy.deepcopy(self.data)
            except Exception:
                # Something of the caller's own that cannot be copied.
                return dict(self.data)

    # How the dict follows.

    def _end(self, filename: Any, end: Outcome) -> None:
        ended = self._connect().end(filename, end)
        if ended is not None:
            self._ended(*ended)

    def _begun(self, entry: Entry) -> None:
        listed = [file for file in self._list("files_processing") if not _is(file, entry)]
        self.data["files_processing"][:] = [*listed, _record(entry)]

    def _ended(self, entry: Entry, was_given_up: bool = False) -> None:
        if was_given_up:
            self._take_out("files_failed", entry)
            self.data["total_failed"] = max(0, _number(self.data.get("total_failed")) - 1)
        record = self._take_out("files_processing", entry) or _record(entry)
        if entry.outcome is None or entry.outcome.kind == "skipped":
            return
        record["completed_at"] = now()
        good = entry.outcome.kind == "completed"
        name, most = ("files_completed", LAST_COMPLETED) if good else ("files_failed", LAST_FAILED)
        files = self._list(name)
        files.append(record)
        del files[:-most]
        total = "total_processed" if good else "total_failed"
        self.data[total] = _number(self.data.get(total)) + 1
        self._counted["total_processed"] += 1
        self._counted["total_failed"] += 0 if good else 1

    def _set_total(self, key: str, value: Any) -> None:
        """Sets a total, unless it adds files to it that `complete_file` has counted: those would count twice."""
        added = _number(value) - _number(self.data.get(key))
        if not 0 < added <= self._counted[key]:
            self.data[key] = value
        self._counted[key] = 0

    def _take_out(self, name: str, entry: Entry) -> dict[str, Any] | None:
        files = self._list(name)
        for place, file in enumerate(files):
            if _is(file, entry):
                del files[place]
                return dict(file)
        return None

    def _list(self, name: str) -> list[Any]:
        """A list of the dict; a new one, where a caller has put something else there."""
        if not isinstance(self.data.get(name), list):
            self.data[name] = []
        files: list[Any] = self.data[name]
        return files

    # How the hub is told.

    def _tell(self, told: dict[str, Any]) -> None:
        with Hub.quietly():
            waiting = {**self._waiting, **told}
            # Until a program says what it is, its first words wait: the type stands for good with the first event.
            known = as_name(waiting.get("pipeline_type")) or waiting.get("is_checking") is not None or is_known()
            if self._ledger is None and not known:
                self._waiting = waiting
                return
            self._report(waiting)

    def _connect(self) -> Ledger:
        if self._ledger is None:
            self._report(self._waiting)
        assert self._ledger is not None
        return self._ledger

    def _report(self, told: Mapping[str, Any]) -> None:
        if self._ledger is None:
            self._ledger = own_ledger(told.get("pipeline_type"))
        self._waiting = {}
        for part in changes(told):
            self._ledger.hub.report("status:update", {"changes": part})


def _record(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, "id": entry.id, "started_at": entry.started_at}


def _is(file: Any, entry: Entry) -> bool:
    return isinstance(file, dict) and file.get("id") == entry.id


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0


def as_served(data: Mapping[str, Any]) -> dict[str, Any]:
    """The dict as `GET /status` has it: times in UTC with an offset, and how long until the next check."""
    served = {key: (utc(value) or value) if key in TIMES else value for key, value in data.items()}
    planned, at = moment(data.get("next_check_time")), moment(now())
    if planned is not None and at is not None:
        served["seconds_until_next_check"] = max(0, int((planned - at).total_seconds()))
    return served


pipeline_status: Final = PipelineStatus()
"""The status of this process's pipeline."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.split("?", 1)[0]
        if path == "/status":
            body = json.dumps(as_served(pipeline_status.get()), default=str, skipkeys=True)
            self._answer(200, "application/json", body)
        elif path == "/health":
            self._answer(200, "text/plain", "OK")
        else:
            self._answer(404, "text/plain", "Not Found")

    def _answer(self, status: int, kind: str, body: str) -> None:
        content = body.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("status server: " + format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    if TYPE_CHECKING:
        thread: threading.Thread


def start_status_server(port: int = 8003) -> ThreadingHTTPServer:
    """Serves `GET /status` and `GET /health` on all addresses of this machine, by a daemon thread. Gives the server.

    Port 0 takes a free one. Raises `OSError` where the port is taken. `shutdown()` and `server_close()` end it.
    """
    server = _Server(("", port), _Handler)
    server.thread = threading.Thread(target=server.serve_forever, name="status server", daemon=True)
    server.thread.start()
    return server

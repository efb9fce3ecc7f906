"""The database twin of the status server, as much of it as pipelines call: a stand-in that is only for tests.

It writes one row for each pipeline, as pages read it, into the SQLite file that `STATUS_DATABASE` names.

What may come in: the calls of a pipeline. What it never does: know of RagPulse.
"""

import json
import os
import sqlite3
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

_TABLE = """CREATE TABLE IF NOT EXISTS rag_pipeline_status (
    pipeline_id TEXT PRIMARY KEY, pipeline_type TEXT, server_status TEXT, last_heartbeat TEXT, status_details TEXT)"""


class StatusTracker:
    def __init__(self, pipeline_id: str, pipeline_type: str) -> None:
        self.pipeline_id = pipeline_id
        self.pipeline_type = pipeline_type
        self.details: dict[str, Any] = {}

    def start(self, details: "dict[str, Any] | None" = None) -> None:
        self._write("online", details or {})

    def stop(self) -> None:
        self._write("offline", {})

    def update_status(self, status: dict[str, Any]) -> None:
        self._write("online", status)

    def update_processing_status(
        self,
        files_processing: "list[Any] | None" = None,
        files_completed: "list[Any] | None" = None,
        files_failed: "list[Any] | None" = None,
        is_checking: "bool | None" = None,
        next_check_time: "str | None" = None,
    ) -> None:
        given: dict[str, Any] = {"files_processing": files_processing, "files_completed": files_completed}
        given |= {"files_failed": files_failed, "is_checking": is_checking, "next_check_time": next_check_time}
        self._write("online", {key: value for key, value in given.items() if value is not None})

    def _write(self, server_status: str, details: dict[str, Any]) -> None:
        self.details |= details
        row = (self.pipeline_id, self.pipeline_type, server_status, datetime.now(timezone.utc).isoformat())
        with closing(sqlite3.connect(os.environ["STATUS_DATABASE"])) as database, database:
            database.execute(_TABLE)
            database.execute(
                "INSERT OR REPLACE INTO rag_pipeline_status VALUES (?, ?, ?, ?, ?)",
                (*row, json.dumps(self.details, default=str)),
            )


def init_status_tracker(id: str, type: str) -> StatusTracker:
    return StatusTracker(id, type)

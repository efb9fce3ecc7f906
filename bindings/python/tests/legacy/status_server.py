"""The status server that pipelines have today, as much of it as they call: a stand-in that is only for tests.

It keeps the defects that `ragpulse.compat.status_server` is measured by: files are matched by name, so two of one name
merge; an end counts whether or not there is such a file; times without an offset, in local time, stand beside UTC; and
what is never completed is "processing" for ever.

What may come in: the calls of a pipeline, from its threads. What it never does: know of RagPulse.
"""

import json
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class PipelineStatus:
    def __init__(self) -> None:
        self.lock = threading.RLock()
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
            "started_at": datetime.now().isoformat(),
            "last_activity": None,
        }

    def update(self, **kwargs: Any) -> None:
        with self.lock:
            self.data.update(kwargs)
            self._active()

    def add_processing_file(self, filename: str, file_id: "str | None" = None) -> None:
        with self.lock:
            file = {"name": filename, "id": file_id, "started_at": datetime.now().isoformat()}
            self.data["files_processing"].append(file)
            self._active()

    def complete_file(self, filename: str, success: bool = True, stats: "dict[str, Any] | None" = None) -> None:
        with self.lock:
            named = [file for file in self.data["files_processing"] if file["name"] == filename]
            self.data["files_processing"] = [file for file in self.data["files_processing"] if file["name"] != filename]
            kind, last = ("files_completed", 10) if success else ("files_failed", 5)
            for file in named[:1]:
                self.data[kind].append({**file, "completed_at": datetime.now().isoformat()})
                self.data[kind] = self.data[kind][-last:]
            self.data["total_processed" if success else "total_failed"] += 1
            self._active()

    def get(self) -> dict[str, Any]:
        with self.lock:
            return json.loads(json.dumps(self.data, default=str))  # type: ignore[no-any-return]

    def _active(self) -> None:
        self.data["last_activity"] = datetime.now(timezone.utc).isoformat()


pipeline_status = PipelineStatus()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/status":
            status = pipeline_status.get()
            if status["next_check_time"]:
                planned = datetime.fromisoformat(status["next_check_time"])
                left = planned - datetime.now(planned.tzinfo)
                status["seconds_until_next_check"] = max(0, int(left.total_seconds()))
            self._answer(200, "application/json", json.dumps(status))
        elif self.path == "/health":
            self._answer(200, "text/plain", "OK")
        else:
            self._answer(404, "text/plain", "Not Found")

    def _answer(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


def start_status_server(port: int = 8003) -> HTTPServer:
    server = HTTPServer(("127.0.0.1", port), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

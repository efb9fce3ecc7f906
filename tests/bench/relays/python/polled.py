"""What is polled today: the reference application's status server, on Python's ``http.server``.

    python3 polled.py [--keep-alive]

Its handler's work: copy the dict under its lock, say how long it is until the next check, write it as JSON; it knows no
304. By the defaults of ``http.server`` each request is a connection; with ``--keep-alive`` they are kept, and an answer
goes out in one write, which is kinder than what it is to be compared with.

What may come in: well-meant requests on loopback. What it never does: serve anybody but a benchmark.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

NOW = datetime.now(timezone.utc)


def file(number: int) -> dict[str, Any]:
    """A file as the dict has it."""
    at = NOW.isoformat()
    return {"name": f"document-{number}.pdf", "id": f"{number:032x}", "started_at": at, "completed_at": at}


lock = threading.Lock()
status: dict[str, Any] = {
    "status": "running",
    "pipeline_type": "local_files",
    "last_check_time": NOW.isoformat(),
    "next_check_time": (NOW + timedelta(hours=1)).isoformat(),
    "files_processing": [file(number) for number in range(2)],
    "files_completed": [file(number) for number in range(10, 20)],
    "files_failed": [file(number) for number in range(20, 25)],
    "total_processed": 10,
    "total_failed": 5,
    "check_interval": 60,
    "is_checking": False,
    "started_at": NOW.isoformat(),
    "last_activity": NOW.isoformat(),
}


class Handler(BaseHTTPRequestHandler):
    """Answers with the state as it is."""

    def do_GET(self) -> None:
        """Builds the whole answer, and sends it."""
        with lock:
            answer = dict(status)
        left = datetime.fromisoformat(answer["next_check_time"]) - datetime.now(timezone.utc)
        answer["seconds_until_next_check"] = int(left.total_seconds())
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class Kept(Handler):
    """The same, over connections that are kept."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1


def main() -> None:
    """Serves on a free port."""
    kept = "--keep-alive" in sys.argv[1:]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kept) if kept else HTTPServer(("127.0.0.1", 0), Handler)
    print(f"The polled server is at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

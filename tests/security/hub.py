"""A live hub for the checks: started on a free port of the loopback address, looked after, and ended.

What may come in: the program under test, by ``RAGPULSE_BIN``. What it never does: wait without an end.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 30.0
"""How long is waited for what must come, in seconds."""


def program() -> str:
    """The program under test."""
    found = os.environ.get("RAGPULSE_BIN")
    if not found or not Path(found).is_file():
        raise SystemExit("RAGPULSE_BIN must name the built ragpulse, such as target/debug/ragpulse")
    return found


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    kind: str
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Hub:
    """A hub that runs."""

    process: subprocess.Popen[str]
    host: str
    port: int
    token: str | None
    log: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None:
            own["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, {**own, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.headers.get("Content-Type", ""), response.read())
        finally:
            connection.close()

    def publish(self, pipeline: str, *events: dict[str, Any]) -> None:
        """Reports events that must be taken."""
        answer = self.ask("POST", f"/api/pipelines/{pipeline}/events", json.dumps(events).encode())
        if answer.status != 200:
            raise AssertionError(f"the hub does not take an event: {answer}")

    def open(self, pipeline: str) -> None:
        """Opens a pipeline with some files."""
        online = {"event": "pipeline:online", "data": {"pipeline_type": "local_files"}}
        files = [
            {"event": "file:processing", "data": {"file": {"name": "a.txt", "path": "/in/a.txt"}}},
            {"event": "file:completed", "data": {"file": {"name": "b.txt"}}},
            {"event": "file:failed", "data": {"file": {"name": "c.txt"}, "error": {"message": "it broke"}}},
        ]
        self.publish(pipeline, online, *files)

    def connections(self) -> int:
        """How many connections it counts."""
        return int(self.ask("POST", "/api/socket/test", b"{}").json()["connections"])

    def memory(self) -> int:
        """The memory that it has now, in KiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        if not found:
            raise AssertionError("the hub has no memory: it is gone")
        return int(found.group(1))

    def lives(self) -> bool:
        """Whether the process runs and answers."""
        return self.process.poll() is None and self.ask("GET", "/health").status == 200

    def told(self) -> str:
        """The end of what it has logged."""
        return self.log.read_text(errors="replace")[-4_000:]


@contextlib.contextmanager
def running(*, with_keys: bool = False) -> Iterator[Hub]:
    """A hub that runs for as long as the block does; with keys, asked with the token of an admin."""
    with tempfile.TemporaryDirectory() as folder:
        # In a file, so that what is kept is not taken for memory that is lost.
        store = f"sqlite:{folder}/store.db"
        arguments = [program(), "serve", "--listen", "127.0.0.1:0", "--store", store, "--log", "error"]
        token = None
        if with_keys:
            made = subprocess.run(
                [program(), "token", "new", "--name", "check", "--role", "admin", "--pipelines", "*"],
                check=True,
                capture_output=True,
                text=True,
            )
            token = made.stdout.strip()
            keys = Path(folder) / "keys.toml"
            keys.write_text(made.stderr[made.stderr.index("[[key]]") :])
            arguments += ["--keys", str(keys)]
        log = Path(folder) / "log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RAGPULSE_")}
        with log.open("w") as errors:
            process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors, text=True, env=clean)
        try:
            hub = Hub(process, *address(process, log), token, log)
            until(hub.lives, "the hub to answer")
            yield hub
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def address(process: subprocess.Popen[str], log: Path) -> tuple[str, int]:
    """Where a hub that starts says that it is."""
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"http://([0-9.]+):(\d+)", line)
        if found:
            return found.group(1), int(found.group(2))
    raise SystemExit(f"the hub did not start: {log.read_text()}")


def until(so: Any, what: str, patience: float = PATIENCE) -> None:
    """Waits until something is so."""
    end = time.monotonic() + patience
    while not so():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)

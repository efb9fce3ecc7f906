"""The program under test, and waiting for conditions."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")


def binary() -> str:
    """The path of `ragpulse`. Tests of a live hub fail where it is not known; they are never skipped."""
    path = os.environ.get("RAGPULSE_BIN", "")
    if not Path(path).is_file():
        raise RuntimeError(
            f"RAGPULSE_BIN names {path!r}, which is not there: run `cargo xtask test`, or build the program by "
            "`cargo build -p ragpulse-cli` and set RAGPULSE_BIN to its path"
        )
    return path


def until(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Waits until a condition gives something true, and gives it."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}; last: {found!r}")
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Hub:
    """A hub of the real program. It keeps its address over restarts."""

    def __init__(self, *arguments: str, store: str = "memory:", listen: str = "127.0.0.1:0") -> None:
        self._arguments = [*arguments, "--store", store]
        self.url = ""
        self.start(listen)

    def start(self, listen: str | None = None) -> None:
        listen = listen or self.url.removeprefix("http://")
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("RAGPULSE_", "SOCKET_IO"))
        }
        command = [binary(), "serve", "--listen", listen, *self._arguments]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.errors: list[str] = []
        lines: list[str] = []
        self._readers = [
            threading.Thread(target=_read, args=(self.process.stdout, lines), daemon=True),
            threading.Thread(target=_read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

        def address() -> str | None:
            if self.process.poll() is not None:
                raise AssertionError(f"the hub ended: {''.join(self.errors)}")
            found = [match[1] for line in lines if (match := re.match(r"RagPulse is at (http://\S+)", line))]
            return found[0] if found else None

        self.url = until(address, "the hub's address") or ""

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(15)
        finally:
            self.process.kill()
            self.process.wait(15)
            for reader in self._readers:
                reader.join(5)
            for stream in (self.process.stdout, self.process.stderr):
                if stream:
                    stream.close()

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def restart(self, *arguments: str) -> None:
        """Ends it, and starts it with other arguments; address and store are the same."""
        store = self._arguments[self._arguments.index("--store") :]
        self.stop()
        self._arguments = [*arguments, *store]
        self.start()

    def get(self, path: str, **query: Any) -> Any:
        with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
            response = client.get(self.url + path, params=query)
            return response.json()

    def post(self, pipeline: str, *events: dict[str, Any]) -> Any:
        with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
            response = client.post(f"{self.url}/api/pipelines/{pipeline}/events", json=list(events))
            assert response.status_code == 200, response.text
            return response.json()

    def forget(self, pipeline: str) -> None:
        with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
            assert client.delete(f"{self.url}/api/pipelines/{pipeline}").status_code == 204

    def state(self, pipeline: str) -> dict[str, Any]:
        answer = self.get(f"/api/pipelines/{pipeline}/events")
        snapshot: dict[str, Any] = answer.get("snapshot") or {}
        return snapshot

    def history(self, pipeline: str, **query: Any) -> list[dict[str, Any]]:
        """Every event that the hub has, in order."""
        events: list[dict[str, Any]] = []
        after: dict[str, Any] | None = {}
        while after is not None:
            page = self.get(f"/api/pipelines/{pipeline}/history", limit=1000, **query, **after)
            events += page.get("events", [])
            after = {"after": page["next_after"]} if "next_after" in page else None
        return events

    def names(self, pipeline: str) -> list[str]:
        return [event["event"] for event in self.history(pipeline)]


def _read(stream: Any, lines: list[str]) -> None:
    with contextlib.suppress(ValueError, OSError):
        lines.extend(iter(stream.readline, ""))


@contextlib.contextmanager
def hub(*arguments: str, **options: str) -> Iterator[Hub]:
    running = Hub(*arguments, **options)
    try:
        yield running
    finally:
        running.stop()


_next = 0


def fresh(name: str) -> str:
    """A name that no other test of this process uses."""
    global _next
    _next += 1
    return f"{name}-{_next}"


class Reported:
    """Stands for a reporter, and keeps what is reported."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def report(self, event: str, data: Mapping[str, Any] | None = None) -> None:
        self.events.append((event, dict(data or {})))

    def offline(self, reason: str = "normal_shutdown") -> None:
        self.report("pipeline:offline", {"reason": reason})

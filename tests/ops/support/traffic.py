"""Traffic such as a hub has: pipelines that report files, pages by socket and by polling, scripts by stream, and those
who are turned away.

What may come in: a hub. What it never does: judge the hub; it only has happen what happens on a usual day, faster. A
thread that fails where it should not says so.
"""

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import socketio

from support.hub import Hub

LEASE_SECONDS = 30


class Traffic:
    """Threads that go on until they are asked to stop."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.ended = threading.Event()
        self.reported = threading.Event()
        self.failures: list[str] = []

    def start(self, actors: list[Callable[[], None]]) -> list[threading.Thread]:
        """Lets them begin."""
        threads = [threading.Thread(target=self._guard, args=(actor,), daemon=True) for actor in actors]
        for thread in threads:
            thread.start()
        return threads

    def _guard(self, actor: Callable[[], None]) -> None:
        try:
            actor()
        except Exception as error:
            if not self.ended.is_set():
                self.failures.append(f"{actor}: {error!r}")

    def going(self) -> bool:
        """True, as long as nothing has failed."""
        assert not self.failures, self.failures
        return True

    def pause(self, seconds: float) -> bool:
        """Waits a little; false when it is over."""
        return not self.ended.wait(seconds)

    def pipeline(self, name: str) -> None:
        """One that takes up, works on and ends files, says some things twice, and makes mistakes."""
        with self.hub.client(**{"RagPulse-Reporter": f"{name}-worker"}) as client:
            path = f"/api/pipelines/{name}/events"
            online = {
                "event": "pipeline:online",
                "data": {"pipeline_type": "local_files", "lease_seconds": LEASE_SECONDS},
            }
            client.post(path, json=[online]).raise_for_status()
            for number in itertools.count():
                file = {"name": f"{number}.pdf"}
                told: list[dict[str, Any]] = [
                    event("file:queued", file),
                    event("file:processing", file, processing_stage="extraction"),
                    *(event("file:progress", file, processing_stage="embedding", progress=n / 8) for n in range(8)),
                ]
                client.post(path, json=told).raise_for_status()
                if self.reported.wait(0.2):
                    return
                ends = [
                    event("file:completed", file, results={"chunks_created": 12}),
                    event("file:failed", file, error={"type": "ValueError", "message": "no text"}),
                    event("file:skipped", file, reason="unchanged"),
                ]
                end = ends[number % 3] | {"event_id": f"{name}-{number}-end"}
                for _ in range(2):
                    # The second is a resend.
                    client.post(path, json=[end]).raise_for_status()
                # A second end without an id is an anomaly, progress without a number a fault.
                client.post(path, json=[event("file:failed", file, error={"message": "late"})]).raise_for_status()
                client.post(path, json=[event("file:progress", file)])
                client.post(path, json=[{"event": "heartbeat"}]).raise_for_status()

    def ghosts(self) -> None:
        """Pipelines that fall silent without a word."""
        with self.hub.client() as client:
            for number in range(3):
                online = {"event": "pipeline:online", "data": {"pipeline_type": "local_files", "lease_seconds": 1}}
                client.post(f"/api/pipelines/ghost-{number}/events", json=[online]).raise_for_status()
                if not self.pause(5):
                    return

    def page(self, name: str) -> None:
        """A page that follows by socket and tells how it fares; now and then it comes back and goes on."""
        cursors: dict[str, dict[str, Any]] = {}
        while not self.ended.is_set():
            client = socketio.Client(reconnection=False)

            def remember(_event: str, data: Any = None, *_: Any) -> None:
                if isinstance(data, dict) and data.get("epoch"):
                    cursors[data["pipeline_id"]] = {"epoch": data["epoch"], "seq": data["seq"]}

            client.on("*", remember)
            client.connect(self.hub.url, transports=["websocket"], auth={"token": self.hub.token})
            asked: dict[str, Any] = {"all": True}
            if cursors:
                asked = {"pipeline_ids": sorted(cursors), "cursors": dict(cursors)}
            client.call("subscribe", asked, timeout=20)
            status = {"client_id": name, "status": "active", "transport": "websocket"}
            client.call("client:status", {**status, "fallback_dwell_ms": 2_500}, timeout=20)
            for _ in range(8):
                client.emit("client:status", {**status, "latency_ms": 3.5, "paint_latency_ms": 21})
                if not self.pause(0.4):
                    break
            client.disconnect()

    def page_that_polls(self) -> None:
        """A page whose socket failed."""
        status = {"client_id": "poller", "status": "active", "transport": "polling", "latency_ms": 4}
        position: dict[str, Any] = {}
        with self.hub.client() as client:
            for number in itertools.count():
                told = status | ({"fallback_cause": "failed: no upgrade"} if number % 10 == 0 else {})
                answer = client.get(
                    "/api/pipelines/docs/events",
                    params={**position, "wait": 25},
                    headers={"RagPulse-Client-Status": json.dumps(told)},
                )
                if answer.status_code == 200:
                    body = answer.json()
                    position = {"epoch": body["epoch"], "seq": body["seq"]}
                if not self.pause(0.1):
                    return

    def script(self) -> None:
        """A script that follows by stream."""
        with (
            self.hub.client() as client,
            client.stream("GET", "/api/pipelines/docs/stream", timeout=httpx.Timeout(35)) as answer,
        ):
            for _ in answer.iter_lines():
                if self.ended.is_set():
                    return

    def legacy_page(self) -> None:
        """A page of the reference application, which asks every half second what is new."""
        tag = ""
        with self.hub.client() as client:
            while self.pause(0.5):
                tag = client.get("/api/rag-status", headers={"If-None-Match": tag}).headers.get("ETag", "")

    def strangers(self) -> None:
        """Those who are turned away: by the wrong origin, without a token, with one that is none."""
        opening = "/socket.io/?EIO=4&transport=polling"
        with httpx.Client(base_url=self.hub.url, timeout=20, trust_env=False) as client:
            while self.pause(0.5):
                client.get(opening, headers={"Origin": "https://elsewhere.example"})
                client.get("/api/rag-status", headers={"Authorization": "Bearer rp_wrong"})
                socket = socketio.Client(reconnection=False)
                with contextlib.suppress(socketio.exceptions.ConnectionError):
                    socket.connect(self.hub.url, transports=["websocket"], auth={"token": "rp_wrong"}, wait_timeout=5)
                socket.disconnect()


def event(name: str, file: dict[str, str], **data: Any) -> dict[str, Any]:
    """An event of a file."""
    return {"event": name, "data": {"file": file, **data}}


@contextlib.contextmanager
def traffic(hub: Hub) -> Iterator[Traffic]:
    """Traffic as long as the block lasts."""
    made = Traffic(hub)
    reporters = made.start([partial(made.pipeline, name) for name in ("docs", "mail", "wiki")])
    threads = made.start(
        [
            lambda: made.page("ada"),
            lambda: made.page("grace"),
            made.page_that_polls,
            made.script,
            made.legacy_page,
            made.ghosts,
            made.strangers,
        ]
    )
    try:
        yield made
    finally:
        # Those who follow end first: until then there is news for who waits for it.
        made.ended.set()
        for thread in threads:
            thread.join(30)
        made.reported.set()
        for thread in reporters:
            thread.join(30)
    made.going()
    assert not any(thread.is_alive() for thread in [*threads, *reporters]), "a part of the traffic did not end"

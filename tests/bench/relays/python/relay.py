"""A relay of events as the seed's plan has it, on python-socketio with its default settings, served by uvicorn.

A room for each pipeline, and the last state for who subscribes. Neither crippled nor tuned: what a hub is measured
against; see docs/benchmarks.md. uvicorn takes uvloop and httptools by itself where they are installed.

What may come in: well-meant requests on loopback. What it never does: serve anybody but a benchmark.
"""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import socketio
import uvicorn

COMPLETED = 10
FAILED = 5
PATH = re.compile(r"^/api/pipelines/([^/]+)/events$")

server = socketio.AsyncServer(async_mode="asgi")
states: dict[str, dict[str, Any]] = {}


def fresh(pipeline: str) -> dict[str, Any]:
    """The state of a pipeline of which nothing was heard."""
    return {
        "pipeline_id": pipeline,
        "status": "offline",
        "files_processing": [],
        "files_completed": [],
        "files_failed": [],
        "total_processed": 0,
        "total_failed": 0,
    }


def apply(pipeline: str, event: str, data: dict[str, Any]) -> None:
    """Takes note of an event in the status dict of the reference application."""
    state = states.setdefault(pipeline, fresh(pipeline))
    if event in ("pipeline:online", "pipeline:offline"):
        state["status"] = event.removeprefix("pipeline:")
        if "pipeline_type" in data:
            state["pipeline_type"] = data["pipeline_type"]
    elif event == "status:update":
        state.update(data["changes"])
    elif event in ("file:processing", "file:completed", "file:failed"):
        file = data["file"]
        state["files_processing"] = [other for other in state["files_processing"] if other["name"] != file["name"]]
        if event == "file:processing":
            state["files_processing"].append(file)
        elif event == "file:completed":
            state["files_completed"] = [*state["files_completed"], file][-COMPLETED:]
            state["total_processed"] += 1
        else:
            state["files_failed"] = [*state["files_failed"], file][-FAILED:]
            state["total_failed"] += 1


@server.on("subscribe")
async def subscribe(sid: str, wanted: dict[str, str]) -> None:
    """Joins the room of a pipeline, and sends its state."""
    pipeline = wanted["pipeline_id"]
    await server.enter_room(sid, pipeline)
    await server.emit("pipeline:status", states.get(pipeline) or fresh(pipeline), to=sid)


@server.on("unsubscribe")
async def unsubscribe(sid: str, wanted: dict[str, str]) -> None:
    """Leaves it."""
    await server.leave_room(sid, wanted["pipeline_id"])


async def http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Ingest: one event, or one a line; answered when all were emitted."""
    path = PATH.match(scope["path"])
    status, answer = 404, b""
    if path and scope["method"] == "POST":
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        accepted = 0
        for line in body.splitlines():
            event = json.loads(line)
            apply(path[1], event["event"], event["data"])
            await server.emit(event["event"], event["data"], room=path[1])
            accepted += 1
        status, answer = 200, json.dumps({"accepted": accepted}).encode()
    elif scope["path"] == "/health":
        status = 200
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def main() -> None:
    """Serves on a free port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(socketio.ASGIApp(server, http), log_level="warning", access_log=False)
    print(f"The Python relay is at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()

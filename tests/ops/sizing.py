"""What a hub needs for so many sockets, events and files: the figures of docs/operations.md, measured.

    RAGPULSE_BIN=target/release/ragpulse tests/ops/.venv/bin/python tests/ops/sizing.py

What may come in: a program; Linux, because memory is read from /proc. What it never does: assert a speed, or run with
the tests.
"""

import asyncio
import base64
import os
import tempfile
from pathlib import Path

from support.hub import Hub, hub
from support.programs import wait_until
from support.traffic import event

SOCKETS, EVENTS = 1_000, 20
BATCHES, FILES = 100, 250
ONLINE = {"event": "pipeline:online", "data": {"pipeline_type": "local_files", "lease_seconds": 3_600}}


def resident(live: Hub) -> float:
    """Its resident memory in MiB."""
    status = Path(f"/proc/{live.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def metric(live: Hub, name: str) -> float:
    """A number of its metrics."""
    with live.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def frame(text: str) -> bytes:
    """A text frame as a client sends it, masked with zeros."""
    body = text.encode()
    head = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0x80 | 126]) + len(body).to_bytes(2, "big")
    return b"\x81" + head + bytes(4) + body


async def follow(address: str) -> tuple[asyncio.StreamWriter, asyncio.Task[None]]:
    """A socket that follows the pipeline and reads what comes, as cheaply as it can be done."""
    name, port = address.split(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(frame("40"))
    seen = b""
    while b"40{" not in seen:
        seen += await reader.read(4_096)
    writer.write(frame('420["subscribe",{"pipeline_id":"docs"}]'))

    async def read() -> None:
        while data := await reader.read(65_536):
            if b"\x81\x012" in data:
                writer.write(frame("3"))

    return writer, asyncio.create_task(read())


async def sockets(live: Hub) -> None:
    """Memory with sockets that follow one pipeline."""
    before = resident(live)
    live.report("docs", ONLINE)
    open_ones = [await follow(live.address) for _ in range(SOCKETS)]
    all_follow = lambda: metric(live, "ragpulse_subscriptions") == SOCKETS  # noqa: E731
    await asyncio.to_thread(wait_until, "all follow", all_follow)
    for number in range(EVENTS):
        await asyncio.to_thread(live.report, "docs", event("file:queued", {"name": f"{number}.pdf"}))
    delivered = lambda: metric(live, "ragpulse_events_out_total") >= EVENTS * SOCKETS  # noqa: E731
    await asyncio.to_thread(wait_until, "all have everything", delivered, 60)
    after = resident(live)
    print(f"{SOCKETS} sockets: {before:.0f} to {after:.0f} MiB, {(after - before) * 1024 / SOCKETS:.0f} KiB each")
    for writer, task in open_ones:
        task.cancel()
        writer.close()


def history(live: Hub, folder: Path) -> None:
    """Memory and store of files that went their whole way."""
    live.report("docs", ONLINE)
    before = resident(live)
    for batch in range(BATCHES):
        names = [{"name": f"folder/document-{batch}-{n}.pdf"} for n in range(FILES)]
        ways = [
            (
                event("file:queued", file),
                event("file:processing", file, processing_stage="extraction"),
                event("file:completed", file, results={"chunks_created": 12}),
            )
            for file in names
        ]
        live.report("docs", *(one for way in ways for one in way))
    after, files = resident(live), BATCHES * FILES
    print(f"{files * 3} events of {files} files: {before:.0f} to {after:.0f} MiB", end="")
    live.stop()
    if stored := sum(file.stat().st_size for file in folder.glob("ragpulse.db*")):
        print(f", {stored / files / 3:.0f} bytes of the store an event", end="")
    print()


def main() -> None:
    """Measures with both stores."""
    for kind in ("memory:", "sqlite:"):
        for measure in ("sockets", "history"):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                store = kind if kind == "memory:" else f"{kind}{folder / 'ragpulse.db'}"
                print(f"{kind:8}", end=" ", flush=True)
                with hub(folder, store=store) as live:
                    if measure == "sockets":
                        asyncio.run(sockets(live))
                    else:
                        history(live, folder)


if __name__ == "__main__":
    main()

"""What a call of the reporter costs while the hub is down, beside python-socketio's `emit` in the same run.

    python benches/overhead.py [--calls 100000] [--check]

Prints the median, p99.9 and the longest of each, in microseconds. The control is plain work of about the same length:
what it shows at p99.9 is what the machine adds when it has other work. `--check` fails where the reporter's median is
20 µs or more, or its p99.9 5 ms or more, unless the control's is half as much.

python-socketio refuses to emit where it is not connected, so it is measured in two ways: against nobody (each call
raises, and is caught), and connected to a server of its own in another process.
"""

import argparse
import contextlib
import json
import logging
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from ragpulse import Reporter

logging.getLogger("ragpulse").setLevel(logging.ERROR)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def measure(name: str, calls: int, work: Callable[[int], object]) -> tuple[float, float]:
    took = []
    for number in range(calls):
        begun = time.perf_counter_ns()
        work(number)
        took.append(time.perf_counter_ns() - begun)
    took.sort()
    median, late, longest = (took[int(calls * part)] / 1_000 for part in (0.5, 0.999, 1 - 1 / calls))
    print(f"{name:<44} median {median:9.1f} µs   p99.9 {late:9.1f} µs   longest {longest:9.1f} µs")
    return median, late


def serve(port: int) -> None:
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    import socketio
    from engineio.payload import Payload

    # Its client sends in one request what has gathered, and the server refuses more than a few packets in one.
    Payload.max_decode_packets = 10**9
    server = socketio.Server(async_mode="threading", max_http_buffer_size=10**9)

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    from socketserver import ThreadingMixIn

    class Threads(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    make_server("127.0.0.1", port, socketio.WSGIApp(server), Threads, Quiet).serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    print(f"{options.calls} calls each, the hub is down; Python {sys.version.split()[0]}")

    url = f"http://127.0.0.1:{free_port()}"
    reporter = Reporter("bench", "local_files", url=url, exit_timeout=0)
    reporter.online()
    file = reporter.file("a.pdf")
    file.processing("embedding")
    results = [
        measure("ragpulse: progress of one file", options.calls, lambda n: file.progress("embedding", n % 100 / 100))
    ]

    def whole(number: int) -> None:
        # A third of the calls each, so that every kind is in the distribution.
        kind, which = number % 3, number // 3
        event = ("file:processing", "file:progress", "file:completed")[kind]
        data: dict[str, Any] = {"file": {"name": "a.pdf", "id": str(which)}}
        if kind == 1:
            data |= {"progress": 0.5, "processing_stage": "embedding"}
        reporter.report(event, data)

    results.append(measure("ragpulse: begin, progress and end of files", options.calls, whole))
    status = reporter.status
    print(f"  then {status.queued} events wait ({status.queued_bytes / 1e6:.1f} MB), {status.dropped} found no room")

    import socketio

    # What the machine itself adds, when it has other work: plain work of about the same length.
    encode = json.JSONEncoder(separators=(",", ":")).encode
    fields = {"file": {"name": "a.pdf", "id": "1"}, "progress": 0.5, "processing_stage": "embedding"}
    _, control = measure(
        "control: encoding the same fields three times", options.calls, lambda _: [encode(fields) for _ in "abc"]
    )

    client = socketio.Client(reconnection=False)

    def unconnected(_: int) -> None:
        with contextlib.suppress(socketio.exceptions.BadNamespaceError):
            client.emit("file:progress", {"file": {"name": "a.pdf"}, "progress": 0.5})

    measure("python-socketio: emit, down (raises)", options.calls, unconnected)
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    server.start()
    for _ in range(100):
        try:
            client.connect(f"http://127.0.0.1:{port}", transports=["polling"])
            break
        except socketio.exceptions.ConnectionError:
            time.sleep(0.1)
    measure("python-socketio: emit, connected", options.calls, lambda _: client.emit("file:progress", fields))
    server.kill()
    if options.check and not all(median < 20 and late < max(5_000, 2 * control) for median, late in results):
        print("the reporter is slower than promised", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

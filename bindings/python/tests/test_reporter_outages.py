"""The reporter beside hubs that are away, full, killed, or none: what it keeps, gives up, and tells once."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ragpulse import Reporter
from reporter_support import reporter
from support import Hub, free_port, fresh, hub, until


def test_an_outage_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    pipeline = Reporter(fresh("outage"), "t", url=f"http://127.0.0.1:{port}")
    pipeline.online()
    until(lambda: pipeline.status.failures >= 3, "three tries")
    status = pipeline.status
    assert (status.connection, status.queued) == ("retrying", 1)
    assert status.cause
    assert status.since_seconds > 0
    with hub(listen=f"127.0.0.1:{port}") as running:
        for number in range(50):
            pipeline.file("a", id=str(number)).completed()
        assert pipeline.flush(40)
        assert len(running.names(pipeline.pipeline_id)) == 51
        pipeline.close()
    assert caplog.text.count("is away") == 1
    assert caplog.text.count("takes events again") == 1


def test_a_full_queue_gives_up_progress_first_and_tells_once(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Reporter("full", "t", url=f"http://127.0.0.1:{free_port()}", max_queue=50, exit_timeout=0.1)
    pipeline.online()
    until(lambda: pipeline.status.connection == "retrying", "the first try")
    for number in range(40):
        pipeline.file(str(number)).progress("embedding", 0.5)
    for number in range(40):
        f = pipeline.file(str(number))
        f.processing()
        f.completed()
    status = pipeline.status
    assert status.queued == 50
    assert status.progress_given_up == 40
    assert status.dropped == 81 - 50
    assert caplog.text.count("is full") == 1
    begun = time.monotonic()
    assert not pipeline.close()
    assert time.monotonic() - begun < 5
    assert caplog.text.count("50 events of full were not taken") == 1


def test_a_hub_that_refuses_everything_is_told_once(caplog: pytest.LogCaptureFixture, live: Hub) -> None:
    first = reporter(live)
    first.online()
    assert first.flush()
    other = Reporter(first.pipeline_id, "another_type", url=live.url, exit_timeout=0.2)
    other.online()
    until(lambda: other.status.failures >= 2, "two tries")
    assert other.status.connection == "refused"
    assert "type_conflict" in other.status.cause
    assert caplog.text.count("refuses the events") == 1
    other.close()
    first.close()


def test_something_that_is_no_hub_is_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 2_000_000 if "big" in self.path else b"<html>")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for name, cause in (("plain", "<html>"), ("big", "more than")):
            pipeline = Reporter(name, "t", url=f"http://127.0.0.1:{server.server_port}", exit_timeout=0)
            pipeline.online()
            until(lambda p=pipeline: p.status.cause, "an answer")  # type: ignore[misc]
            assert cause in pipeline.status.cause
            assert not pipeline.close(0)
    finally:
        server.shutdown()
        server.server_close()


def test_a_forgotten_pipeline_is_opened_again_with_its_open_files(live: Hub) -> None:
    pipeline = reporter(live)
    f = pipeline.file("a", id="a")
    f.processing("embedding")
    assert pipeline.flush()
    live.forget(pipeline.pipeline_id)
    pipeline.file("b", id="b").completed()
    assert pipeline.flush()
    f.completed()
    assert pipeline.flush()
    state = live.state(pipeline.pipeline_id)
    assert {file["id"]: file["state"] for file in state["files"]} == {"a": "completed", "b": "completed"}
    pipeline.close()


def test_every_end_arrives_once_though_the_hub_is_killed(tmp_path: Path) -> None:
    """The hub is killed and started again on its store, again and again, while a pipeline reports."""
    running = Hub(store=f"sqlite:{tmp_path / 'hub.db'}")
    try:
        pipeline = Reporter("killed", "local_files", url=running.url, request_timeout=5)
        stop = threading.Event()
        count = 0

        def work() -> None:
            nonlocal count
            while not stop.is_set():
                with pipeline.file(f"{count}.pdf", id=str(count)) as f:
                    f.progress("embedding", 0.5)
                count += 1
                time.sleep(0.005)

        worker = threading.Thread(target=work)
        worker.start()
        for _ in range(3):
            seen = pipeline.status.accepted
            until(lambda seen=seen: pipeline.status.accepted > seen + 60, "events to arrive")  # type: ignore[misc]
            running.kill()
            until(lambda: pipeline.status.connection == "retrying", "the reporter to notice")
            running.start()
        stop.set()
        worker.join()
        assert pipeline.close(60)
        ends = [event["data"]["file"]["id"] for event in running.history("killed", event="file:completed")]
        assert sorted(ends, key=int) == [str(number) for number in range(count)]
        assert ends == sorted(ends, key=int), "in their order"
        state = running.state("killed")
        assert (state["total_processed"], state["total_failed"], state["status"]) == (count, 0, "offline")
        assert running.history("killed", event="file:failed") == []
        assert pipeline.status.dropped == 0
    finally:
        running.stop()


def test_an_outage_under_100_events_a_second_loses_no_end(tmp_path: Path) -> None:
    """60 s of outage at 100 events a second, as the reporter has them: 6,000 events wait, with progress among them."""
    running = Hub(store=f"sqlite:{tmp_path / 'hub.db'}")
    try:
        pipeline = Reporter("outage", "local_files", url=running.url)
        pipeline.online()
        assert pipeline.flush()
        running.kill()
        for number in range(2000):
            with pipeline.file("a.pdf", id=str(number)) as f:
                f.progress("embedding", 0.5)
        until(lambda: pipeline.status.connection == "retrying", "the reporter to notice")
        running.start()
        assert pipeline.close(60)
        ends = [event["data"]["file"]["id"] for event in running.history("outage", event="file:completed")]
        assert ends == [str(number) for number in range(2000)]
        assert pipeline.status.dropped == 0
    finally:
        running.stop()


def test_heartbeats_keep_a_quiet_pipeline_alive() -> None:
    with hub() as running:
        pipeline = Reporter("quiet", "t", url=running.url, lease_seconds=1)
        with pipeline, pipeline.file("long", id="long"):
            assert pipeline.flush()
            until(lambda: pipeline.status.conflated >= 4, "four heartbeats")
            state = running.state("quiet")
            assert (state["liveness"], state["status"]) == ("live", "online")
        assert running.names("quiet") == ["pipeline:online", "file:processing", "file:completed", "pipeline:offline"]

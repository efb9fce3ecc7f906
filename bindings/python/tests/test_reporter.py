"""The reporter against the real hub: files, ends, outages, threads; and that it raises nothing."""

import asyncio
import gc
import hashlib
import json
import logging
import os
import pickle
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragpulse import AsyncReporter, File, Rejected, Reporter, file_id, is_retryable
from ragpulse._endpoint import Endpoint, bearer
from ragpulse._reporter import process
from support import Hub, free_port, fresh, hub, until


def reporter(live: Hub, name: str = "reporter", **options: Any) -> Reporter:
    return Reporter(fresh(name), "local_files", url=live.url, **options)


def told(live: Hub, pipeline: Reporter | AsyncReporter) -> list[tuple[str, dict[str, Any]]]:
    return [(event["event"], event["data"]) for event in live.history(pipeline.pipeline_id)]


def test_a_file_is_told_from_its_begin_to_its_end(live: Hub) -> None:
    with reporter(live, check_interval=60, watch_location=Path("docs")) as pipeline:
        assert pipeline.url == live.url
        with pipeline.file(Path("docs/a.pdf"), size=3, mime_type="application/pdf") as f:
            f.progress("extraction", 0.5)
            assert pipeline.flush()
            f.progress("embedding", current=1, total=4, unit="chunks", eta_seconds=2.5)
            assert pipeline.flush()
            f.completed(chunks_created=4, content_length=9, warnings=["slow"], own=1)
            assert f.ended
    online, processing, first, second, completed, offline = told(live, pipeline)
    assert online[1]["pipeline_type"] == "local_files"
    assert (online[1]["check_interval"], online[1]["watch_location"]) == (60, "docs")
    identity = hashlib.md5(os.path.abspath("docs/a.pdf").encode()).hexdigest()
    file = {"id": identity, "name": "a.pdf", "path": "docs/a.pdf", "size": 3, "mime_type": "application/pdf"}
    assert (processing[0], processing[1]["file"]) == ("file:processing", file)
    assert (first[1]["progress"], first[1]["processing_stage"]) == (0.5, "extraction")
    assert {key: second[1][key] for key in ("progress", "current", "total", "unit", "eta_seconds")} == {
        "progress": 0.25,
        "current": 1,
        "total": 4,
        "unit": "chunks",
        "eta_seconds": 2.5,
    }
    results = completed[1]["results"]
    assert results.pop("processing_duration") >= 0
    assert results == {"chunks_created": 4, "content_length": 9, "own": 1}
    assert completed[1]["warnings"] == ["slow"]
    assert (offline[0], offline[1]["reason"]) == ("pipeline:offline", "normal_shutdown")


def test_every_way_a_file_may_go(live: Hub) -> None:
    pipeline = reporter(live)
    waits = pipeline.file("waits", id="waits")
    waits.queued(change="modified", queue_position=3)
    with pipeline.file("left", id="left"):
        pass
    with pipeline.file("skipped", id="skipped") as f:
        f.skipped("duplicate", duplicate_of="left", message="the same text")
    with pipeline.file("cancelled", id="cancelled") as f:
        f.cancelled(requested_by="me")
    with pipeline.file("gone", id="gone") as f:
        f.deleted(chunks_deleted=2)
    with pipeline.file("later", id="later") as f:
        f.retrying(attempt=2, max_attempts=3)
    with pipeline.file("failed", id="failed") as f:
        f.progress("storing")
        f.failed("the disk is full", code="ENOSPC", type="DiskFull", retryable=True)
        f.completed()
        f.progress("storing", 1)
    again = pipeline.file("again", id="again")
    again.failed(ValueError("first"))
    again.processing("chunking", estimated_duration=1.5, attempt=2)
    again.completed()
    assert pipeline.flush()
    state = live.state(pipeline.pipeline_id)
    stands = {file["id"]: file["state"] for file in state["files"]}
    assert stands == {
        "waits": "queued",
        "left": "completed",
        "skipped": "skipped",
        "cancelled": "cancelled",
        "later": "queued",
        "failed": "failed",
        "again": "completed",
    }
    failed = next(file for file in state["files"] if file["id"] == "failed")
    assert failed["error"] == {
        "code": "ENOSPC",
        "message": "the disk is full",
        "retryable": True,
        "stage": "storing",
        "type": "DiskFull",
    }
    assert state["counts"] == {"queued": 2, "processing": 0, "completed": 2, "failed": 1, "skipped": 1, "cancelled": 1}
    assert (state["total_processed"], state["total_failed"]) == (2, 2)
    pipeline.close()


class Own(Exception):
    retryable = True


class WithStatus(Exception):
    def __init__(self, status: int) -> None:
        self.response = type("Response", (), {"status_code": status})()


def test_an_exception_fails_the_file_and_goes_on(live: Hub) -> None:
    pipeline = reporter(live)
    cases: list[tuple[BaseException, dict[str, Any]]] = [
        (ValueError("no text layer"), {"type": "ValueError", "message": "no text layer", "retryable": False}),
        (
            ConnectionResetError(),
            {"type": "ConnectionResetError", "message": "ConnectionResetError", "retryable": True},
        ),
        (Own("x"), {"type": "Own", "message": "x", "retryable": True}),
        (KeyboardInterrupt(), {"type": "Interrupted", "retryable": True}),
        (asyncio.CancelledError(), {"type": "Interrupted", "retryable": True}),
        (ValueError("x" * 100_000), {"type": "ValueError", "message": "x" * 4000}),
    ]
    for number, (error, _) in enumerate(cases):
        f = pipeline.file("f", id=str(number))
        f.progress("embedding", 0.5)
        with pytest.raises(type(error)), f:
            raise error
    assert pipeline.flush()
    failures = {data["file"]["id"]: data for name, data in told(live, pipeline) if name == "file:failed"}
    for number, (_, expected) in enumerate(cases):
        found = failures[str(number)]["error"]
        assert {key: found[key] for key in expected} == expected
        assert found["stage"] == "embedding"
    pipeline.close()


def test_addresses_keep_a_base_path_and_tokens_stay_out_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, events in [
        ("http://h:1", "http://h:1/api/pipelines/p/events"),
        ("https://h/hub/", "https://h/hub/api/pipelines/p/events"),
        ("wss://h/hub?x=1#y", "https://h/hub/api/pipelines/p/events"),
        ("http://[::1]:8103", "http://[::1]:8103/api/pipelines/p/events"),
    ]:
        endpoint = Endpoint(given, "secret")
        assert endpoint.events("p") == events
        assert bearer(endpoint.tokens.get(1.0)) == {"authorization": "Bearer secret"}
        again = pickle.loads(pickle.dumps(endpoint))
        assert (again.events("p"), again.options(3)["headers"]) == (events, endpoint.options(3)["headers"])
    # A proxy is somewhere else, where a loopback address means another machine.
    loopback = {url: not Endpoint(url).options(1)["trust_env"] for url in ("http://localhost", "http://127.0.0.9")}
    assert all(loopback.values())
    assert Endpoint("http://localhost.example").options(1)["trust_env"]
    assert isinstance(Endpoint("https://h").options(1)["verify"], ssl.SSLContext)
    monkeypatch.setenv("RAGPULSE_URL", "")
    assert Endpoint().url == "http://127.0.0.1:8103"


def test_whether_trying_again_may_help() -> None:
    class Hostile(Exception):
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    for error, expected in [
        (TimeoutError(), True),
        (httpx.ConnectTimeout("x"), True),
        (WithStatus(503), True),
        (WithStatus(401), False),
        (KeyError("x"), False),
        (SystemExit(), True),
        (Hostile(), False),
    ]:
        assert is_retryable(error) is expected, error


def test_the_judge_of_errors_may_be_given_and_may_fail(live: Hub) -> None:
    def judge(error: BaseException) -> bool:
        if isinstance(error, KeyError):
            raise RuntimeError("no idea")
        return True

    pipeline = reporter(live, retryable=judge)
    for error in (ValueError("a"), KeyError("b")):
        with pytest.raises(type(error)), pipeline.file("x", id=type(error).__name__):
            raise error
    assert pipeline.flush()
    found = {data["file"]["id"]: data["error"]["retryable"] for name, data in told(live, pipeline) if "failed" in name}
    assert found == {"ValueError": True, "KeyError": False}
    pipeline.close()


def test_ids_of_files() -> None:
    pipeline = Reporter("p", "t", url="http://127.0.0.1:9")
    assert pipeline.file("a", id="own").id == "own"
    assert pipeline.file("a", path="x/a").id == pipeline.file(Path("x/a")).id == file_id("x/a")
    assert pipeline.file(Path("x/a")).name == "a"
    assert pipeline.file("a").id != pipeline.file("a").id
    assert "a" in repr(pipeline.file("a"))
    odd: Any = object()
    assert isinstance(pipeline.file(odd, path=odd), File), "nothing is raised for what is no path"


def test_identity_and_hub_come_from_the_environment(live: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    name = fresh("environment")
    for key, value in (("RAGPULSE_URL", live.url), ("RAG_PIPELINE_ID", name), ("RAG_SERVICE", "google_drive")):
        monkeypatch.setenv(key, value)
    with Reporter() as pipeline:
        assert (pipeline.pipeline_id, pipeline.pipeline_type) == (name, "google_drive")
    assert live.names(name) == ["pipeline:online", "pipeline:offline"]
    monkeypatch.setenv("RAGPULSE_TOKEN", "secret")
    assert Endpoint().tokens.get(1.0) == "secret"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pipeline_id": ""}, "name the pipeline"),
        ({"pipeline_id": "a b"}, "cannot be a pipeline id"),
        ({"url": "hub"}, "no address of a hub"),
        ({"url": "http://h:port"}, "no address of a hub"),
        ({"url": "http://me:secret@h"}, "no user or password"),
        ({"token": "a\nb"}, "no header can carry"),
        ({"lease_seconds": 0}, "lease_seconds"),
        ({"max_queue": 0}, "max_queue"),
        ({"request_timeout": 0}, "request_timeout"),
        ({"on_sigterm": "perhaps"}, "on_sigterm"),
        ({"reporter_id": "/"}, "reporter id"),
    ],
)
def test_what_no_hub_takes_is_refused_when_it_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        Reporter(**{"pipeline_id": "p", "pipeline_type": "t", **options})
    assert "secret" not in str(raised.value)


def test_it_never_raises_and_tells_what_could_not_be_reported(live: Hub, caplog: pytest.LogCaptureFixture) -> None:
    rejected: list[Rejected] = []

    def note(one: Rejected) -> None:
        rejected.append(one)
        raise RuntimeError("the callback fails")

    pipeline = reporter(live, on_rejected=note)
    circle: dict[str, Any] = {}
    circle["self"] = circle
    nonsense: Any = 7
    pipeline.update(total_files=3)
    pipeline.update(circle=circle)
    pipeline.update(nonsense)
    pipeline.report("x:big", {"text": "x" * 600_000})
    pipeline.report("file:unheard", {})
    pipeline.report("x:time", {}, timestamp="yesterday")
    with pipeline.file("a") as f:
        for progress in (float("nan"), "half", None, 7, -1):
            f.progress("embedding", progress)  # type: ignore[arg-type]
        f.progress("embedding", current=1, total=0)
    assert pipeline.flush()
    names = live.names(pipeline.pipeline_id)
    assert names == ["pipeline:online", "status:update", "file:processing", "file:completed"]
    codes = sorted((one.event["event"], one.problem.code) for one in rejected)
    assert codes == [
        ("file:unheard", "unknown_event"),
        ("status:update", "invalid_event"),
        ("status:update", "reserved_field"),
        ("x:big", "invalid_event"),
        ("x:time", "invalid_event"),
    ]
    assert pipeline.status.rejected == len(rejected)
    assert any(one.event["event"] == "file:unheard" and "file:" in one.problem.detail for one in rejected)
    pipeline.close()
    assert "on_rejected failed" in caplog.text


def test_own_events_and_offline_in_between(live: Hub) -> None:
    pipeline = reporter(live)
    pipeline.report("x:note", {"text": "hello"}, event_id="once", timestamp="2026-01-31T09:30:00+02:00")
    pipeline.report("x:note", {"text": "hello"}, event_id="once")
    pipeline.offline("error")
    pipeline.offline("error")
    pipeline.update({"folder_id": "x"}, is_checking=True)
    assert pipeline.flush()
    events = told(live, pipeline)
    names = ["pipeline:online", "x:note", "pipeline:offline", "pipeline:online", "status:update"]
    assert [name for name, _ in events] == names
    assert events[1][1]["timestamp"] == "2026-01-31T07:30:00.000Z"
    assert events[2][1]["reason"] == "error"
    assert pipeline.status.duplicates == 1
    pipeline.close()


def test_closing_is_once_and_what_comes_later_is_counted(live: Hub, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = reporter(live)
    pipeline.online()
    assert pipeline.close()
    assert pipeline.close()
    pipeline.update(a=1)
    pipeline.update(a=2)
    assert (pipeline.status.connection, pipeline.status.dropped) == ("closed", 2)
    assert caplog.text.count("after the reporter was closed") == 1
    assert live.names(pipeline.pipeline_id) == ["pipeline:online", "pipeline:offline"]
    unused = reporter(live)
    assert unused.close(), "who has said nothing has nothing to take back"
    assert live.history(unused.pipeline_id) == []
    assert "closed" in repr(unused)


def test_an_error_that_leaves_the_block_is_the_reason_of_offline(live: Hub) -> None:
    pipeline = reporter(live)
    with pytest.raises(RuntimeError), pipeline:
        raise RuntimeError("out")
    assert told(live, pipeline)[-1][1]["reason"] == "error"


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


def test_many_threads_may_report_at_once(live: Hub) -> None:
    pipeline = reporter(live)

    def work(which: int) -> None:
        for number in range(100):
            with pipeline.file("a", id=f"{which}-{number}") as f:
                f.progress("embedding", 0.5)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pipeline.close(30)
    ends = live.history(pipeline.pipeline_id, event="file:completed")
    assert len({event["data"]["file"]["id"] for event in ends}) == len(ends) == 800
    until(lambda: not any(pipeline.pipeline_id in thread.name for thread in threading.enumerate()), "its thread to end")


def test_a_call_in_the_middle_of_a_call_is_taken_after_it(live: Hub) -> None:
    """As a finalizer or a signal's handler does, which may run anywhere: here, while the lock is held."""
    pipeline = reporter(live)
    engine = pipeline._engine
    push = engine._machine.push

    def interrupted(item: Any, **options: Any) -> bool:
        if b"x:outer" in item.json:
            engine.report("x:inner", {"n": 1})
        return push(item, **options)

    engine._machine.push = interrupted  # type: ignore[method-assign]
    pipeline.report("x:outer")
    assert pipeline.flush()
    assert live.names(pipeline.pipeline_id) == ["pipeline:online", "x:outer", "x:inner"]
    pipeline.close()
    gc.collect()


def test_an_error_of_its_own_does_not_end_the_thread(live: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = reporter(live)
    engine = pipeline._engine
    follow = engine._step
    failures: list[float] = []

    def step(now: float, until: float | None) -> None:
        if not failures:
            failures.append(now)
            raise RuntimeError("a mistake")
        follow(now, until)

    monkeypatch.setattr(engine, "_step", step)
    pipeline.online()
    assert pipeline.flush(20)
    assert failures
    pipeline.close()


def test_where_no_thread_can_be_made_who_waits_sends(live: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        pipeline = reporter(live)
        pipeline.update(a=1)
        assert pipeline.close()
    assert live.names(pipeline.pipeline_id) == ["pipeline:online", "status:update", "pipeline:offline"]


def test_where_no_thread_can_be_made_for_now_the_next_event_makes_one(
    live: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pipeline = reporter(live)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        pipeline.update(a=1)
    pipeline.update(b=2)
    until(lambda: pipeline.status.accepted == 3, "all of them, though nobody waits")
    assert live.names(pipeline.pipeline_id) == ["pipeline:online", "status:update", "status:update"]
    assert pipeline.close()


def test_heartbeats_keep_a_quiet_pipeline_alive() -> None:
    with hub() as running:
        pipeline = Reporter("quiet", "t", url=running.url, lease_seconds=1)
        with pipeline, pipeline.file("long", id="long"):
            assert pipeline.flush()
            until(lambda: pipeline.status.conflated >= 4, "four heartbeats")
            state = running.state("quiet")
            assert (state["liveness"], state["status"]) == ("live", "online")
        assert running.names("quiet") == ["pipeline:online", "file:processing", "file:completed", "pipeline:offline"]


def test_an_async_reporter(live: Hub) -> None:
    async def main() -> AsyncReporter:
        async with AsyncReporter(fresh("async"), "local_files", url=live.url) as pipeline:
            async with pipeline.file("a", id="a") as f:
                f.progress("embedding", 0.5)
            with pytest.raises(ValueError, match="broken"):
                async with pipeline.file("b", id="b"):
                    raise ValueError("broken")
            assert await pipeline.flush()
            assert "connected" in repr(pipeline)
        return pipeline

    pipeline = asyncio.run(main())
    names = ["pipeline:online", "file:processing", "file:completed", "file:processing", "file:failed"]
    assert live.names(pipeline.pipeline_id) == [*names, "pipeline:offline"]


def test_it_goes_on_after_an_event_loop_was_closed(live: Hub) -> None:
    async def first() -> AsyncReporter:
        pipeline = AsyncReporter(fresh("loop"), "local_files", url=live.url)
        pipeline.file("a", id="a").completed()
        return pipeline

    pipeline = asyncio.run(first())
    pipeline.file("b", id="b").completed()

    async def second() -> None:
        pipeline.file("c", id="c").completed()
        assert await pipeline.close()

    asyncio.run(second())
    ends = live.history(pipeline.pipeline_id, event="file:completed")
    assert [event["data"]["file"]["id"] for event in ends] == ["a", "b", "c"]


def test_a_cancelled_task_still_says_that_the_pipeline_has_stopped(live: Hub) -> None:
    name = fresh("cancelled")

    async def work() -> None:
        async with AsyncReporter(name, "local_files", url=live.url) as pipeline, pipeline.file("a", id="a"):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    events = live.history(name)
    assert [event["event"] for event in events][-2:] == ["file:failed", "pipeline:offline"]
    assert events[-2]["data"]["error"]["type"] == "Interrupted"
    assert events[-1]["data"]["reason"] == "normal_shutdown"


def test_a_reporter_that_is_pickled_is_another_reporter_of_the_same_pipeline() -> None:
    pipeline = Reporter(
        "p", "t", url="http://127.0.0.1:9", reporter_id="me", on_rejected=print, retryable=lambda _: True
    )
    again = pickle.loads(pickle.dumps(pipeline))
    assert isinstance(again, Reporter)
    assert (again.pipeline_id, again.pipeline_type, again.url) == ("p", "t", "http://127.0.0.1:9")
    assert again.reporter_id != pipeline.reporter_id == "me"


def test_two_threads_may_fork_at_the_same_time(live: Hub) -> None:
    """Each waits for the request that is under way, and takes back what it has taken, whatever the other does."""
    pipeline = reporter(live)
    pipeline.online()
    assert pipeline.flush()
    first_is_in, second_is_done = threading.Event(), threading.Event()

    def first() -> None:
        process._before_fork()
        first_is_in.set()
        second_is_done.wait(30)
        process._after_fork()

    thread = threading.Thread(target=first)
    thread.start()
    assert first_is_in.wait(30)
    process._before_fork()
    process._after_fork()
    second_is_done.set()
    thread.join()
    pipeline.update(a=1)
    assert pipeline.flush(), "nothing is held any more"
    pipeline.close()


def test_requests_are_not_told_in_the_log_of_the_program(live: Hub, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        with reporter(live) as pipeline:
            pipeline.update(a=1)
        assert caplog.records == []
        httpx.get(live.url, trust_env=False)
        assert len(caplog.records) == 1, "those of the program are"


def test_its_log_is_that_of_the_package(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ragpulse"):
        pipeline = Reporter("p", "t", url=f"http://127.0.0.1:{free_port()}", exit_timeout=0)
        pipeline.update(json.loads('{"a": 1}'))
        until(lambda: caplog.records, "the outage to be told")
        assert {record.name for record in caplog.records if record.levelno >= logging.WARNING} == {"ragpulse"}
        pipeline.close()

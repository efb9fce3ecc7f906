"""The reporter against the real hub: files, their ends, and that it raises nothing."""

import asyncio
import hashlib
import json
import logging
import os
import pickle
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragpulse import File, Rejected, Reporter, file_id, is_retryable
from ragpulse._endpoint import Endpoint, bearer
from reporter_support import reporter, told
from support import Hub, free_port, fresh, until


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

"""The drop-in status dict: its surface, what it reports, and the defects of the old one that it absorbs."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ragpulse.compat import _identity, _keys, _ledger, status_server
from ragpulse.compat._hub import Hub as Sink
from ragpulse.compat._ledger import Ledger
from ragpulse.compat._times import utc
from ragpulse.compat.status_server import PipelineStatus
from support import Reported


class Fake(Reported):
    """Tells what was reported by name."""

    def of(self, *names: str) -> list[dict[str, Any]]:
        return [data for event, data in self.events if event in names]

    def ids(self, *names: str) -> list[str]:
        return [data["file"]["id"] for data in self.of(*names)]

    def changes(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for data in self.of("status:update"):
            merged |= data["changes"]
        return merged


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def status(fake: Fake) -> PipelineStatus:
    return PipelineStatus(ledger=Ledger(Sink("p", "t", lambda *_: fake)))


def names(files: list[dict[str, Any]]) -> list[str]:
    return [file["name"] for file in files]


def on_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_the_dict_has_the_old_shape_and_its_limits(status: PipelineStatus) -> None:
    data = status.data
    assert set(data) == {
        *("status", "pipeline_type", "last_check_time", "next_check_time", "files_processing", "files_completed"),
        *("files_failed", "total_processed", "total_failed", "check_interval", "is_checking", "started_at"),
        "last_activity",
    }
    assert (data["status"], data["check_interval"], data["is_checking"]) == ("initializing", 60, False)
    for number in range(12):
        status.add_processing_file(f"{number}.txt", f"id-{number}")
        assert data["files_processing"][0].keys() == {"name", "id", "started_at"}
        status.complete_file(f"{number}.txt", number % 2 == 0)
    for number in range(12, 20):
        status.add_processing_file(f"{number}.txt", f"id-{number}")
        status.complete_file(f"{number}.txt")
    assert (len(data["files_completed"]), len(data["files_failed"]), data["files_processing"]) == (10, 5, [])
    assert names(data["files_completed"])[-1] == "19.txt"
    assert names(data["files_failed"]) == ["3.txt", "5.txt", "7.txt", "9.txt", "11.txt"]
    assert data["files_failed"][0].keys() == {"name", "id", "started_at", "completed_at"}
    assert (data.get("total_processed", 0), data.get("total_failed", 0)) == (14, 6)
    assert data is status.data
    got = status.get()
    assert got == data
    got["files_completed"].clear()
    assert len(data["files_completed"]) == 10
    with status.lock:
        status.update(status="running")


def test_update_merges_any_key_and_reports_what_a_hub_takes(status: PipelineStatus, fake: Fake) -> None:
    status.update(
        status="running",
        pipeline_type="google_drive",
        check_interval=30,
        folder_id="F",
        own={"a": 1},
        files_processing=[],
        last_activity="now",
        total_processed=7,
        big="x" * 5000,
        started_at="never",
        next_check_time=None,
    )
    assert status.data["own"] == {"a": 1}
    assert status.data["total_processed"] == 7
    assert fake.changes() == {
        "status": "running",
        "check_interval": 30,
        "folder_id": "F",
        "watch_location": "F",
        "own": {"a": 1},
        "next_check_time": None,
        "reported": {"total_processed": 7, "total_failed": 0},
    }


def test_many_keys_go_in_several_events() -> None:
    parts = _keys.changes({f"key{number}": "x" * 4000 for number in range(10)})
    assert sum(len(part) for part in parts) == 10
    assert all(len(json.dumps(part)) < 16_000 for part in parts)


# The defects of the old one.


def test_a_name_ends_the_oldest_file_of_this_thread(status: PipelineStatus, fake: Fake) -> None:
    on_thread(lambda: status.add_processing_file("a.pdf", "theirs"))
    status.add_processing_file("a.pdf", "mine-1")
    status.add_processing_file("a.pdf", "mine-2")
    for _ in range(3):
        status.complete_file("a.pdf")
    assert fake.ids("file:completed") == ["mine-1", "mine-2", "theirs"]
    assert status.data["files_processing"] == []


def test_a_name_that_this_thread_did_not_begin_ends_the_oldest_of_any(status: PipelineStatus, fake: Fake) -> None:
    on_thread(lambda: status.add_processing_file("a.pdf", "first"))
    on_thread(lambda: status.add_processing_file("a.pdf", "second"))
    status.complete_file("a.pdf", False)
    assert fake.ids("file:failed") == ["first"]
    assert [file["id"] for file in status.data["files_processing"]] == ["second"]


def test_the_end_of_a_check_ends_what_was_left_open(status: PipelineStatus, fake: Fake) -> None:
    status.update(is_checking=True)
    status.add_processing_file("thrown.pdf", "1")
    status.update(last_check_time="2026-01-01T00:00:00Z")
    assert not fake.of("file:failed")
    status.update(is_checking=False)
    (failed,) = fake.of("file:failed")
    assert failed["file"]["id"] == "1"
    assert failed["error"]["type"] == "Interrupted"
    assert failed["error"]["retryable"] is True
    assert failed["error"]["message"]
    assert (status.data["files_processing"], names(status.data["files_failed"])) == ([], ["thrown.pdf"])
    assert status.data["total_failed"] == 1


def test_another_file_never_ends_one(status: PipelineStatus, fake: Fake) -> None:
    for number in range(5):
        status.add_processing_file("a.pdf", str(number))
    assert not fake.of("file:failed", "file:completed")
    assert len(status.data["files_processing"]) == 5


def test_a_real_end_takes_the_place_of_an_interruption(status: PipelineStatus, fake: Fake) -> None:
    status.add_processing_file("slow.pdf", "1")
    status.update(is_checking=False)
    status.complete_file("slow.pdf", True, {"chunks": 3})
    assert fake.ids("file:completed") == ["1"]
    assert len(fake.of("file:processing")) == 1
    assert (status.data["files_failed"], names(status.data["files_completed"])) == ([], ["slow.pdf"])
    assert (status.data["total_processed"], status.data["total_failed"]) == (1, 0)


def test_files_of_another_process_are_not_interrupted(status: PipelineStatus, fake: Fake) -> None:
    status.add_processing_file("parents.pdf", "1")
    with warnings.catch_warnings():
        # Python 3.12 and later warn of a fork beside a thread.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status.update(is_checking=False)
        status.add_processing_file("own.pdf")
        own = fake.ids("file:processing")[-1]
        os._exit(0 if not fake.of("file:failed") and own.startswith("own.pdf#") else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_fork_leaves_no_lock_held(status: PipelineStatus, fake: Fake) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        ledger = status._ledger
        assert ledger is not None
        with status.lock, ledger.lock, ledger.hub._lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            signal.alarm(20)
            status.add_processing_file("a")
            status.complete_file("a")
            os._exit(0 if len(fake.of("file:completed")) == 1 else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join()


def test_what_was_open_for_too_long_is_forgotten(
    status: PipelineStatus, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ledger, "MOST", 3)
    for number in range(5):
        status.add_processing_file(f"{number}")
    status.complete_file("1")
    assert fake.ids("file:completed") == ["1"]
    status.update(is_checking=False)
    assert fake.ids("file:failed") == ["3", "4"]


def test_a_repeated_name_without_an_id_gets_a_unique_one(status: PipelineStatus, fake: Fake) -> None:
    for _ in range(2):
        status.add_processing_file("a.pdf")
    status.complete_file("a.pdf")
    status.complete_file("a.pdf")
    status.add_processing_file("a.pdf")
    begun = fake.ids("file:processing")
    assert begun[0] == "a.pdf"
    assert len(set(begun)) == 3
    assert fake.ids("file:completed") == begun[:2]
    assert status.data["files_processing"][0]["id"] == begun[2]


def test_the_same_id_begun_again_is_one_file(status: PipelineStatus, fake: Fake) -> None:
    status.add_processing_file("a.pdf", "1")
    status.add_processing_file("a.pdf", "1")
    assert len(status.data["files_processing"]) == 1
    status.complete_file("a.pdf")
    assert status.data["files_processing"] == []
    assert fake.ids("file:processing", "file:completed") == ["1", "1", "1"]


def test_totals_are_counted_once(status: PipelineStatus, fake: Fake) -> None:
    for name in ("a", "b", "c"):
        status.add_processing_file(name)
        status.complete_file(name, name != "c")
        status.complete_file(name, name != "c")
    assert len(fake.of("file:completed", "file:failed")) == 3
    # What a caller then adds by itself is in there already.
    status.update(total_processed=status.data["total_processed"] + 2, total_failed=status.data["total_failed"] + 1)
    assert (status.data["total_processed"], status.data["total_failed"]) == (2, 1)
    # What nobody has counted is not.
    status.update(total_processed=40, total_failed=status.data["total_failed"] + 1)
    assert (status.data["total_processed"], status.data["total_failed"]) == (40, 2)


def test_naive_times_are_local_and_become_utc(
    status: PipelineStatus, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "EST+5")
    time.tzset()
    try:
        naive = "2026-03-01T10:00:00.1234"
        assert utc(naive) == utc(datetime(2026, 3, 1, 10, 0, 0, 123_400)) == "2026-03-01T15:00:00.123+00:00"
        assert utc("2026-03-01T10:00:00Z") == utc(1_772_359_200) == "2026-03-01T10:00:00.000+00:00"
        status.update(last_check_time=naive, next_check_time=datetime(2026, 3, 1, 10, 1))
        assert fake.changes()["last_check_time"] == "2026-03-01T15:00:00.123+00:00"
        assert fake.changes()["next_check_time"] == "2026-03-01T15:01:00.000+00:00"
        served = status_server.as_served(status.get())
        assert served["last_check_time"] == "2026-03-01T15:00:00.123+00:00"
        # Who put it there finds it as it was put.
        assert status.data["last_check_time"] == naive
        status.add_processing_file("a")
        for text in (status.data["started_at"], status.data["files_processing"][0]["started_at"]):
            assert datetime.fromisoformat(text).utcoffset() == timedelta(0)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("value", [None, "", "soon", True, float("nan"), 1e300, [], "2026-13-01"])
def test_what_is_no_time_is_none(value: Any) -> None:
    assert utc(value) is None


def test_stats_become_results(status: PipelineStatus, fake: Fake) -> None:
    status.complete_file(
        "a",
        True,
        {"chunks": 3, "embeddings": [0, 1], "duration": 1.5, "content_length": "9", "model": "m", "x": object()},
    )
    assert fake.of("file:completed")[0]["results"] == {
        "chunks_created": 3,
        "embeddings_generated": 2,
        "processing_duration": 1.5,
        "content_length": 9,
        "model": "m",
    }
    status.complete_file("b", True, {"chunks": "many", "duration": float("nan"), "error": "one page was empty"})
    told = fake.of("file:completed")[1]
    assert told["results"].keys() == {"processing_duration"}
    assert told["warnings"] == ["one page was empty"]
    status.complete_file("c", stats=7)
    assert fake.of("file:completed")[2]["results"]["chunks_created"] == 7


def test_stats_become_an_error(status: PipelineStatus, fake: Fake) -> None:
    status.complete_file("a", False, {"error": "no text", "error_type": "TimeoutError", "stage": "extraction"})
    status.complete_file("b", success=False, stats={"error": ValueError("bad")})
    status.complete_file("c", False, {"error_type": "Broken"})
    status.complete_file("d", False, "just text")
    first, second, third, fourth = [data["error"] for data in fake.of("file:failed")]
    assert first == {"type": "TimeoutError", "message": "no text", "stage": "extraction", "retryable": True}
    assert second == {"type": "ValueError", "message": "bad", "retryable": False}
    assert (third["type"], third["message"]) == ("Broken", "Broken, and the pipeline gave no reason")
    assert (fourth["type"], fourth["message"]) == ("Error", "just text")


def test_a_failure_without_stats_has_a_reason(status: PipelineStatus, fake: Fake) -> None:
    status.complete_file("a", False)
    try:
        raise ConnectionResetError("the other side left")
    except ConnectionResetError:
        status.complete_file("b", False)
    first, second = [data["error"] for data in fake.of("file:failed")]
    assert first == {"type": "Error", "message": "the pipeline gave no reason", "retryable": False}
    assert second == {"type": "ConnectionResetError", "message": "the other side left", "retryable": True}


def test_an_unsupported_type_fails_unless_it_is_skipped(status: PipelineStatus, fake: Fake) -> None:
    status.add_processing_file("a.bin")
    status.complete_file("a.bin", False, {"error": "Unsupported file type", "error_type": "UnsupportedFileType"})
    assert fake.of("file:failed")[0]["error"]["type"] == "UnsupportedFileType"
    status.add_processing_file("b.bin")
    status.skip_file("b.bin")
    assert fake.of("file:skipped")[0]["reason"] == "unsupported"
    assert (status.data["total_processed"], status.data["total_failed"], status.data["files_processing"]) == (0, 1, [])


def test_a_file_that_was_never_begun_begins_first(status: PipelineStatus, fake: Fake) -> None:
    status.complete_file("a", True)
    assert [event for event, _ in fake.events] == ["file:processing", "file:completed"]
    assert fake.ids("file:processing") == fake.ids("file:completed")
    assert names(status.data["files_completed"]) == ["a"]


# Liberal, and never in the way.


def test_odd_names_and_a_dict_that_callers_bent(status: PipelineStatus, fake: Fake) -> None:
    status.add_processing_file(Path("x/y.pdf"), 17)
    status.complete_file("x/y.pdf")
    status.add_processing_file("", "")
    status.add_processing_file("ü" * 2000, "i" * 2000)
    status.update(files_processing=None, files_completed=None, total_processed="many")
    status.complete_file("ü" * 2000)
    assert status.data["total_processed"] == 1
    assert names(status.data["files_completed"]) == ["ü" * 2000]
    files = [data["file"] for data in fake.of("file:processing")]
    assert (files[0]["name"], files[0]["id"], files[1]["name"]) == ("x/y.pdf", "17", "unnamed")
    assert len(files[2]["name"].encode()) <= 1024
    assert len(files[2]["id"]) == 32


def test_a_reporter_that_fails_costs_the_pipeline_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Fake):
        def report(self, event: str, data: Mapping[str, Any] | None = None) -> None:
            raise RuntimeError("broken")

    status = PipelineStatus(ledger=Ledger(Sink("p", "t", lambda *_: Broken())))
    with caplog.at_level(logging.ERROR):
        status.update(status="running")
        status.add_processing_file("a")
        status.complete_file("a")
    assert "could not be reported" in caplog.text


def test_an_address_that_is_none_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RAGPULSE_URL", "nonsense")
    status = PipelineStatus()
    status.update(pipeline_type="local_files")
    status.add_processing_file("a")
    status.complete_file("a")
    assert status.data["total_processed"] == 1
    assert caplog.text.count("nothing of local-files-pipeline is reported") == 1


@pytest.mark.parametrize(
    ("environment", "told", "expected"),
    [
        ({}, "google_drive", ("google-drive-pipeline", "google_drive")),
        ({}, None, ("local-files-pipeline", "local_files")),
        ({"RAG_SERVICE": "rag-x"}, None, ("rag-x-pipeline", "rag-x")),
        ({"RAG_SERVICE": "rag-x"}, "local_files", ("local-files-pipeline", "local_files")),
        ({"RAG_PIPELINE_ID": "google-drive-pipeline"}, None, ("google-drive-pipeline", "google_drive")),
        ({"RAG_PIPELINE_ID": "mine", "RAG_SERVICE": "a b"}, None, ("mine", "a-b")),
    ],
)
def test_who_it_speaks_for(
    environment: dict[str, str], told: str | None, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    hub = _identity.own_ledger(told).hub
    assert (hub.pipeline_id, hub.pipeline_type) == expected


def test_first_words_wait_for_the_type(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes: dict[str, Fake] = {}
    monkeypatch.setattr(
        _identity, "Hub", lambda id, kind: Sink(id, kind, lambda *_: fakes.setdefault(f"{id}/{kind}", Fake()))
    )
    status = PipelineStatus()
    status.update(status="initializing", check_interval=5)
    assert not fakes
    status.update(pipeline_type="google_drive")
    assert fakes["google-drive-pipeline/google_drive"].changes() == {"status": "initializing", "check_interval": 5}


def test_importing_does_nothing(tmp_path: Path) -> None:
    script = """
import socket, sys, threading
def no(*a, **k): raise SystemExit("network")
socket.socket.connect = no
from ragpulse.compat.status_server import pipeline_status, start_status_server, PipelineStatus
from ragpulse.compat.supabase_status import init_status_tracker
tracker = init_status_tracker("a", "b")
assert threading.active_count() == 1
assert "ragpulse.models" not in sys.modules and "ragpulse.session" not in sys.modules
assert pipeline_status.get()["status"] == "initializing"
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "fine\n", done.stderr

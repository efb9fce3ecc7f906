"""The drop-in tracker: lists that are told again and again become events, each once."""

import os
import subprocess
import sys
from typing import Any

import pytest

from ragpulse.compat import _identity, supabase_status
from ragpulse.compat._hub import Hub as Sink
from ragpulse.compat._ledger import Ledger
from ragpulse.compat.status_server import PipelineStatus
from ragpulse.compat.supabase_status import StatusTracker, init_status_tracker
from support import Hub, Reported, fresh


class Fake(Reported):
    """Tells what was reported in short, each once."""

    def take(self) -> list[str]:
        """What came since the last time, in short."""
        told = [f"{event.removeprefix('file:')} {data['file']['id']}" for event, data in self.events if "file" in data]
        self.events.clear()
        return told

    def changes(self) -> list[dict[str, Any]]:
        told = [data["changes"] for event, data in self.events if event == "status:update"]
        self.events.clear()
        return told


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def ledger(fake: Fake) -> Ledger:
    return Ledger(Sink("p", "t", lambda *_: fake))


@pytest.fixture
def tracker(ledger: Ledger) -> StatusTracker:
    return StatusTracker(ledger)


A = {"name": "a", "id": "1", "started_at": "2026-01-01T00:00:00"}
B = {"name": "a", "id": "2", "started_at": "2026-01-01T00:00:01"}


def test_lists_of_dicts_become_events_once(tracker: StatusTracker, fake: Fake) -> None:
    tracker.update_processing_status(files_processing=[A])
    assert fake.take() == ["processing 1"]
    tracker.update_processing_status(files_processing=[A, B], files_completed=[])
    tracker.update_processing_status(files_processing=[A, B])
    assert fake.take() == ["processing 2"]
    done = {**B, "completed_at": "2026-01-01T00:00:02", "stats": {"chunks": 3}}
    tracker.update_processing_status(files_processing=[A], files_completed=[done])
    assert fake.events[0][1]["results"]["chunks_created"] == 3
    assert fake.take() == ["completed 2"]
    failed = {**A, "completed_at": "2026-01-01T00:00:03", "error": {"type": "E", "message": "m"}}
    for _ in range(2):
        tracker.update_processing_status([], [done], [failed])
    assert fake.events[0][1]["error"] == {"type": "E", "message": "m", "retryable": False}
    assert fake.take() == ["failed 1"]
    again = {**A, "started_at": "2026-01-01T01:00:00"}
    tracker.update_processing_status([again], [done], [failed])
    tracker.update_processing_status([], [done, {**again, "completed_at": "later"}], [failed])
    assert fake.take() == ["processing 1", "completed 1"]


def test_lists_of_names_become_events_once(tracker: StatusTracker, fake: Fake) -> None:
    tracker.update_processing_status(files_processing=["a", "b"])
    tracker.update_processing_status(files_processing=["b"], files_completed=["a"])
    tracker.update_processing_status(files_processing=[], files_completed=["a"], files_failed="b")
    assert fake.take() == ["processing a", "processing b", "completed a", "failed b"]
    tracker.update_processing_status(files_processing=["a"])
    tracker.update_processing_status(files_processing=[], files_completed=["a", "a"])
    begun, ended = fake.take()
    assert begun.startswith("processing a#")
    assert ended == begun.replace("processing", "completed")


def test_counts_are_figures_and_no_files(tracker: StatusTracker, fake: Fake) -> None:
    tracker.update_processing_status(files_processing=2, files_completed=5)
    tracker.update_processing_status(files_failed=1)
    assert fake.changes() == [
        {"reported": {"files_processing": 2, "files_completed": 5}},
        {"reported": {"files_processing": 2, "files_completed": 5, "files_failed": 1}},
    ]


def test_only_what_differs_is_told(tracker: StatusTracker, fake: Fake) -> None:
    tracker.update_status({"status": "running", "check_interval": 5})
    tracker.update_status({"status": "running", "check_interval": 6, "own": [1]})
    tracker.update_status({"status": "running"})
    tracker.update_status(None)
    assert fake.changes() == [{"status": "running", "check_interval": 5}, {"check_interval": 6, "own": [1]}]


def test_the_end_of_a_check_ends_what_is_no_longer_listed(tracker: StatusTracker, fake: Fake) -> None:
    tracker.update_processing_status(files_processing=[A, B], is_checking=True)
    fake.take()
    tracker.update_processing_status(files_processing=[B], is_checking=False)
    assert [data["error"]["type"] for event, data in fake.events if event == "file:failed"] == ["Interrupted"]
    assert fake.take() == ["failed 1"]
    # Its real end takes the place of that.
    tracker.update_processing_status(files_processing=[], files_completed=[A, B])
    assert fake.take() == ["completed 1", "completed 2"]


def test_start_and_stop(tracker: StatusTracker, fake: Fake) -> None:
    tracker.start({"check_interval": 60, "folder_id": "F", "status": "online"})
    assert fake.events[0] == ("pipeline:online", {"check_interval": 60, "watch_location": "F"})
    tracker.update_processing_status(files_processing=["a"])
    tracker.stop()
    assert fake.events[-1] == ("pipeline:offline", {"reason": "normal_shutdown"})
    assert fake.take() == ["processing a", "failed a"]
    tracker.start()
    assert fake.events == [("pipeline:online", {})]


@pytest.mark.parametrize("by_name", [False, True])
def test_both_twins_told_the_same_report_it_once(
    ledger: Ledger, tracker: StatusTracker, fake: Fake, by_name: bool
) -> None:
    status = PipelineStatus(ledger=ledger)

    def both() -> None:
        lists = {name: files for name, files in status.get().items() if name.startswith("files")}
        if by_name:
            named: dict[str, Any] = {key: [file["name"] for file in files] for key, files in lists.items()}
            tracker.update_processing_status(**named)
        else:
            tracker.update_status(status.data)
            tracker.update_processing_status(**lists)

    status.update(is_checking=True)
    for name, id in (("a", None), ("a", None), ("b", "7")):
        status.add_processing_file(name, id)
        both()
    status.complete_file("a")
    both()
    status.complete_file("b", False, {"error": "why"})
    both()
    status.update(is_checking=False)
    both()
    told = fake.take()
    own = told[1].split()[1]
    assert told == [
        "processing a",
        f"processing {own}",
        "processing 7",
        "completed a",
        "failed 7",
        f"failed {own}",
    ]


@pytest.mark.parametrize("odd", [object(), [None, {}, {"id": 3}, 4], {"name": "x"}, ("a",), b"b", True, "c"])
def test_odd_lists_raise_nothing(tracker: StatusTracker, odd: Any) -> None:
    tracker.start(odd)
    tracker.update_processing_status(odd, odd, odd, odd, odd)
    tracker.update_status(odd)
    tracker.stop()


def test_who_it_speaks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = init_status_tracker("my-drive", "google_drive")
    assert (tracker.pipeline_id, tracker.pipeline_type) == ("my-drive", "google_drive")
    # The status dict of the same process is of the same pipeline, when nobody says otherwise.
    assert _identity.own_ledger("google_drive") is tracker._ledger
    assert _identity.own_ledger("local_files").hub.pipeline_id == "local-files-pipeline"
    assert init_status_tracker("local-files-pipeline").pipeline_type == "local_files"
    monkeypatch.setenv("RAG_PIPELINE_ID", "named")
    assert init_status_tracker().pipeline_id == "named"
    assert supabase_status.init_status_tracker is init_status_tracker


SCRIPT = """
import sys
from ragpulse.compat.status_server import pipeline_status
from ragpulse.compat.supabase_status import init_status_tracker
tracker = init_status_tracker(sys.argv[1], "google_drive")
tracker.start({"check_interval": 30, "status": "running"})
pipeline_status.update(pipeline_type="google_drive", check_interval=30, is_checking=True)
for name, ok in [("a", True), ("b", False), ("c", None)]:
    pipeline_status.add_processing_file(name, name * 3)
    tracker.update_status(pipeline_status.data)
    if ok is not None:
        pipeline_status.complete_file(name, ok)
    tracker.update_processing_status(files_processing=pipeline_status.data["files_processing"],
        files_completed=pipeline_status.data["files_completed"], files_failed=pipeline_status.data["files_failed"])
tracker.stop()
"""


def test_both_twins_against_a_hub(live: Hub) -> None:
    pipeline = fresh("twins")
    environment = {**os.environ, "RAGPULSE_URL": live.url}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, pipeline], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = [name for name in live.names(pipeline) if name.startswith(("file:", "pipeline:"))]
    assert told == [
        "pipeline:online",
        *("file:processing", "file:completed"),
        *("file:processing", "file:failed"),
        *("file:processing", "file:failed"),
        "pipeline:offline",
    ]
    state = live.state(pipeline)
    assert (state["status"], state["check_interval"]) == ("offline", 30)
    assert (state["total_processed"], state["total_failed"]) == (1, 2)

"""A pipeline as people run it today, beside the same one with its imports changed: what both serve, what a hub has."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from legacy_support import LEGACY, Pipeline, fill, migrated, write_migrated
from ragpulse import file_id
from support import Hub, free_port, fresh, until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "documents")
    return tmp_path / "documents"


@pytest.fixture
def legacy(folder: Path, tmp_path: Path) -> Iterator[Pipeline]:
    (tmp_path / "legacy").mkdir()
    with Pipeline(LEGACY / "pipeline.py", folder, tmp_path / "legacy") as running:
        yield running


@pytest.fixture
def pipeline(live: Hub, folder: Path, tmp_path: Path) -> Iterator[tuple[Pipeline, str]]:
    script, name = write_migrated(tmp_path / "migrated"), fresh("reference")
    environment = {"RAGPULSE_URL": live.url, "RAG_PIPELINE_ID": name}
    with Pipeline(script, folder, script.parent, environment=environment) as running:
        yield running, name


def names(files: list[dict[str, Any]]) -> list[str]:
    return [file["name"] for file in files]


def test_only_the_imports_differ() -> None:
    before = (LEGACY / "pipeline.py").read_text(encoding="utf-8").splitlines()
    after = migrated("\n".join(before)).splitlines()
    assert [(old, new) for old, new in zip(before, after, strict=True) if old != new] == [
        (
            "from status_server import pipeline_status, start_status_server",
            "from ragpulse.compat.status_server import pipeline_status, start_status_server",
        ),
        (
            "from supabase_status import init_status_tracker",
            "from ragpulse.compat.supabase_status import init_status_tracker",
        ),
    ]


def test_it_serves_what_the_legacy_one_serves_without_its_defects(
    legacy: Pipeline, pipeline: tuple[Pipeline, str]
) -> None:
    old, new = legacy.checked(), pipeline[0].checked()
    assert list(new) == list(old)
    same = ("status", "pipeline_type", "check_interval", "is_checking", "watch_directory")
    assert {key: new[key] for key in same} == {key: old[key] for key in same}
    assert (new["status"], new["is_checking"], new["check_interval"]) == ("running", False, 60)
    for served in (old, new):
        assert 0 < served["seconds_until_next_check"] <= 60
        for kind in ("files_completed", "files_failed"):
            assert {frozenset(file) for file in served[kind]} == {
                frozenset({"name", "id", "started_at", "completed_at"})
            }
    # What throws is processing for ever, two of a name are one, and every end counts twice.
    assert names(old["files_processing"]) == ["empty.txt"]
    assert names(old["files_completed"]) == ["a.txt", "notes.md", "z.txt"]
    assert names(old["files_failed"]) == ["broken.txt", "photo.jpg"]
    assert (old["total_processed"], old["total_failed"]) == (8, 4)
    # And not so here.
    assert new["files_processing"] == []
    assert names(new["files_completed"]) == ["a.txt", "notes.md", "notes.md", "z.txt"]
    assert len({file["id"] for file in new["files_completed"]}) == 4
    assert names(new["files_failed"]) == ["broken.txt", "photo.jpg", "empty.txt"]
    assert (new["total_processed"], new["total_failed"]) == (4, 3)
    # What both list has the same id.
    for kind in ("files_completed", "files_failed"):
        assert {file["id"] for file in old[kind]} < {file["id"] for file in new[kind]}
    # Local times without an offset beside UTC; and UTC alone.
    times = ("started_at", "last_activity", "last_check_time", "next_check_time")
    assert [datetime.fromisoformat(old[key]).tzinfo is None for key in times] == [True, False, True, False]
    assert {datetime.fromisoformat(new[key]).utcoffset() for key in times} == {
        datetime.fromisoformat("2026-01-01T00:00:00+00:00").utcoffset()
    }
    for running in (legacy, pipeline[0]):
        health = running.get("/health")
        assert health is not None
        assert (health.status_code, health.text) == (200, "OK")


def short(event: dict[str, Any]) -> tuple[str, str]:
    """An event's name, and what it is about."""
    data = event["data"]
    return event["event"], data["file"]["name"] if "file" in data else ",".join(data.get("changes", {}))


def test_a_hub_has_all_of_it_event_by_event(live: Hub, folder: Path, pipeline: tuple[Pipeline, str]) -> None:
    running, name = pipeline
    until(lambda: len(live.names(name)) == 24, "what is told last in a check")
    assert "ValueError" in running.stop(), "the pipeline logs what throws, as before"
    events = live.history(name)
    assert [short(event) for event in events] == [
        # The status server, then its twin, which tells what it is told too.
        ("pipeline:online", ""),
        ("status:update", "check_interval,status,watch_directory,watch_location"),
        ("pipeline:online", ""),
        ("status:update", "check_interval"),
        ("status:update", "status"),
        ("status:update", "status"),
        ("status:update", "is_checking,last_check_time"),
        ("file:processing", "a.txt"),
        ("file:processing", "broken.txt"),
        ("file:processing", "empty.txt"),
        ("file:processing", "notes.md"),
        ("file:processing", "notes.md"),
        ("file:processing", "photo.jpg"),
        ("file:processing", "z.txt"),
        ("status:update", "is_checking"),
        ("file:completed", "a.txt"),
        ("file:failed", "broken.txt"),
        ("file:completed", "notes.md"),
        ("file:completed", "notes.md"),
        ("file:failed", "photo.jpg"),
        ("file:completed", "z.txt"),
        ("status:update", "is_checking,next_check_time,reported"),
        ("file:failed", "empty.txt"),
        ("status:update", "is_checking,next_check_time"),
        ("pipeline:offline", ""),
    ]
    assert [event["data"]["seq"] for event in events] == list(range(1, 26))
    assert {event["data"]["pipeline_type"] for event in events} == {"local_files"}
    ids = {str(path.relative_to(folder)): file_id(path) for path in folder.rglob("*") if path.is_file()}
    ended = [event["data"] for event in events if event["event"] in ("file:completed", "file:failed")]
    order = ["a.txt", "broken.txt", "new/notes.md", "old/notes.md", "photo.jpg", "z.txt", "empty.txt"]
    assert [data["file"]["id"] for data in ended] == [ids[one] for one in order]
    assert {data["file"]["id"] for data in ended} == set(ids.values())
    results = [data["results"] for data in ended if data["success"]]
    assert [(one["chunks_created"], one["embeddings_generated"], one["content_length"]) for one in results] == [
        (3, 3, 250),
        (1, 1, 22),
        (2, 2, 150),
        (1, 1, 12),
    ]
    assert all(one["processing_duration"] >= 0 for one in results)
    broken, photo, empty = (data["error"] for data in ended if not data["success"])
    assert (broken["type"], broken["message"]) == ("ExtractionError", "not a text in UTF-8")
    assert (broken["stage"], broken["retryable"]) == ("extraction", False)
    assert photo == {"type": "Error", "message": "the pipeline gave no reason", "retryable": False}
    assert (empty["type"], empty["retryable"]) == ("Interrupted", True)
    assert events[-1]["data"]["reason"] == "normal_shutdown"
    # What the hub counts is what there is; what the program added up by itself stands beside it.
    state = live.state(name)
    assert (state["total_processed"], state["total_failed"]) == (4, 3)
    assert (state["counts"]["processing"], state["liveness"]) == (0, "offline")


def row(database: Path) -> tuple[str, str, dict[str, Any]]:
    """What the twin has written: type, `server_status` and `status_details` of the one pipeline there is."""
    with closing(sqlite3.connect(database)) as table:
        ((kind, status, details),) = table.execute(
            "SELECT pipeline_type, server_status, status_details FROM rag_pipeline_status"
        ).fetchall()
    return kind, status, json.loads(details)


def test_a_page_finds_at_the_hub_what_the_table_had(
    live: Hub, legacy: Pipeline, pipeline: tuple[Pipeline, str]
) -> None:
    running, name = pipeline
    legacy.checked()
    until(lambda: not row(legacy.database)[2].get("is_checking", True), "the table after the check")
    kind, status, details = row(legacy.database)

    def answer() -> dict[str, Any] | None:
        pipelines = live.get("/api/rag-status", pipeline_id=name)["pipelines"]
        return pipelines[0] if pipelines and pipelines[0]["status_details"].get("next_check_time") else None

    running.checked()
    new = until(answer, "the hub's answer after the check") or {}
    assert (new["pipeline_type"], new["server_status"], new["is_active"]) == (kind, status, True)
    assert new["status_details"].keys() > details.keys()
    for key in ("status", "check_interval", "is_checking"):
        assert new["status_details"][key] == details[key]
    listed = [*details["files_completed"], *details["files_failed"]]
    found = [*new["status_details"]["files_completed"], *new["status_details"]["files_failed"]]
    assert {(file["name"], file["id"]) for file in listed} < {(file["name"], file["id"]) for file in found}
    assert not running.database.exists()


def test_one_that_is_killed_by_sigterm_is_offline_at_the_hub_and_online_in_the_table_for_ever(
    live: Hub, legacy: Pipeline, pipeline: tuple[Pipeline, str]
) -> None:
    running, name = pipeline
    for one in (legacy, running):
        one.checked()
        one.stop(signal.SIGTERM)
        assert one.process.returncode == -signal.SIGTERM
    assert row(legacy.database)[1] == "online"
    state = live.state(name)
    assert (state["status"], state["offline_reason"]) == ("offline", "normal_shutdown")


def test_a_hub_that_is_down_changes_nothing_that_the_pipeline_does(folder: Path, tmp_path: Path) -> None:
    script = write_migrated(tmp_path / "migrated")
    environment = {"RAGPULSE_URL": f"http://127.0.0.1:{free_port()}"}
    with Pipeline(script, folder, script.parent, environment=environment) as running:
        served = running.checked()
        assert (served["total_processed"], served["total_failed"], served["files_processing"]) == (4, 3, [])
        running.stop()
        assert running.process.returncode == 0

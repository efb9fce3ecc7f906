"""Invariant 7: every language's reducer gives the same state for every fixture. Here: this package's."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragpulse.session import Bad, Cursor, Message, Session, decode, utc

FOLDER = Path(__file__).resolve().parents[3] / "tests" / "fixtures"
FIXTURES: list[dict[str, Any]] = [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))]


def begun(initial: dict[str, Any] | None) -> Session:
    session = Session()
    if initial:
        session.handle(message({"event": "pipeline:status", "data": copy.deepcopy(initial)}))
    return session


def message(step: dict[str, Any]) -> Message:
    decoded = decode(step["event"], step["data"])
    assert isinstance(decoded, Message), step
    return decoded


def test_there_are_fixtures() -> None:
    assert len(FIXTURES) >= 40


@pytest.mark.parametrize("fixture", FIXTURES, ids=[fixture["name"] for fixture in FIXTURES])
def test_invariant_07(fixture: dict[str, Any]) -> None:
    session = begun(fixture["initial"])
    expected = fixture["initial"]
    assert session.status == expected
    for index, step in enumerate(fixture["steps"]):
        expected = step.get("state", expected)
        if "op" in step:
            getattr(session, step["op"])()
        else:
            before = copy.deepcopy(step["message"])
            verdict, anomalies = session.handle(message(step["message"]))
            assert verdict == step["verdict"], index
            assert [anomaly._asdict() for anomaly in anomalies] == step.get("anomalies", []), index
            assert step["message"] == before, f"step {index}: a message is not changed"
        assert session.status == expected, index


def test_a_snapshot_at_any_point_and_the_rest_give_the_state_of_the_whole_sequence() -> None:
    for fixture in FIXTURES:
        steps = fixture["steps"]
        if any("op" in step or step["verdict"] != "apply" for step in steps):
            continue
        messages = [message(step["message"]) for step in steps]
        for cut in range(1, len(messages)):
            whole = begun(fixture["initial"])
            for one in messages[:cut]:
                whole.handle(one)
            resumed = begun(whole.status)
            if whole.state is None:
                continue
            for one in messages[cut:]:
                whole.handle(one)
                resumed.handle(one)
            assert resumed.status == whole.status, f"{fixture['name']}, cut at {cut}"


def test_a_file_that_has_not_changed_is_the_same_object_in_the_next_status() -> None:
    session = Session()
    session.handle(Message("file:queued", event(1, file={"id": "a", "name": "a"})))
    before = session.status
    session.handle(Message("file:queued", event(2, file={"id": "b", "name": "b"})))
    after = session.status
    assert before
    assert after
    assert [file["id"] for file in after["files"]] == ["a", "b"]
    assert after["files"][0] is before["files"][0]
    assert len(before["files"]) == 1


@pytest.mark.parametrize(
    ("given_time", "written"),
    [
        ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000Z"),
        ("2026-01-31t09:30:00.123456789+02:00", "2026-01-31T07:30:00.123Z"),
        ("2026-01-01 00:00:00.9-00:30", "2026-01-01T00:30:00.900Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
        ("0000-02-29T12:00:00Z", "0000-02-29T12:00:00.000Z"),
        ("0001-01-01T00:00:00+01:00", "0000-12-31T23:00:00.000Z"),
        ("0000-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59Z", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-01-31T24:00:00Z", None),
        ("2026-01-31T09:30:00", None),
        ("2026-01-31T09:30:00Z\n", None),
        ("\u0662026-01-31T09:30:00Z", None),
        (12, None),
        (None, None),
    ],
)
def test_times(given_time: object, written: str | None) -> None:
    assert utc(given_time) == written


# What follows: whatever comes, nothing is raised, no count is negative, and the position is that of the last event.

EVENTS = [
    *("pipeline:online", "pipeline:offline", "pipeline:removed", "status:update", "file:queued", "file:processing"),
    *("file:progress", "file:completed", "file:failed", "file:skipped", "file:retrying", "file:cancelled"),
    *("file:deleted", "x:own", "later:event"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
words = st.sampled_from(["a", "b", "c", "d"])
files = st.fixed_dictionaries({"id": words, "name": words}, optional={"size": json_values, "started_at": json_values})
fields = st.fixed_dictionaries(
    {
        "file": files,
        "progress": st.floats(0, 1),
        "results": st.dictionaries(words, json_values, max_size=2),
        "error": st.fixed_dictionaries({"type": st.sampled_from(["Interrupted", "Error"]), "message": words}),
        "reason": st.sampled_from(["timeout", "normal_shutdown", "odd"]),
        "changes": st.dictionaries(
            st.sampled_from(["status", "is_checking", "started_at", "counts", "own", "files_x", "check_interval"]),
            json_values,
        ),
    },
    optional={
        "attempt": st.integers(-5, 5) | st.none(),
        "previous_state": st.sampled_from(["queued", "interrupted", "completed", "failed"]),
        "processing_stage": json_values,
        "current": json_values,
    },
)


def event(seq: int, **more: Any) -> dict[str, Any]:
    shared = {"pipeline_id": "p", "pipeline_type": "t", "epoch": "e", "seq": seq}
    return {**shared, "timestamp": "2026-01-01T00:00:00.000Z", "received_at": "2026-01-01T00:00:00.000Z", **more}


@settings(max_examples=80)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), fields), min_size=1, max_size=20))
def test_any_sequence_is_folded(sequence: list[tuple[str, dict[str, Any]]]) -> None:
    session = Session()
    seq = 0
    for name, data in sequence:
        seq = seq + 1 if session.state else 1
        decoded = decode(name, event(seq, **data))
        assert isinstance(decoded, Message)
        assert session.handle(decoded).verdict == "apply"
        if session.state is None:
            continue
        assert session.handle(decoded).verdict == "ignore"
        status = session.status
        assert status
        assert session.cursor == Cursor("e", seq)
        assert (status["epoch"], status["seq"]) == ("e", seq)
        assert all(count >= 0 for count in status["counts"].values())
        assert status["total_failed"] >= 0
        assert [file["seq"] for file in status["files"]] == sorted(file["seq"] for file in status["files"])
        # A snapshot of it is the same state.
        assert begun(status).status == status


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from([*EVENTS, "pipeline:status", "heartbeat", "hub:closing"]), json_values)))
def test_anything_at_all_is_decoded_and_handled(inputs: list[tuple[str, Any]]) -> None:
    session = Session()
    for name, data in inputs:
        decoded = decode(name, data)
        if isinstance(decoded, Message):
            session.handle(decoded)


@settings(max_examples=200)
@given(
    st.sampled_from([step["message"] for fixture in FIXTURES for step in fixture["steps"] if "message" in step]),
    st.data(),
)
def test_messages_with_any_field_spoilt_are_decoded_and_handled(original: dict[str, Any], data: st.DataObject) -> None:
    spoilt = copy.deepcopy(original)
    target = spoilt["data"]
    while True:
        key = data.draw(st.sampled_from(sorted(target)))
        if isinstance(target[key], dict) and target[key] and data.draw(st.booleans()):
            target = target[key]
            continue
        target[key] = data.draw(json_values)
        break
    session = begun(None)
    decoded = decode(spoilt["event"], spoilt["data"])
    if isinstance(decoded, Message):
        if decoded.is_of_sequence:
            opened = event(1, file={"id": "a", "name": "a"})
            opened["epoch"] = decoded.data["epoch"]
            session.handle(Message("file:processing", opened))
            seq = decoded.data["seq"]
            opened = {**decoded.data, "seq": 2 if seq != 1 else 1}
            decoded = Message(decoded.event, opened)
        session.handle(decoded)
        if session.status:
            assert all(count >= 0 for count in session.status["counts"].values())


def test_what_is_no_message_is_told_apart() -> None:
    assert decode("file:queued", {"pipeline_id": "p"}) == Bad("p")
    assert decode("file:queued", None) == Bad(None)
    assert decode("later:thing", {"pipeline_id": "p"}) is None
    assert decode("later:thing", {"pipeline_id": "p", "seq": "x"}) == Bad("p")
    assert decode("hub:closing", {"retry_after_ms": -1}) == Bad(None)

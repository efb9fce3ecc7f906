"""Encoding: whatever comes is JSON that a hub reads, and ids are stable."""

import json
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ragpulse import models
from ragpulse._reporter.encode import Encoder, to_json
from ragpulse._reporter.files import MAX_OPEN, OpenFiles


class Scalar:
    def item(self) -> float:
        return 0.5


class Odd:
    def __str__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": Path("x") / "y"}, {"a": "x/y"}),
        ({"a": datetime(2026, 1, 2, tzinfo=timezone.utc)}, {"a": "2026-01-02T00:00:00+00:00"}),
        ({"a": date(2026, 1, 2)}, {"a": "2026-01-02"}),
        ({"a": {1}, "b": (1, 2)}, {"a": [1], "b": [1, 2]}),
        ({"a": Scalar(), "b": Odd()}, {"a": 0.5, "b": "odd"}),
        ({"a": float("nan"), "b": [float("inf"), 1]}, {"a": None, "b": [None, 1]}),
        ({("a", 1): 1, 2: {3: float("nan")}}, {"('a', 1)": 1, "2": {"3": None}}),
        ({"a": models.FileReport(name="x")}, {"a": {"name": "x"}}),
        ({"a": "half \udcff of a character"}, {"a": "half ? of a character"}),
        ({"a": "\N{SNOWMAN}"}, {"a": "\N{SNOWMAN}"}),
    ],
)
def test_what_json_cannot_carry_is_written_as_text(value: Any, written: Any) -> None:
    assert json.loads(to_json(value)) == written


def test_a_naive_time_gets_the_offset_of_this_machine() -> None:
    text = json.loads(to_json(datetime(2026, 1, 2, 3)))
    assert datetime.fromisoformat(text).tzinfo is not None


def test_ids_are_given_once_and_a_callers_own_is_kept() -> None:
    encoder = Encoder("abc")
    first, own, second = (
        json.loads(encoder.encode("x:a", {}, event_id=event_id).json) for event_id in (None, "mine", None)
    )
    assert [first["event_id"], own["event_id"], second["event_id"]] == ["abc-1", "mine", "abc-2"]
    assert first["timestamp"].endswith("Z")
    assert models.ReportedEvent.model_validate(first).event == "x:a"


def test_files_are_known_by_their_id_or_name() -> None:
    encoder = Encoder("abc")
    assert encoder.encode("file:completed", {"file": {"name": "n", "id": "i"}}).file == "i"
    assert encoder.encode("file:failed", {"file": {"name": "n"}}).file == "n"
    assert encoder.encode("file:failed", {}).file == ""


def test_open_files_are_remembered_in_order_and_within_bounds() -> None:
    files, encoder = OpenFiles(), Encoder("e")
    for number in range(MAX_OPEN + 5):
        files.begin(encoder.encode("file:processing", {"file": {"name": str(number)}}))
    assert len(files) == MAX_OPEN
    mark = files.mark()
    files.begin(encoder.encode("file:processing", {"file": {"name": "7"}}))
    assert len(files.begun_before(mark)) == MAX_OPEN - 1
    assert files.begun_before()[-1].file == "7"
    files.end("7")
    files.end("unknown")
    assert len(files) == MAX_OPEN - 1
    files.clear()
    assert len(files) == 0

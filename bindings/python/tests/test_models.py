"""The models: open where the contract is open, and nothing lost on the way."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from ragpulse import models

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = sorted((ROOT / "tests" / "fixtures").glob("*.json"))
SHARED = {
    "pipeline_id": "p",
    "pipeline_type": "t",
    "epoch": "e",
    "seq": 1,
    "timestamp": "2026-01-31T09:30:00.000Z",
    "received_at": "2026-01-31T09:30:00.000Z",
}


def messages() -> list[tuple[str, dict[str, Any]]]:
    return [
        (step["message"]["event"], step["message"]["data"])
        for path in FIXTURES
        for step in json.loads(path.read_text(encoding="utf-8"))["steps"]
        if "message" in step
    ]


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_null(one) for key, one in value.items() if one is not None}
    return value


def test_every_message_of_the_fixtures_survives_the_round_trip() -> None:
    assert len(messages()) > 200
    for event, data in messages():
        model = models.decode(event, data)
        written = model.model_dump()
        assert without_null(written) == without_null(data), event
        assert json.loads(model.model_dump_json()) == written


def test_each_name_of_the_contract_has_its_model() -> None:
    contract = json.loads((ROOT / "bindings" / "contract.json").read_text(encoding="utf-8"))
    assert list(models.EVENTS) == [event["name"] for event in contract["events"]]
    assert list(models.MESSAGES) == [message["name"] for message in contract["messages"]]
    for event in contract["events"]:
        model = models.EVENTS[event["name"]]
        fields = [*contract["shared_fields"], *event["fields"]]
        assert set(model.model_fields) == {field["name"] for field in fields}, event["name"]
    assert contract["protocol"] == models.PROTOCOL
    shapes = {path.stem for path in (ROOT / "bindings" / "json-schema").glob("*.json")}
    assert shapes <= set(models.__all__)


def test_words_and_fields_of_later_versions_are_kept() -> None:
    data = {**SHARED, "file": {"id": "a", "name": "a", "colour": "red"}, "processing_stage": "dreaming", "mood": [1]}
    event = models.decode("file:processing", data)
    assert isinstance(event, models.FileProcessing)
    assert event.processing_stage == "dreaming"
    assert event.model_dump() == data
    assert models.decode("x:anything", {**SHARED, "any": None}).model_dump()["any"] is None


def test_what_has_no_value_is_left_out_but_a_null_that_says_something_stays() -> None:
    report = models.FileCompletedReport(file=models.FileReport(name="a"))
    assert report.model_dump() == {"file": {"name": "a"}}
    update = models.StatusUpdateReport(changes={"folder_id": None})
    assert json.loads(update.model_dump_json()) == {"changes": {"folder_id": None}}


def test_what_the_contract_does_not_allow_is_refused() -> None:
    with pytest.raises(ValidationError):
        models.decode("file:queued", SHARED)
    with pytest.raises(ValidationError):
        TypeAdapter(models.PipelineId).validate_python("with space")
    with pytest.raises(ValidationError):
        models.decode("file:completed", {**SHARED, "file": {"id": "a", "name": "a"}, "success": False, "results": {}})


def test_models_say_what_their_fields_mean() -> None:
    assert models.FileFailed.__doc__ == "A file could not be ingested."
    source = Path(models._generated.__file__).read_text(encoding="utf-8")
    assert re.search(r'progress: float\n    """The part of the stage that is done, 0 to 1."""', source)


def test_the_committed_models_are_those_of_the_contract() -> None:
    script = ROOT / "bindings" / "python" / "scripts" / "generate.py"
    checked = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr

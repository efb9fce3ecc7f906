"""What the Haystack adapter does to others: nothing. And where the framework tells less."""

from adapters.haystack_support import (
    RecordingSpan,
    RecordingTracer,
    documents,
    indexing,
    reporting,
    stories,
)

# isort: split
import contextlib
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.core.errors import PipelineRuntimeError
from haystack.tracing.tracer import NullTracer, Tracer, disable_tracing, enable_tracing, tracer

from ragpulse import Reporter
from ragpulse.adapters.haystack import RagPulseTracer, observe
from ragpulse.adapters.haystack import _visit as visit
from support import Hub, free_port, fresh


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    disable_tracing()


def run(pipeline: Pipeline, sources: list[Path]) -> dict[str, Any]:
    return pipeline.run({"router": {"sources": sources}}, include_outputs_from={"splitter", "embedder"})


def quiet(told: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Without addresses in memory, which differ from run to run."""
    return [
        tuple(re.sub(r"0x[0-9a-f]+", "0x", part) if isinstance(part, str) else part for part in one) for one in told
    ]


def traced(pipeline: Pipeline, sources: list[Path], reporter: Reporter | None) -> tuple[list[Any], Any]:
    """What a tracer of the user's gets, and what comes out."""
    own = RecordingTracer()
    enable_tracing(own)
    done: Any
    with observe(reporter) if reporter else contextlib.nullcontext():
        try:
            done = run(pipeline, sources)
        except PipelineRuntimeError as error:
            done = repr(error)
    assert tracer.actual_tracer is own
    return quiet(own.told), done


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("chokes_on", ["", "hubs."])
def test_another_tracer_gets_what_it_gets_without_us(
    live: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bool, chokes_on: str
) -> None:
    monkeypatch.setattr(tracer, "is_content_tracing_enabled", content)
    name, paths = fresh("haystack"), documents(tmp_path)
    alone = traced(indexing(chokes_on=chokes_on), paths, None)
    with reporting(live, name) as reporter:
        watched = traced(indexing(chokes_on=chokes_on), paths, reporter)
    assert watched == alone
    keys = {one[2] for one in alone[0] if one[0] == "tag"}
    assert ("haystack.component.input" in keys) is content
    assert tracer.is_content_tracing_enabled is content
    expected = "file:failed" if chokes_on else "file:completed"
    assert {story.outcome for story in stories(live, name).values()} == {expected}


def test_spans_are_those_of_the_other_tracer(live: Hub, tmp_path: Path) -> None:
    own = RecordingTracer()
    with reporting(live, fresh("haystack")) as reporter:
        watching = RagPulseTracer(reporter, own)
        with watching.trace("haystack.pipeline.run", tags={}) as span:
            assert isinstance(watching.current_span(), RecordingSpan)
            assert span.raw_span() == "raw-1"
            assert span.get_correlation_data_for_logs() == {"span": 1}
            assert span.number == 1  # type: ignore[attr-defined]
            span.set_tags({"a": 1})
            with pytest.raises(AttributeError):
                span.nothing  # type: ignore[attr-defined]  # noqa: B018
            with watching.trace("haystack.agent.step", parent_span=span) as other:
                assert isinstance(other, RecordingSpan)
    assert ("tag", 1, "a", "1") in own.told
    assert own.told[2] == ("begin", 2, "haystack.agent.step", "None", 1)


def test_a_tracer_that_is_enabled_reports_every_run(live: Hub, tmp_path: Path) -> None:
    name, paths, own = fresh("haystack"), documents(tmp_path), RecordingTracer()
    enable_tracing(own)
    with reporting(live, name) as reporter:
        enable_tracing(RagPulseTracer(reporter))
        run(indexing(), paths[:1])
        thread = threading.Thread(target=run, args=(indexing(), paths[1:]))
        thread.start()
        thread.join(30)
    assert {story.outcome for story in stories(live, name).values()} == {"file:completed"}
    assert len(stories(live, name)) == 3
    assert len([one for one in own.told if one[0] == "begin" and one[2] == "haystack.pipeline.run"]) == 2


def test_both_report_the_same_run_each_to_its_own(live: Hub, tmp_path: Path) -> None:
    names, paths = [fresh("haystack"), fresh("haystack")], documents(tmp_path)
    with reporting(live, names[0]) as one, reporting(live, names[1]) as other:
        enable_tracing(RagPulseTracer(one))
        with observe(other):
            run(indexing(), paths)
    for name in names:
        assert [story.outcome for story in stories(live, name).values()] == ["file:completed"] * 3


def test_a_hub_that_is_down_changes_nothing(tmp_path: Path) -> None:
    paths = documents(tmp_path)
    alone = run(indexing(), paths)
    reporter = Reporter("nobody", "local_files", url=f"http://127.0.0.1:{free_port()}", exit_timeout=0)
    with observe(reporter):
        assert run(indexing(), paths) == alone
    assert reporter.status.accepted == 0
    assert reporter.status.queued > 0
    reporter.close(0)


@pytest.mark.parametrize("method", ["begin", "_input", "_output", "_files", "_keep"])
def test_a_fault_of_the_adapter_is_logged_once_and_harms_nobody(
    live: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfa is no UTF-8")
    alone = run(indexing(), [*paths, tmp_path / "latin.txt"])

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of the adapter")

    monkeypatch.setattr(visit.Visit, method, broken)
    with reporting(live, name) as reporter, observe(reporter):
        assert run(indexing(), [*paths, tmp_path / "latin.txt"]) == alone
    logged = [record for record in caplog.records if record.name == "ragpulse" and record.levelno >= logging.ERROR]
    assert len(logged) == 1
    assert "the pipeline goes on" in logged[0].getMessage()
    assert live.state(name).get("counts", {}).get("processing", 0) == 0


def test_blocks_end_in_any_order_and_leave_nothing(live: Hub, tmp_path: Path) -> None:
    names, paths = [fresh("haystack"), fresh("haystack")], documents(tmp_path)
    with reporting(live, names[0]) as one, reporting(live, names[1]) as other:
        first, second = observe(one), observe(other)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        run(indexing(), paths[:1])
        second.__exit__(None, None, None)
        assert isinstance(tracer.actual_tracer, NullTracer)
        run(indexing(), paths[1:])
        assert one.status.accepted <= 1
        assert other.flush()
    assert list(stories(live, names[1])) == ["long.txt"]
    assert not stories(live, names[0])


def test_a_thread_of_no_block_is_reported_to_none_of_several(
    live: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names, paths = [fresh("haystack"), fresh("haystack")], documents(tmp_path)
    with reporting(live, names[0]) as one, reporting(live, names[1]) as other, observe(one), observe(other):
        for _ in range(2):
            thread = threading.Thread(target=run, args=(indexing(), paths))
            thread.start()
            thread.join(30)
    assert [name for name in names if stories(live, name)] == []
    warned = [record.getMessage() for record in caplog.records if record.name == "ragpulse"]
    assert len([message for message in warned if "belongs to no observe() block" in message]) == 1


def test_a_tracer_that_is_enabled_within_a_block_stays(live: Hub, tmp_path: Path) -> None:
    with reporting(live, fresh("haystack")) as reporter:
        with observe(reporter):
            within: Tracer = RecordingTracer()
            installed = tracer.actual_tracer
            enable_tracing(within)
        assert tracer.actual_tracer is within
        # One that was kept by somebody only passes on from now on.
        enable_tracing(installed)
        run(indexing(), documents(tmp_path))
        assert reporter.status.accepted <= 1


def test_the_log_is_as_it_was(live: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfa is no UTF-8")
    logger = logging.getLogger("haystack.components.converters.txt")
    assert logger.filters == []
    with reporting(live, fresh("haystack")) as reporter, observe(reporter):
        run(indexing(), [tmp_path / "latin.txt"])
    assert logger.filters == []
    assert len([record for record in caplog.records if "Could not convert file" in record.getMessage()]) == 1


def test_with_its_log_turned_off_a_converter_does_not_tell_why(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfa is no UTF-8")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "short.txt").write_bytes(b"\xff\xfe\xfa is no UTF-8")
    logger = logging.getLogger("haystack.components.converters.txt")
    level, logger.level = logger.level, logging.CRITICAL
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    try:
        with reporting(live, name) as reporter, observe(reporter):
            run(indexing(), [*paths, tmp_path / "latin.txt", tmp_path / "b" / "short.txt"])
    finally:
        logger.setLevel(level)
    told = stories(live, name)
    error = told["latin.txt"].last["error"]
    assert (error["type"], error["stage"]) == ("NotConverted", "extraction")
    assert error["message"] == "component 'text' (TextFileToDocument) made no document of it, and logged no reason"
    # Of two of one name one was left out, and nothing tells which: neither is called completed.
    for file in [file for file in told if file.startswith("short.txt")]:
        assert told[file].outcome == "file:failed"
        assert "go by the same name" in told[file].last["error"]["message"]
    assert told["long.txt"].outcome == "file:completed"

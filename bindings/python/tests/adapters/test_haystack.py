"""The Haystack adapter beside the real library: what the hub has of each file, event by event."""

from adapters.haystack_support import (
    BrokenModelError,
    StrictConverter,
    documents,
    indexing,
    is_settled,
    pdf,
    reporting,
    stories,
)

# isort: split
import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.components.converters import TextFileToDocument
from haystack.components.routers import FileTypeRouter
from haystack.core.errors import PipelineRuntimeError
from haystack.dataclasses import ByteStream
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tracing.tracer import NullTracer, tracer

from ragpulse import file_id
from ragpulse.adapters.haystack import observe
from support import Hub, fresh

STAGES = ["extraction", "chunking", "embedding", "storing"]


def run(pipeline: Pipeline, sources: list[Path]) -> dict[str, object]:
    found: dict[str, object] = pipeline.run({"router": {"sources": sources}})
    return found


def test_a_first_run_reports_each_file_through_its_stages(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    with reporting(live, name) as reporter:
        pipeline = indexing(wait=reporter.flush)
        with observe(reporter) as observed:
            assert observed is reporter
            assert run(pipeline, paths) == {"writer": {"documents_written": 6}}
        assert isinstance(tracer.actual_tracer, NullTracer)
        assert reporter.flush()
        assert is_settled(live, name)
    told = stories(live, name)
    assert set(told) == {"long.txt", "short.txt", "page.pdf"}
    for file, chunks in {"long.txt": 3, "short.txt": 1, "page.pdf": 2}.items():
        assert told[file].names == ["file:processing", "file:completed"]
        assert told[file].stages == STAGES
        begun = told[file].events[0][1]
        assert begun["processing_stage"] == "extraction"
        assert begun["file"]["id"] == file_id(tmp_path / file)
        assert begun["file"]["path"] == str(tmp_path / file)
        results = told[file].results
        assert (results["chunks_created"], results["embeddings_generated"]) == (chunks, chunks)
    assert told["short.txt"].results["content_length"] == len("A short text about hubs.")
    assert told["long.txt"].results["content_length"] == len((tmp_path / "long.txt").read_text())


def test_it_reports_these_events_in_this_order(live: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = documents(tmp_path)[0]
    said: list[tuple[object, ...]] = []
    with reporting(live, fresh("haystack")) as reporter:
        take = reporter._engine.report

        def keep(event: str, data: Mapping[str, Any], *more: Any) -> None:
            said.append((event, *(data.get(key) for key in ("processing_stage", "progress", "total", "unit"))))
            take(event, data, *more)

        monkeypatch.setattr(reporter._engine, "report", keep)
        with observe(reporter):
            run(indexing(), [path])
        monkeypatch.undo()
    assert said == [
        ("file:processing", "extraction", None, None, None),
        ("file:progress", "extraction", 1.0, None, None),
        ("file:progress", "chunking", 0.0, None, None),
        ("file:progress", "chunking", 1.0, 3, "chunks"),
        ("file:progress", "embedding", 0.0, None, None),
        ("file:progress", "embedding", 1.0, 3, "chunks"),
        ("file:progress", "storing", 0.0, None, None),
        ("file:progress", "storing", 1.0, 3, "chunks"),
        ("file:completed", None, None, None, None),
    ]


def test_a_second_run_skips_what_the_writer_has(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    pipeline = indexing()
    with reporting(live, name) as reporter, observe(reporter):
        run(pipeline, paths)
        assert run(pipeline, paths) == {"writer": {"documents_written": 0}}
    for story in stories(live, name).values():
        assert story.names == ["file:processing", "file:completed", "file:processing", "file:skipped"]
        assert story.last["reason"] == "duplicate"


def test_where_the_writer_takes_a_part_the_store_tells_of_which_files(live: Hub, tmp_path: Path) -> None:
    name, paths, store = fresh("haystack"), documents(tmp_path), InMemoryDocumentStore()
    pipeline = indexing(store)
    with reporting(live, name) as reporter, observe(reporter, document_store=store):
        run(pipeline, paths[:1])
        run(pipeline, paths[:2])
        run(pipeline, paths)
    told = stories(live, name)
    assert told["long.txt"].outcome == "file:skipped"
    assert [told["short.txt"].outcome, told["page.pdf"].outcome] == ["file:skipped", "file:completed"]
    assert told["page.pdf"].results["chunks_created"] == 2


def test_without_the_store_it_says_that_it_cannot_tell(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    pipeline = indexing()
    with reporting(live, name) as reporter, observe(reporter):
        run(pipeline, paths[:1])
        run(pipeline, paths[:2])
    for file in ("long.txt", "short.txt"):
        story = stories(live, name)[file]
        assert story.outcome == "file:completed"
        assert "wrote 1 of the 4 documents of this call" in story.last["warnings"][0]


def test_what_a_converter_leaves_out_fails_with_what_it_logged(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    (tmp_path / "broken.pdf").write_bytes(b"this is no PDF")
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfa is no UTF-8")
    paths += [tmp_path / "broken.pdf", tmp_path / "latin.txt", tmp_path / "gone.txt"]
    with reporting(live, name) as reporter, observe(reporter):
        done = run(indexing(), paths)
    assert done == {"router": {"failed": [tmp_path / "gone.txt"]}, "writer": {"documents_written": 6}}
    told = stories(live, name)
    for file, kind in {"broken.pdf": "PdfStreamError", "latin.txt": "UnicodeDecodeError"}.items():
        assert told[file].names == ["file:processing", "file:failed"]
        assert told[file].last["error"]["type"] == kind
        assert told[file].last["error"]["stage"] == "extraction"
        assert told[file].last["error"]["message"]
    assert told["gone.txt"].last["error"]["type"] == "FileNotFoundError"
    assert "gone.txt" in told["gone.txt"].last["error"]["message"]
    assert [told[path.name].outcome for path in paths[:3]] == ["file:completed"] * 3


def test_what_the_router_has_no_place_for_is_skipped(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    (tmp_path / "song.mp3").write_bytes(b"la la")
    (tmp_path / "empty.txt").write_text(" \n ")
    router = FileTypeRouter(mime_types=["text/plain", "application/pdf"])
    pipeline = Pipeline()
    pipeline.add_component("router", router)
    pipeline.add_component("text", TextFileToDocument())
    pipeline.connect("router.text/plain", "text.sources")
    with reporting(live, name) as reporter, observe(reporter):
        run(indexing(), [paths[0], tmp_path / "song.mp3", tmp_path / "empty.txt"])
        run(pipeline, [paths[1], paths[2]])
    told = stories(live, name)
    assert told["song.mp3"].names == ["file:processing", "file:skipped"]
    assert told["song.mp3"].last["reason"] == "unsupported"
    assert (told["empty.txt"].outcome, told["empty.txt"].last["reason"]) == ("file:skipped", "empty")
    assert told["page.pdf"].last["message"].endswith("took it for application/pdf, which nothing is connected to")
    # A pipeline without a writer is done when its documents come out.
    assert told["short.txt"].results == {"chunks_created": 1, "content_length": 24}


def test_what_a_component_raises_fails_the_files_it_had(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    (tmp_path / "song.mp3").write_bytes(b"la la")
    with reporting(live, name) as reporter:
        with observe(reporter), pytest.raises(PipelineRuntimeError) as raised:
            run(indexing(chokes_on="hubs."), [*paths, tmp_path / "song.mp3"])
        assert isinstance(raised.value.__cause__, BrokenModelError)
        assert isinstance(tracer.actual_tracer, NullTracer)
        assert reporter.flush()
        assert is_settled(live, name)
    told = stories(live, name)
    for file in ("long.txt", "short.txt", "page.pdf"):
        assert told[file].names == ["file:processing", "file:failed"]
        assert told[file].last["error"] == {
            "type": "BrokenModelError",
            "message": "cannot embed 'hubs.'",
            "stage": "embedding",
            "retryable": False,
        }
    assert told["song.mp3"].outcome == "file:skipped"


def test_files_that_the_raising_component_did_not_have_are_interrupted(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    pipeline = indexing(pdf=StrictConverter())
    with reporting(live, name) as reporter, observe(reporter), pytest.raises(PipelineRuntimeError):
        run(pipeline, paths)
    told = stories(live, name)
    assert told["page.pdf"].last["error"]["stage"] == "extraction"
    assert told["page.pdf"].last["error"]["type"] == "BrokenModelError"
    for file in ("long.txt", "short.txt"):
        assert told[file].last["error"]["type"] == "Interrupted"
        assert told[file].last["error"]["retryable"] is True
        assert "cannot read 1 sources" in told[file].last["error"]["message"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_async_run_reports_the_same(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfa is no UTF-8")
    with reporting(live, name) as reporter:
        pipeline = indexing(wait=reporter.flush)
        with observe(reporter):
            done = await pipeline.run_async({"router": {"sources": [*paths, tmp_path / "latin.txt"]}})
    assert done == {"writer": {"documents_written": 6}}
    told = stories(live, name)
    assert told["latin.txt"].last["error"]["type"] == "UnicodeDecodeError"
    for file, chunks in {"long.txt": 3, "short.txt": 1, "page.pdf": 2}.items():
        assert told[file].names == ["file:processing", "file:completed"]
        assert told[file].stages == STAGES
        assert told[file].results["chunks_created"] == chunks


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async_runs_at_once_and_one_that_is_cancelled(live: Hub, tmp_path: Path) -> None:
    names = [fresh("haystack"), fresh("haystack")]
    at_embedder, may_go_on = threading.Event(), threading.Event()

    def hold() -> None:
        at_embedder.set()
        assert may_go_on.wait(30)

    async def indexed(name: str, folder: Path, pipeline: Pipeline) -> None:
        with reporting(live, name) as reporter, observe(reporter):
            await pipeline.run_async({"router": {"sources": documents(folder)}})

    held = asyncio.create_task(indexed(names[0], tmp_path / "a", indexing(before=hold)))
    assert await asyncio.to_thread(at_embedder.wait, 30)
    await indexed(names[1], tmp_path / "b", indexing())
    held.cancel()
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await held
    assert {story.outcome for story in stories(live, names[1]).values()} == {"file:completed"}
    for story in stories(live, names[0]).values():
        assert (story.outcome, story.last["error"]["type"]) == ("file:failed", "Interrupted")
        assert story.last["error"]["stage"] == "embedding"
    assert {len(stories(live, name)) for name in names} == {3}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_generator_that_is_given_up_ends_its_files(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    with reporting(live, name) as reporter, observe(reporter):
        steps = indexing().run_async_generator({"router": {"sources": paths}}, include_outputs_from={"joiner"})
        async for partial in steps:
            if "joiner" in partial:
                break
        await steps.aclose()
    for story in stories(live, name).values():
        assert (story.outcome, story.last["error"]["type"]) == ("file:failed", "Interrupted")


def test_runs_in_threads_go_each_to_its_own_reporter(live: Hub, tmp_path: Path) -> None:
    names = [fresh("haystack"), fresh("haystack")]
    both = threading.Barrier(2)

    def indexed(name: str) -> None:
        with reporting(live, name) as reporter, observe(reporter):
            run(indexing(before=lambda: both.wait(30)), documents(tmp_path / name))

    threads = [threading.Thread(target=indexed, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert isinstance(tracer.actual_tracer, NullTracer)
    for name in names:
        told = stories(live, name)
        assert set(told) == {"long.txt", "short.txt", "page.pdf"}
        assert {tuple(story.names) for story in told.values()} == {("file:processing", "file:completed")}
        assert told["long.txt"].events[0][1]["file"]["path"] == str(tmp_path / name / "long.txt")


def test_runs_of_threads_that_a_block_starts_go_to_its_reporter(live: Hub, tmp_path: Path) -> None:
    name = fresh("haystack")
    both = threading.Barrier(2)

    def indexed(folder: Path) -> None:
        run(indexing(before=lambda: both.wait(30)), documents(folder))

    with reporting(live, name) as reporter, observe(reporter):
        threads = [threading.Thread(target=indexed, args=(tmp_path / letter,)) for letter in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    told = stories(live, name)
    assert len(told) == 6
    assert {tuple(story.names) for story in told.values()} == {("file:processing", "file:completed")}


def test_streams_and_files_of_one_name_are_told_apart(live: Hub, tmp_path: Path) -> None:
    name = fresh("haystack")
    for folder in ("a", "b", "c"):
        documents(tmp_path / folder)
    (tmp_path / "b" / "short.txt").write_bytes(b"\xff\xfe\xfa is no UTF-8")
    paths = [tmp_path / folder / "short.txt" for folder in ("a", "b", "c")]
    streams = [
        ByteStream(b"from a bucket", mime_type="text/plain", meta={"file_name": "notes.txt"}),
        ByteStream(b"from another", mime_type="text/plain", meta={"file_name": "notes.txt"}),
        ByteStream(b"from a drive", mime_type="text/plain", meta={"file_id": "drive-7", "file_name": "sheet.txt"}),
        ByteStream(b"from nowhere", mime_type="text/plain"),
        ByteStream(pdf("some words"), mime_type="application/pdf", meta={"url": "http://example.test/doc"}),
    ]
    with reporting(live, name) as reporter, observe(reporter):
        done = indexing().run({"router": {"sources": [*paths, *streams]}})
    # Two of them are equal in text and name, so that the joiner makes one document of them.
    assert done == {"writer": {"documents_written": 6}}
    told = stories(live, name)
    outcomes = {folder: told[f"short.txt {file_id(path)}"].outcome for folder, path in zip("abc", paths, strict=True)}
    assert outcomes == {"a": "file:completed", "b": "file:failed", "c": "file:completed"}
    notes = sorted(file for file in told if file.startswith("notes.txt"))
    assert len(notes) == 2
    assert notes[0] == "notes.txt notes.txt"
    assert {told[file].results["content_length"] for file in notes} == {len("from a bucket"), len("from another")}
    sheet = told["sheet.txt"].last["file"]
    assert (sheet["id"], sheet["size"], sheet["mime_type"]) == ("drive-7", len("from a drive"), "text/plain")
    assert told["doc"].last["file"]["id"] == "http://example.test/doc"
    nameless = next(story for file, story in told.items() if file.startswith("stream-"))
    assert nameless.results["chunks_created"] == 1

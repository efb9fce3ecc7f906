"""Pipelines of other shapes: within components, without sources, with branches that run dry."""

from adapters.haystack_support import (
    HashingDocumentEmbedder,
    Pause,
    StrictConverter,
    documents,
    indexing,
    reporting,
    stories,
)

# isort: split
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline, component, super_component
from haystack.components.converters import JSONConverter, PyPDFToDocument, TextFileToDocument
from haystack.components.embedders import MockTextEmbedder
from haystack.components.joiners import DocumentJoiner
from haystack.components.preprocessors import (
    DocumentCleaner,
    DocumentPreprocessor,
    DocumentSplitter,
    HierarchicalDocumentSplitter,
)
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.routers import FileTypeRouter
from haystack.components.writers import DocumentWriter
from haystack.core.errors import BreakpointException, PipelineRuntimeError
from haystack.dataclasses import ByteStream
from haystack.dataclasses.breakpoints import Breakpoint
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy

from ragpulse import file_id
from ragpulse.adapters.haystack import observe
from support import Hub, fresh


def chain(*components: Any) -> Pipeline:
    """Components one after the other, each named by its class."""
    pipeline, last = Pipeline(), ""
    for one in components:
        name = type(one).__name__
        pipeline.add_component(name, one)
        if last:
            pipeline.connect(last + ".documents", name + ".documents")
        last = name
    return pipeline


def writer(policy: DuplicatePolicy = DuplicatePolicy.SKIP) -> DocumentWriter:
    return DocumentWriter(InMemoryDocumentStore(), policy=policy)


@component
class OwnConverter:
    """A converter that names its documents as it likes, and says what it has to in words of its own."""

    def __init__(self, meta: dict[str, Any], count: int = 1) -> None:
        self.meta = meta
        self.count = count

    @component.output_types(documents=list[Document])
    def run(self, sources: list[str]) -> dict[str, Any]:
        made = [Document(content=f"of {source} {n}", meta=self.meta) for source in sources for n in range(self.count)]
        return {"documents": made}


@component
class Scrubber:
    """A step of one's own that drops what has the word `secret`, and refuses what has the word `odd`."""

    @component.output_types(documents=list[Document], failed_documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        odd = [
            Document(content=one.content, meta={**one.meta, "scrubbing_error": "this one is odd"})
            for one in documents
            if "odd" in (one.content or "")
        ]
        kept = [one for one in documents if "secret" not in (one.content or "") and "odd" not in (one.content or "")]
        return {"documents": kept, "failed_documents": odd}


@component
class Careful:
    """Runs a pipeline and goes on without it when it fails."""

    def __init__(self, inner: Pipeline) -> None:
        self.inner = inner

    @component.output_types(documents=list[Document])
    def run(self, sources: list[str | Path | ByteStream]) -> dict[str, Any]:
        try:
            return dict(self.inner.run({"StrictConverter": {"sources": sources}})["StrictConverter"])
        except PipelineRuntimeError:
            return TextFileToDocument().run(sources=sources)


def test_components_that_are_pipelines_are_seen_within(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    (tmp_path / "song.mp3").write_bytes(b"la la")
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfa is no UTF-8")
    pipeline = chain(converter(), DocumentPreprocessor(split_length=20), HashingDocumentEmbedder(), writer())
    more = [tmp_path / "song.mp3", tmp_path / "latin.txt", tmp_path / "gone.txt"]
    with reporting(live, name) as reporter, observe(reporter):
        pipeline.run({"sources": [*paths, *more]})
    told = stories(live, name)
    assert {file: told[file].results["chunks_created"] for file in ("long.txt", "short.txt", "page.pdf")} == {
        "long.txt": 3,
        "short.txt": 1,
        "page.pdf": 2,
    }
    assert told["latin.txt"].last["error"]["type"] == "UnicodeDecodeError"
    assert told["gone.txt"].last["error"]["type"] == "FileNotFoundError"
    assert told["song.mp3"].last["reason"] == "unsupported"
    assert {len(story.names) for story in told.values()} == {2}


def converter() -> Any:
    """As `MultiFileConverter`, which needs a package for each of its formats, for those that are there."""
    inner = Pipeline()
    inner.add_component("router", FileTypeRouter(mime_types=["text/plain", "application/pdf"]))
    inner.add_component("text", TextFileToDocument())
    inner.add_component("pdf", PyPDFToDocument())
    inner.add_component("joiner", DocumentJoiner())
    inner.connect("router.text/plain", "text.sources")
    inner.connect("router.application/pdf", "pdf.sources")
    inner.connect("text", "joiner")
    inner.connect("pdf", "joiner")

    @super_component
    class ManyFilesConverter:
        def __init__(self) -> None:
            self.pipeline = inner
            self.input_mapping = {"sources": ["router.sources"]}
            self.output_mapping = {
                "joiner.documents": "documents",
                "router.unclassified": "unclassified",
                "router.failed": "failed",
            }

    return ManyFilesConverter()


def test_documents_that_come_from_outside_are_files_by_their_metadata(live: Hub) -> None:
    name = fresh("haystack")
    pipeline = chain(DocumentSplitter(split_by="word", split_length=2), HashingDocumentEmbedder(), writer())
    given = [
        Document(content="one two three", meta={"file_path": "/data/a.txt"}),
        Document(content="four five", meta={"file_name": "b.txt"}),
        Document(content="six", meta={"file_path": "c.txt", "file_id": "drive-9"}),
        Document(content="seven"),
    ]
    with reporting(live, name) as reporter, observe(reporter):
        pipeline.run({"documents": given})
    told = stories(live, name)
    assert told["a.txt"].results == {"chunks_created": 2, "embeddings_generated": 2, "content_length": 13}
    assert told["a.txt"].last["file"]["path"] == "/data/a.txt"
    assert told["a.txt"].events[0][1]["processing_stage"] == "chunking"
    assert told["b.txt"].last["file"]["id"] == "b.txt"
    assert told["c.txt"].last["file"]["id"] == "drive-9"
    assert f"document-{given[3].id[:12]}" in told


def test_documents_of_one_file_of_which_some_are_there_already(live: Hub) -> None:
    name, store = fresh("haystack"), InMemoryDocumentStore()
    pipeline = chain(DocumentWriter(store, policy=DuplicatePolicy.SKIP))
    one, two = (Document(content=text, meta={"file_name": "b.txt"}) for text in ("one", "two"))
    with reporting(live, name) as reporter, observe(reporter, document_store=store):
        pipeline.run({"documents": [one]})
        pipeline.run({"documents": [one, two]})
    assert stories(live, name)["b.txt"].results == {"chunks_created": 2, "content_length": 6, "documents_written": 1}


def test_a_store_that_cannot_be_asked_is_no_harm(live: Hub, caplog: pytest.LogCaptureFixture) -> None:
    name = fresh("haystack")
    given = [Document(content=text, meta={"file_name": text}) for text in ("one", "two")]
    pipeline = chain(writer())
    with reporting(live, name) as reporter, observe(reporter, document_store=object()):
        pipeline.run({"documents": given[:1]})
        pipeline.run({"documents": given})
    assert stories(live, name)["two"].last["warnings"]
    assert len([record for record in caplog.records if "could not be reported" in record.getMessage()]) == 1


def test_a_question_is_no_file(live: Hub, tmp_path: Path) -> None:
    name, store = fresh("haystack"), InMemoryDocumentStore()
    indexing(store).run({"router": {"sources": documents(tmp_path)}})
    asking = Pipeline()
    asking.add_component("embedder", MockTextEmbedder(dimension=8))
    asking.add_component("retriever", InMemoryEmbeddingRetriever(store))
    asking.connect("embedder.embedding", "retriever.query_embedding")
    with reporting(live, name) as reporter, observe(reporter):
        assert asking.run({"embedder": {"text": "what is a hub?"}})["retriever"]["documents"]
    assert stories(live, name) == {}


def test_what_a_step_drops_or_refuses_is_no_success(live: Hub, tmp_path: Path) -> None:
    name = fresh("haystack")
    for file in ("plain", "secret", "odd"):
        (tmp_path / f"{file}.txt").write_text(f"a {file} text")
    pipeline = chain(TextFileToDocument(), Scrubber(), writer())
    with reporting(live, name) as reporter, observe(reporter, stages={"Scrubber": "scrubbing"}):
        pipeline.run({"sources": sorted(tmp_path.glob("*.txt"))})
    told = stories(live, name)
    assert told["plain.txt"].outcome == "file:completed"
    assert (told["secret.txt"].outcome, told["secret.txt"].last["reason"]) == ("file:skipped", "filtered")
    assert told["odd.txt"].last["error"]["message"] == "this one is odd"
    assert told["odd.txt"].last["error"]["stage"] == "scrubbing"


def test_a_branch_that_does_not_run_is_no_success(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    pipeline = Pipeline()
    pipeline.add_component("text", TextFileToDocument())
    pipeline.add_component("join", TwoLists())
    pipeline.add_component("writer", writer())
    pipeline.connect("text.documents", "join.left")
    pipeline.add_component("never", Pause(lambda: None))
    pipeline.connect("never.documents", "join.right")
    pipeline.connect("join.documents", "writer.documents")
    pipeline.add_component("gate", Closed())
    pipeline.connect("gate.documents", "never.documents")
    with reporting(live, name) as reporter, observe(reporter):
        pipeline.run({"text": {"sources": paths[:1]}, "gate": {"key": ""}})
    error = stories(live, name)["long.txt"].last["error"]
    assert error["type"] == "NotRun"
    assert error["message"] == "it was handed to component 'join', which did not run"


@component
class Closed:
    """Lets nothing out."""

    @component.output_types(documents=list[Document])
    def run(self, key: str) -> dict[str, Any]:
        return {}


@component
class TwoLists:
    """Needs both of its inputs."""

    @component.output_types(documents=list[Document])
    def run(self, left: list[Document], right: list[Document]) -> dict[str, Any]:
        return {"documents": left + right}


def test_a_breakpoint_interrupts(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    stop = Breakpoint(component_name="embedder", visit_count=0)
    with reporting(live, name) as reporter, observe(reporter), pytest.raises(BreakpointException):
        indexing().run({"router": {"sources": paths}}, break_point=stop, snapshot_callback=lambda _: None)
    for story in stories(live, name).values():
        assert story.last["error"]["type"] == "Interrupted"
        assert "Breaking at component embedder" in story.last["error"]["message"]


def test_a_fault_that_somebody_within_mended_is_none(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    pipeline = chain(Careful(chain(StrictConverter())), writer())
    with reporting(live, name) as reporter, observe(reporter):
        pipeline.run({"sources": [*map(str, paths[:2])]})
    assert {story.outcome for story in stories(live, name).values()} == {"file:completed"}


def test_a_second_converter_may_take_what_the_first_left(live: Hub, tmp_path: Path) -> None:
    name = fresh("haystack")
    (tmp_path / "data.json").write_text('["not", "an", "object"]')
    pipeline = Pipeline()
    pipeline.add_component("a_json", JSONConverter(content_key="text"))
    pipeline.add_component("b_text", TextFileToDocument())
    pipeline.add_component("joiner", DocumentJoiner())
    pipeline.add_component("writer", writer())
    pipeline.connect("a_json", "joiner")
    pipeline.connect("b_text", "joiner")
    pipeline.connect("joiner", "writer")
    sources = [tmp_path / "data.json"]
    with reporting(live, name) as reporter, observe(reporter):
        pipeline.run({"a_json": {"sources": sources}, "b_text": {"sources": sources}})
    told = stories(live, name)["data.json"]
    assert told.names == ["file:processing", "file:failed", "file:processing", "file:completed"]
    assert told.results["chunks_created"] == 1


@pytest.mark.parametrize(("meta", "count"), [({}, 1), ({"title": "anything"}, 1), ({"file_name": "a.txt"}, 3)])
def test_documents_of_a_converter_that_names_nothing(live: Hub, meta: dict[str, Any], count: int) -> None:
    name = fresh("haystack")
    with reporting(live, name) as reporter, observe(reporter):
        chain(OwnConverter(meta, count), writer()).run({"sources": ["a.txt"]})
        if count == 1:
            chain(OwnConverter(meta), writer()).run({"sources": ["b.txt", "c.txt"]})
    told = stories(live, name)
    assert {story.outcome for story in told.values()} == {"file:completed"}
    assert told["a.txt"].results["chunks_created"] == count


def test_a_splitter_with_parents_and_a_cleaner_after_it(live: Hub, tmp_path: Path) -> None:
    name, paths = fresh("haystack"), documents(tmp_path)
    splitter = HierarchicalDocumentSplitter(block_sizes={20, 10}, split_overlap=0)
    pipeline = chain(TextFileToDocument(), splitter, DocumentCleaner(), writer())
    with reporting(live, name) as reporter, observe(reporter):
        done = pipeline.run({"sources": paths[:2]})
    told = stories(live, name)
    counts = [told[file].results["chunks_created"] for file in ("long.txt", "short.txt")]
    assert sum(counts) == done["DocumentWriter"]["documents_written"]
    assert min(counts) > 0


@pytest.mark.parametrize(("text", "outcomes"), [("long enough", "cs"), ("long  enough", "cc")])
def test_files_of_one_name_of_which_a_step_drops_one(live: Hub, tmp_path: Path, text: str, outcomes: str) -> None:
    name = fresh("haystack")
    paths = [tmp_path / folder / "x.txt" for folder in "ab"]
    for path, content in zip(paths, (text, "short"), strict=True):
        path.parent.mkdir()
        path.write_text(content)
    pipeline = chain(TextFileToDocument(), DocumentCleaner(min_content_length=8), writer())
    with reporting(live, name) as reporter, observe(reporter):
        pipeline.run({"sources": paths})
    told = [stories(live, name)[f"x.txt {file_id(path)}"] for path in paths]
    assert "".join(story.outcome[5] for story in told) == outcomes
    if outcomes == "cc":
        # What became of which cannot be told, so no number is.
        for story in told:
            assert "chunks_created" not in story.results
            assert "cannot be told" in story.last["warnings"][0]

"""What the tests of the Haystack adapter share: real small documents, and pipelines of the real library.

To be imported before anything of Haystack: it turns its telemetry off. Nothing here uses a network.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack import Document, Pipeline, component
from haystack.components.converters import PyPDFToDocument, TextFileToDocument
from haystack.components.joiners import DocumentJoiner
from haystack.components.preprocessors import DocumentCleaner, DocumentSplitter
from haystack.components.routers import FileTypeRouter
from haystack.components.writers import DocumentWriter
from haystack.dataclasses import ByteStream
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack.tracing.tracer import Span, Tracer

from ragpulse import Reporter
from support import Hub

TEXT = "The hub shows what a pipeline does to each file. Every end of a file arrives, and arrives once. "


class BrokenModelError(Exception):
    """What an embedder of the tests raises."""


@component
class HashingDocumentEmbedder:
    """Embeds by hashing words; a word that it is told to choke on makes it raise."""

    def __init__(self, chokes_on: str = "", before: Callable[[], object] | None = None) -> None:
        self.chokes_on = chokes_on
        self.before = before

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        if self.before:
            self.before()
        return {"documents": [self.embed(document) for document in documents]}

    def embed(self, document: Document) -> Document:
        words = (document.content or "").split()
        if self.chokes_on and self.chokes_on in words:
            raise BrokenModelError(f"cannot embed {self.chokes_on!r}")
        vector = [0.0] * 8
        for word in words:
            vector[hashlib.md5(word.encode()).digest()[0] % 8] += 1.0
        return Document(id=document.id, content=document.content, meta=document.meta, embedding=vector)


@component
class StrictConverter:
    """A converter that raises where Haystack's own leave a file out."""

    @component.output_types(documents=list[Document])
    def run(self, sources: list[str | Path | ByteStream]) -> dict[str, Any]:
        raise BrokenModelError(f"cannot read {len(sources)} sources")


@component
class Pause:
    """Hands documents on after everything that was reported has arrived, so that the hub keeps what it has seen."""

    def __init__(self, wait: Callable[[], object]) -> None:
        self.wait = wait

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        self.wait()
        return {"documents": documents}


class WaitingStore(InMemoryDocumentStore):
    """A store that does something before it writes."""

    def __init__(self, wait: Callable[[], object]) -> None:
        super().__init__()
        self.wait = wait

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        self.wait()
        return super().write_documents(documents, policy)


def pdf(text: str) -> bytes:
    """A PDF of one page with this text."""
    content = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 200] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def documents(folder: Path) -> list[Path]:
    """Two texts and a PDF, of which it is known how many chunks of twenty words they make: 3, 1 and 2."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "long.txt").write_text(TEXT * 3)
    (folder / "short.txt").write_text("A short text about hubs.")
    (folder / "page.pdf").write_bytes(pdf(" ".join(f"word{n}" for n in range(30))))
    return [folder / "long.txt", folder / "short.txt", folder / "page.pdf"]


def indexing(
    store: InMemoryDocumentStore | None = None,
    *,
    policy: DuplicatePolicy = DuplicatePolicy.SKIP,
    wait: Callable[[], object] | None = None,
    chokes_on: str = "",
    before: Callable[[], object] | None = None,
    pdf: Any = None,
) -> Pipeline:
    """An indexing pipeline as people build it; `wait` is done after each stage."""
    if store is None:
        store = InMemoryDocumentStore() if wait is None else WaitingStore(wait)
    pipeline = Pipeline()
    pipeline.add_component("router", FileTypeRouter(mime_types=["text/plain", "application/pdf"]))
    pipeline.add_component("text", TextFileToDocument())
    pipeline.add_component("pdf", pdf or PyPDFToDocument())
    pipeline.add_component("joiner", DocumentJoiner())
    pipeline.connect("router.text/plain", "text.sources")
    pipeline.connect("router.application/pdf", "pdf.sources")
    pipeline.connect("text", "joiner")
    pipeline.connect("pdf", "joiner")
    steps: list[tuple[str, Any]] = [
        ("cleaner", DocumentCleaner()),
        ("splitter", DocumentSplitter(split_by="word", split_length=20)),
        ("embedder", HashingDocumentEmbedder(chokes_on, before)),
        ("writer", DocumentWriter(store, policy=policy)),
    ]
    last = "joiner"
    for name, step in steps:
        if wait is not None:
            pipeline.add_component(f"before_{name}", Pause(wait))
            pipeline.connect(last, f"before_{name}")
            last = f"before_{name}"
        pipeline.add_component(name, step)
        pipeline.connect(last, f"{name}.documents")
        last = name
    return pipeline


@contextmanager
def reporting(live: Hub, pipeline_id: str, **options: Any) -> Iterator[Reporter]:
    """A reporter, of which everything has arrived afterwards."""
    with Reporter(pipeline_id, "local_files", url=live.url, **options) as reporter:
        yield reporter
        assert reporter.flush(30)
    assert reporter.status.rejected == 0
    assert reporter.status.dropped == 0


class Story:
    """What the hub has of one file."""

    def __init__(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        self.events = events
        self.names = [name for name, _ in events if name != "file:progress"]
        self.last = events[-1][1]
        stages = [str(data["processing_stage"]) for name, data in events if name == "file:progress"]
        self.stages = [stage for place, stage in enumerate(stages) if stages[place - 1 : place] != [stage]]

    @property
    def outcome(self) -> str:
        """How it ended last."""
        return self.names[-1]

    @property
    def results(self) -> dict[str, Any]:
        """The results, without how long it took, which is there in any case."""
        results = dict(self.last["results"])
        assert results.pop("processing_duration") >= 0
        return results


def stories(live: Hub, pipeline_id: str) -> dict[str, Story]:
    """What the hub has, by the names of the files; of two that share a name, by name and id."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    called: dict[str, set[str]] = {}
    for event in live.history(pipeline_id):
        if event["event"].startswith("file:"):
            file = event["data"]["file"]
            found.setdefault(file["id"], []).append((event["event"], event["data"]))
            called.setdefault(file["name"], set()).add(file["id"])
    told = {}
    for name, ids in called.items():
        for id in ids:
            told[name if len(ids) == 1 else f"{name} {id}"] = Story(found[id])
    return told


def is_settled(live: Hub, pipeline_id: str) -> bool:
    """Whether nothing is left as being processed."""
    return bool(live.state(pipeline_id)["counts"]["processing"] == 0)


class RecordingSpan(Span):
    """Keeps what it is told."""

    def __init__(self, tracer: "RecordingTracer", number: int) -> None:
        self.tracer = tracer
        self.number = number

    def set_tag(self, key: str, value: Any) -> None:
        self.tracer.told.append(("tag", self.number, key, repr(value)))

    def raw_span(self) -> Any:
        return f"raw-{self.number}"

    def get_correlation_data_for_logs(self) -> dict[str, Any]:
        return {"span": self.number}


class RecordingTracer(Tracer):
    """A tracer as others write them: it keeps all that it gets."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.active: list[RecordingSpan] = []
        self.count = 0

    @contextmanager
    def trace(
        self, operation_name: str, tags: dict[str, Any] | None = None, parent_span: Span | None = None
    ) -> Iterator[Span]:
        self.count += 1
        span = RecordingSpan(self, self.count)
        # A tracer may rely on getting its own spans back.
        assert parent_span is None or isinstance(parent_span, RecordingSpan)
        parent = parent_span.number if parent_span else None
        self.told.append(("begin", span.number, operation_name, repr(tags), parent))
        self.active.append(span)
        try:
            yield span
        except BaseException as error:
            self.told.append(("raised", span.number, repr(error)))
            raise
        finally:
            self.active.pop()
            self.told.append(("end", span.number))

    def current_span(self) -> Span | None:
        return self.active[-1] if self.active else None

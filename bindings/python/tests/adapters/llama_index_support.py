"""What the tests of the LlamaIndex adapter share: real documents, models to look into, and what the hub has."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llama_index.core import Document, SimpleDirectoryReader
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import BaseNode, TransformComponent
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore
from pydantic import PrivateAttr

from ragpulse import File, Reporter, is_retryable
from support import Hub, fresh


class Hashed(BaseEmbedding):
    """Embeds a text by its hash; calls back before each."""

    _before: Callable[[str], None] | None = PrivateAttr(default=None)

    def calling(self, before: Callable[[str], None]) -> "Hashed":
        self._before = before
        return self

    def _get_text_embedding(self, text: str) -> list[float]:
        if self._before is not None:
            self._before(text)
        return [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:4]]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class Calling(TransformComponent):
    """Changes nothing, and calls something."""

    _what: Callable[[Sequence[BaseNode]], None] | None = PrivateAttr(default=None)

    def calling(self, what: Callable[[Sequence[BaseNode]], None]) -> "Calling":
        self._what = what
        return self

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        if self._what is not None:
            self._what(nodes)
        return nodes


def splitter() -> SentenceSplitter:
    return SentenceSplitter(chunk_size=256, chunk_overlap=0)


def pipeline(*transformations: TransformComponent, strategy: str | None = None, **options: Any) -> IngestionPipeline:
    """A pipeline with stores, where there is a strategy; by default it splits and embeds."""
    stores: dict[str, Any] = {}
    if strategy is not None:
        stores = {
            "docstore": SimpleDocumentStore(),
            "vector_store": SimpleVectorStore(),
            "docstore_strategy": DocstoreStrategy(strategy),
        }
    made = list(transformations) or [splitter(), Hashed(embed_batch_size=2)]
    return IngestionPipeline(transformations=made, **{**stores, **options})


def text(word: str, sentences: int = 3) -> str:
    """Of 100 sentences about 5 chunks are made."""
    return " ".join(f"The {word} is told in sentence number {number} of this text." for number in range(sentences))


def document(name: str, content: str | None = None, **metadata: Any) -> Document:
    return Document(text=text(name) if content is None else content, id_=name, metadata=metadata)


def read(folder: Path) -> list[Document]:
    """By the reader of LlamaIndex, with ids that stay."""
    return SimpleDirectoryReader(str(folder), filename_as_id=True).load_data()


def pdf(path: Path, *pages: str) -> None:
    """Writes a real PDF, a page for each text."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for page in pages:
        number = len(objects) + 1
        kids.append(f"{number} 0 R")
        stream = f"BT /F1 12 Tf 72 720 Td ({page}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number + 1} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n"
    )
    path.write_bytes(body + f"{end}startxref\n{len(body)}\n%%EOF\n".encode())


def reporter(live: Hub, name: str = "llama", **options: Any) -> Reporter:
    return Reporter(fresh(name), "local_files", url=live.url, **options)


def events(live: Hub, to: Reporter, since: int = 0) -> list[tuple[str, str, dict[str, Any]]]:
    """What the hub has of files: the event, the file's name, and all else. `since`: how many to leave out."""
    assert to.flush(30)
    all_of_them = [event for event in live.history(to.pipeline_id) if event["event"].startswith("file:")]
    return [(event["event"], event["data"]["file"]["name"], event["data"]) for event in all_of_them][since:]


def outline(live: Hub, to: Reporter, since: int = 0) -> list[str]:
    """Events and names alone, without progress: of that the latest is kept, so how much there is depends on time."""
    return [f"{event} {name}" for event, name, _ in events(live, to, since) if event != "file:progress"]


def progress(live: Hub, to: Reporter, name: str) -> list[tuple[Any, ...]]:
    """The progress of a file: stage, share, current, total and unit."""
    keys = ("processing_stage", "progress", "current", "total", "unit")
    return [
        tuple(data.get(key) for key in keys)
        for event, told, data in events(live, to)
        if (event, told) == ("file:progress", name)
    ]


def nothing_is_open(live: Hub, to: Reporter) -> bool:
    """Whether no file is being processed, or waits, by what the hub has."""
    assert to.flush(30)
    counts = live.state(to.pipeline_id)["counts"]
    return bool(counts["processing"] == counts["queued"] == 0)


class Kept:
    """A reporter of which every event is kept as it was told, before anything is conflated."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        # Nobody listens there, and nothing is sent.
        self.reporter = Reporter("kept", "local_files", url="http://127.0.0.1:9")
        self.reporter.file = self._file  # type: ignore[method-assign]

    def _file(self, name: Any, **more: Any) -> File:
        return File(lambda event, data: self.told.append((event, data)), {"name": name, "id": more["id"]}, is_retryable)

    def progress(self, name: str) -> list[tuple[Any, ...]]:
        """Stage, current and total."""
        keys = ("processing_stage", "current", "total")
        return [
            tuple(data.get(key) for key in keys)
            for event, data in self.told
            if event == "file:progress" and data["file"]["name"] == name
        ]

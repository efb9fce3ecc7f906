"""Real documents, loaders and splitters for the tests of the LangChain adapter, and what the hub has of a run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import CharacterTextSplitter

from ragpulse import File, Reporter, is_retryable
from ragpulse._reporter.handle import describe
from support import Hub, Reported, fresh

ENDS = ("file:completed", "file:failed", "file:skipped", "file:deleted", "file:cancelled")


class Folder(BaseLoader):
    """Reads the text files of a folder one after another, and splits each at its empty lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._splitter = CharacterTextSplitter(separator="\n\n", chunk_size=1, chunk_overlap=0, strip_whitespace=True)

    def lazy_load(self) -> Iterator[Document]:
        for path in sorted(self._path.glob("*.txt")):
            blob = Blob.from_path(path)
            text = Document(page_content=blob.as_string(), metadata={"source": f"docs/{path.name}"})
            yield from self._splitter.split_documents([text])


class Embeddings(DeterministicFakeEmbedding):
    """Embeds all texts but those that hold `poison`."""

    size: int = 4

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if any("poison" in text for text in texts):
            raise ConnectionError("the embedding service is away")
        return super().embed_documents(texts)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)


def write(folder: Path, **files: str) -> None:
    """Writes text files: each word becomes a chunk."""
    for name, words in files.items():
        (folder / f"{name}.txt").write_text("\n\n".join(words.split()))


class Setup:
    """A folder, and where its documents are indexed."""

    def __init__(self, folder: Path, live: Hub | None = None, reporter: Reporter | None = None) -> None:
        self.folder = folder
        self.loader = Folder(folder)
        self.records: Any = InMemoryRecordManager("docs")
        self.store: Any = InMemoryVectorStore(Embeddings())
        self.hub = live
        url = live.url if live else "http://127.0.0.1:9"
        self.reporter = reporter or Reporter(fresh("langchain"), "local_files", url=url)
        self._seen = 0

    @property
    def texts(self) -> list[str]:
        """What is in the store."""
        return sorted(one["text"] for one in self.store.store.values())

    def events(self) -> list[dict[str, Any]]:
        """What the hub has, that was not asked for before; without progress, of which it has only the latest."""
        assert self.hub is not None
        assert self.reporter.flush(30)
        found = [one for one in self.hub.history(self.reporter.pipeline_id) if one["event"] != "file:progress"]
        new, self._seen = found[self._seen :], len(found)
        return new

    def told(self) -> list[str]:
        """The same in words."""
        return [line for event in self.events() if (line := in_words(event["event"], event["data"]))]

    def still_processing(self) -> list[Any]:
        assert self.hub is not None
        assert self.reporter.flush(30)
        files = self.hub.state(self.reporter.pipeline_id)["files"]
        return [file["name"] for file in files if file["state"] in ("processing", "queued", "retrying")]


def in_words(event: str, data: dict[str, Any]) -> str:
    """An event as a line; nothing for those of the pipeline itself."""
    if not event.startswith("file:"):
        return ""
    line = f"{event.removeprefix('file:')} {data['file']['name']}"
    if event == "file:completed":
        results = data["results"]
        kinds = {"+": "chunks_created", "~": "chunks_updated", "=": "chunks_skipped", "-": "chunks_deleted"}
        line += "".join(f" {sign}{results[key]}" for sign, key in kinds.items() if results[key])
    elif event == "file:failed":
        line += f" {data['error']['type']} in {data['error'].get('stage')}"
    elif event == "file:skipped":
        line += f" {data['reason']}"
    elif event == "file:deleted":
        line += f" -{data['chunks_deleted']}"
    return line


class Recording(Reported):
    """A reporter that keeps all that is reported, progress too."""

    def file(self, name: Any, **fields: Any) -> File:
        return File(self.report, describe(name, **fields), is_retryable)

    def told(self) -> list[str]:
        return [line for event, data in self.events if event != "file:progress" and (line := in_words(event, data))]

    def stages(self, name: str) -> list[tuple[Any, ...]]:
        """The progress of a file: stage, share, how many of how many."""
        return [
            (data["processing_stage"], round(data["progress"], 2), data.get("current"), data.get("total"))
            for event, data in self.events
            if event == "file:progress" and data["file"]["name"] == name
        ]

    def last_ends(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """The last end of each file, by id."""
        return {data["file"]["id"]: (event, data) for event, data in self.events if event in ENDS}


def documents(*named: str, key: str = "source") -> Sequence[Document]:
    """Documents as `a:text`."""
    parts = [one.partition(":") for one in named]
    return [Document(page_content=text, metadata={key: source}) for source, _, text in parts]

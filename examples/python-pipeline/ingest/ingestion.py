"""One pass over a folder: what is new or changed is ingested, what is gone is removed, and all of it is reported.

What may come in: any files. What it never does: stop at a file that cannot be read, or depend on the hub being there.
"""

import hashlib
import logging
from collections import Counter
from pathlib import Path

import numpy as np
from ragpulse import File, Reporter

from ingest.embedding import Embedder, Vectors
from ingest.extraction import extract, is_supported
from ingest.folder import files_in
from ingest.splitting import Chunk, split
from ingest.stopping import Stop
from ingest.store import Document, Store

log = logging.getLogger("pipeline")

BATCH = 32
"""How many chunks are embedded at once, and so how often progress is told."""

Signature = tuple[int, int]


class Ingestion:
    """Keeps a store as a folder is. The folder must be an absolute path: files are known by it."""

    def __init__(self, folder: Path, store: Store, embedder: Embedder, reporter: Reporter, stop: Stop) -> None:
        self._folder = folder
        self._store = store
        self._embedder = embedder
        self._reporter = reporter
        self._stop = stop
        # So that a folder that is watched is not read whole every few seconds.
        self._seen: dict[Path, Signature] = {}

    def run(self) -> Counter[str]:
        """One pass. How many files ended how; those that look as they did at the last pass are not among them."""
        self._reporter.update(is_checking=True)
        found = files_in(self._folder)
        stored = self._store.documents()
        outcomes: Counter[str] = Counter()
        waiting = [path for path in found if self._looks_new(path)]
        files = [self._queue(path, position, path in stored) for position, path in enumerate(waiting, 1)]
        for path, file in zip(waiting, files, strict=True):
            self._stop.check()
            outcomes[self._ingest(path, file, stored.get(path))] += 1
        for path in stored.keys() - set(found):
            if path.is_relative_to(self._folder):
                self._remove(stored[path])
                outcomes["deleted"] += 1
        self._seen = {path: self._seen[path] for path in found if path in self._seen}
        self._reporter.update(is_checking=False)
        return outcomes

    def _looks_new(self, path: Path) -> bool:
        try:
            stat = path.stat()
        except OSError:
            return True  # Reading it fails as well, and that is reported.
        signature = (stat.st_mtime_ns, stat.st_size)
        known = self._seen.get(path) == signature
        self._seen[path] = signature
        return not known

    def _file(self, path: Path) -> File:
        # The name is what people see; the file is known by its path, over restarts and renamed parents.
        return self._reporter.file(path.relative_to(self._folder).as_posix(), path=path)

    def _queue(self, path: Path, position: int, known: bool) -> File:
        file = self._file(path)
        file.queued(queue_position=position, change=None if known else "created")
        return file

    def _ingest(self, path: Path, file: File, stored: Document | None) -> str:
        """Ingests one file. How it ended."""
        try:
            # An exception that leaves this block is reported as the file's failure, with its stage.
            with file:
                return self._steps(path, file, stored)
        except Exception as error:
            log.warning("%s failed: %s", file.name, error)
            return "failed"

    def _steps(self, path: Path, file: File, stored: Document | None) -> str:
        if not is_supported(path.suffix):
            file.skipped("unsupported", message=f"files of type {path.suffix or 'none'} are not read")
            return "skipped"
        file.progress("extraction", 0)
        content = path.read_bytes()
        document = Document(file.id, path, hashlib.sha256(content).hexdigest(), self._embedder.name)
        if document == stored:
            file.skipped("unchanged")
            return "skipped"

        pages = self._extract(file, path, content)
        chunks = self._split(file, pages)
        if not chunks:
            self._store.remove(file.id)  # What it said when it was not empty.
            file.skipped("empty", message="there is no text in it; scanned pages need OCR first")
            return "skipped"
        vectors = self._embed(file, chunks)
        file.progress("storing", current=0, total=len(chunks), unit="chunks")
        self._store.replace(document, chunks, vectors)
        file.completed(
            chunks_created=len(chunks),
            embeddings_generated=len(vectors),
            content_length=sum(map(len, pages)),
            pages=len(pages),
        )
        log.info("%s: %d chunks of %d pages", file.name, len(chunks), len(pages))
        return "completed"

    def _extract(self, file: File, path: Path, content: bytes) -> list[str]:
        total, pages = extract(path.suffix, content)
        texts: list[str] = []
        for text in pages:
            self._stop.check()
            texts.append(text)
            file.progress("extraction", current=len(texts), total=total, unit="pages")
        return texts

    def _split(self, file: File, pages: list[str]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for number, text in enumerate(pages, 1):
            chunks += split(number, text)
            file.progress("chunking", current=number, total=len(pages), unit="pages")
        return chunks

    def _embed(self, file: File, chunks: list[Chunk]) -> Vectors:
        batches: list[Vectors] = []
        for start in range(0, len(chunks), BATCH):
            self._stop.check()
            batch = chunks[start : start + BATCH]
            batches.append(self._embedder.embed([chunk.text for chunk in batch]))
            file.progress("embedding", current=start + len(batch), total=len(chunks), unit="chunks")
        return np.concatenate(batches)

    def _remove(self, document: Document) -> None:
        file = self._file(document.path)
        file.deleted(chunks_deleted=self._store.remove(document.id))
        log.info("%s is gone, and its chunks with it", file.name)

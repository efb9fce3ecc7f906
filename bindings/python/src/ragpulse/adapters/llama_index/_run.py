"""One run of a pipeline: which files it has, how far each is, and how each ends.

What may come in: what the pipeline's own objects were asked and answered, in the order in which it happened; the end
of the run from one thread while another one is still in it. What it never does: ask a store anything, leave a file
without an end, or report two ends of one file.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llama_index.core.schema import BaseNode, Document, MetadataMode

from ragpulse import AsyncReporter, File, Reporter
from ragpulse.adapters.llama_index._identity import FileIdentity, has_identity_in_metadata
from ragpulse.adapters.llama_index._stages import CHUNKING, DELETING, STORING

Identify = Callable[[BaseNode], FileIdentity]


@dataclass(frozen=True)
class Plan:
    """What a run is about to do, as far as its pipeline and its call say."""

    strategy: str | None
    """`upserts`, `upserts_and_delete` or `duplicates_only`, as it takes effect; None without a document store."""
    stages: Mapping[int, str]
    """The stage of each transformation, by its `id`."""
    first_stage: str | None
    """In which stage work begins; None where other processes work, and it cannot be known."""


class _Ours:
    """A file of the run, with all documents that belong to it."""

    def __init__(self, file: File) -> None:
        self.file: Final = file
        self.documents = 0
        self.skipped = 0
        self.unchanged = 0
        self.duplicate_of: str | None = None
        self.length = 0
        self.begun = False


class _Count:
    """How many nodes a file has in a stage, and how many are done."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0


class Run:
    """What happens in one call of `run` or `arun`."""

    def __init__(self, reporter: Reporter | AsyncReporter, identify: Identify, plan: Plan) -> None:
        self._reporter = reporter
        self._identify = identify
        self._plan = plan
        self._lock = threading.RLock()
        self._over = False
        self._stage: str | None = plan.first_stage
        self._files: dict[str, _Ours] = {}
        # Each input in order, with its file; and by every id by which a node may name where it is from.
        self._inputs: list[tuple[BaseNode, _Ours]] = []
        self._by_id: dict[str, _Ours] = {}
        self._looked_up = 0
        self._deleting: tuple[str, FileIdentity] | None = None
        self._deleted: dict[str, FileIdentity] = {}
        # Of the embeddings that are being made.
        self._embedding: list[tuple[BaseNode, _Ours | None]] = []
        self._counts: dict[str, _Count] = {}
        self._embedded = 0

    # The inputs, and which of them are new.

    def add(self, nodes: Iterable[BaseNode]) -> None:
        """These documents or nodes are inputs."""
        with self._lock:
            for node in nodes:
                known = self._identify(node)
                ours = self._files.get(known.id)
                if ours is None:
                    ours = self._files[known.id] = _Ours(self._file(known))
                ours.documents += 1
                ours.length += len(node.get_content(metadata_mode=MetadataMode.NONE))
                self._inputs.append((node, ours))
                for key in (node.id_, node.ref_doc_id):
                    if key:
                        self._by_id[key] = ours

    def complete(self) -> None:
        """There are no more inputs to come. Without a document store work begins on all of them."""
        with self._lock:
            if self._plan.strategy is None:
                for ours in self._files.values():
                    self._begin(ours)

    def found_hash(self, document: Any, known: Any) -> None:
        """The document store gave the hash that it has of a document, or none."""
        with self._lock:
            if self._over or self._plan.strategy == "duplicates_only" or self._looked_up >= len(self._inputs):
                return
            node, ours = self._inputs[self._looked_up]
            if document != (node.ref_doc_id or node.id_):
                return
            self._looked_up += 1
            if known and known == node.hash:
                ours.unchanged += 1
                self._skip(ours)
            else:
                self._begin(ours)

    def found_hashes(self, known: Any) -> None:
        """The document store gave all hashes it has, with the document of each."""
        with self._lock:
            if self._over or self._plan.strategy != "duplicates_only":
                return
            seen: dict[str, _Ours] = {}
            for node, ours in self._inputs[self._looked_up :]:
                self._looked_up += 1
                mark = node.hash
                if mark in known:
                    same = known[mark] in (node.id_, node.ref_doc_id) or has_identity_in_metadata(node)
                    ours.unchanged += same
                    ours.duplicate_of = ours.duplicate_of if same else str(known[mark])
                    self._skip(ours)
                elif mark in seen:
                    ours.duplicate_of = seen[mark].file.id
                    self._skip(ours)
                else:
                    seen[mark] = ours
                    self._begin(ours)

    # Documents that are gone.

    def deleting(self, document: Any, node: BaseNode | None) -> None:
        """A document is being removed, with what the store had of it."""
        with self._lock:
            known = FileIdentity(str(document), str(document)) if node is None else self._identify(node)
            self._deleting = (str(document), known)

    def deleted(self, document: Any) -> None:
        """A document's chunks are removed from the vector store."""
        with self._lock:
            if self._deleting is not None and self._deleting[0] == document:
                known, self._deleting = self._deleting[1], None
                self._deleted[known.id] = known

    def _tell_deleted(self) -> None:
        deleted, self._deleted = self._deleted, {}
        for known in deleted.values():
            # Else it is a file with fewer pages than it had.
            if known.id not in self._files:
                self._file(known).deleted()

    # Stages.

    def enter(self, stage: str) -> None:
        """From here on what fails, fails in this stage."""
        with self._lock:
            self._stage = stage

    def leave(self) -> None:
        """What was entered last went well."""
        with self._lock:
            self._stage = self._plan.first_stage

    def transforming(self, transformation: int, nodes: Sequence[BaseNode], *, embeds: bool) -> None:
        """A transformation, by its `id`, begins with these nodes."""
        stage = self._plan.stages.get(transformation, CHUNKING)
        with self._lock:
            if self._over:
                return
            self._stage = stage
            self._tell_deleted()
            if not self._inputs:
                # They came by an iterator, which is theirs who asked for the run.
                self.add(nodes)
            placed = [(node, self._file_of(node)) for node in nodes]
            counts = self._count(placed)
            for key in counts:
                self._begin(self._files[key])
            # Of embeddings each is told; of anything else only that it begins, and that it is done.
            self._progress(counts, stage, _unit(nodes) if embeds else None)
            self._embedding, self._counts, self._embedded = (placed, counts, 0) if embeds else ([], {}, 0)

    def embedded(self, texts: Sequence[str]) -> None:
        """So many more embeddings were made, in the order of the nodes."""
        with self._lock:
            if self._over or not texts:
                return
            batch = self._embedding[self._embedded : self._embedded + len(texts)]
            # A model may have an order of its own, or embed what are no nodes: then nobody can tell whose these are.
            if len(batch) < len(texts) or batch[0][0].get_content(metadata_mode=MetadataMode.EMBED) != texts[0]:
                self._embedding = []
                return
            self._embedded += len(batch)
            touched: dict[str, _Count] = {}
            for _, ours in batch:
                if ours is not None:
                    count = touched[ours.file.id] = self._counts[ours.file.id]
                    count.done += 1
            self._progress(touched, self._stage, _unit([batch[0][0]]))

    def transformed(self, nodes: Sequence[BaseNode]) -> None:
        """The transformation is done, and gave these nodes."""
        with self._lock:
            if self._over:
                return
            self._embedding, self._counts = [], {}
            counts = self._count([(node, self._file_of(node)) for node in nodes], done=True)
            self._progress(counts, self._stage, _unit(nodes))

    def storing(self, nodes: Sequence[BaseNode]) -> None:
        """These nodes are about to be stored."""
        with self._lock:
            if self._over:
                return
            self._tell_deleted()
            self._stage = STORING
            self._progress(self._count([(node, self._file_of(node)) for node in nodes]), STORING, _unit(nodes))

    def stored(self, nodes: Sequence[BaseNode]) -> None:
        """They are."""
        with self._lock:
            counts = self._count([(node, self._file_of(node)) for node in nodes], done=True)
            self._progress(counts, STORING, _unit(nodes))

    # The end.

    def finish(self, nodes: Sequence[BaseNode]) -> None:
        """The run went well and gave these nodes."""
        with self._lock:
            if self._over:
                return
            self._over = True
            self._tell_deleted()
            placed = [(node, self._file_of(node)) for node in nodes]
            chunks = self._count(placed)
            vectors = self._count([pair for pair in placed if pair[0].embedding is not None])
            # A node that does not say where it is from makes the number of every file a guess.
            sure = all(ours is not None for _, ours in placed)
            for key, ours in self._files.items():
                if not ours.begun and key not in chunks and self._plan.strategy is not None:
                    ours.file.skipped("unchanged")
                    continue
                self._begin(ours)
                made: dict[str, Any] = {}
                if sure:
                    made["chunks_created"] = chunks[key].total if key in chunks else 0
                    made["embeddings_generated"] = vectors[key].total if key in vectors else 0
                if ours.skipped:
                    made["documents_skipped"] = ours.skipped
                ours.file.completed(content_length=ours.length, **made)

    def fail(self, error: BaseException | str, *, type: str | None = None, retryable: bool | None = None) -> None:
        """The run did not come to its end: no file that has none does."""
        with self._lock:
            if self._over:
                return
            self._over = True
            self._tell_deleted()
            if self._deleting is not None and self._deleting[1].id not in self._files:
                gone = self._file(self._deleting[1])
                gone.failed(error, type=type, stage=DELETING, retryable=retryable)
            for ours in self._files.values():
                ours.file.failed(error, type=type, stage=self._stage, retryable=retryable)

    # What is shared.

    def _file(self, known: FileIdentity) -> File:
        return self._reporter.file(known.name, id=known.id, path=known.path, size=known.size, mime_type=known.mime_type)

    def _begin(self, ours: _Ours) -> None:
        if not ours.begun and not ours.file.ended:
            ours.begun = True
            ours.file.processing(self._stage)

    def _skip(self, ours: _Ours) -> None:
        """One of its documents is left out; it is, when they all are."""
        ours.skipped += 1
        if ours.skipped == ours.documents:
            if ours.unchanged or ours.duplicate_of is None:
                ours.file.skipped("unchanged")
            else:
                ours.file.skipped("duplicate", duplicate_of=ours.duplicate_of)

    def _file_of(self, node: BaseNode) -> _Ours | None:
        by_id = self._by_id.get(node.ref_doc_id or node.id_) or self._by_id.get(node.id_)
        return by_id or self._files.get(self._identify(node).id)

    @staticmethod
    def _count(placed: Iterable[tuple[BaseNode, _Ours | None]], *, done: bool = False) -> dict[str, _Count]:
        counts: dict[str, _Count] = {}
        for _, ours in placed:
            if ours is not None:
                count = counts.setdefault(ours.file.id, _Count())
                count.total += 1
                count.done += done
        return counts

    def _progress(self, counts: Mapping[str, _Count], stage: str | None, unit: str | None) -> None:
        for key, count in counts.items():
            file = self._files[key].file
            if unit is None:
                file.progress(stage, 0.0)
            else:
                file.progress(stage, current=count.done, total=count.total, unit=unit)


def _unit(nodes: Sequence[BaseNode]) -> str:
    return "documents" if nodes and isinstance(nodes[0], Document) else "chunks"

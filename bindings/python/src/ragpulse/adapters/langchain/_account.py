"""The account of one indexing run: what its wrappers see, by file, and what is reported of it.

langchain-core reads a batch of documents, hashes them, asks for their source ids, asks the record manager which are
known, writes the others to the store, records all, and (`incremental`) removes what is outdated of their sources. The
next batch is read only then: so a batch is through when the next document is asked for. After the last one it removes
what is outdated (`full`, `scoped_full`).

A file is through when its documents are and another file's were read after them, or none are left. In the modes that
clean up at the end it waits for that, if the record manager has something outdated of it.

What may come in: calls in this order; where others come, the report may be poorer. What it never does: raise, wait for
the hub, keep a document, or leave a file open when the run is over.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.indexing import DocumentIndex, RecordManager
from langchain_core.vectorstores import VectorStore

from ragpulse import AsyncReporter, Reporter
from ragpulse.adapters.langchain._ask import Ask, Steps, quietly
from ragpulse.adapters.langchain._evidence import document_of, file_of, stage_of
from ragpulse.adapters.langchain._source import WITHOUT, Source, name_of

log = logging.getLogger("ragpulse")

SourceIdKey = str | Callable[[Document], str] | None


class _Phase(Enum):
    """What the run is at."""

    SETUP = auto()
    READING = auto()
    HASHING = auto()
    RECORDING = auto()
    ADDING = auto()
    CLEANING = auto()


_STAGES: Final = {_Phase.READING: "extraction", _Phase.HASHING: "indexing", _Phase.CLEANING: "cleanup"}
"""The stage that a failure in a phase belongs to, unless its exception tells it; of the others: storing."""


class Account:
    """What one run did so far."""

    def __init__(self, reporter: Reporter | AsyncReporter, source_id_key: SourceIdKey, cleanup: str | None) -> None:
        self._reporter: Final = reporter
        self._source_id_key: Final = source_id_key
        self._cleanup: Final = cleanup
        self._cleans_at_end: Final = cleanup in ("full", "scoped_full")
        self.records: RecordManager | None = None
        """Who can be asked what is outdated."""
        self.store: VectorStore | DocumentIndex | None = None
        """Who can be asked where documents come from."""
        self._begun: float | None = None
        self._phase = _Phase.SETUP
        self._concerned: list[Source] = []
        """Whom a failure that comes now would be about."""
        self._sources: dict[str, Source] = {}
        self._open: dict[str, Source] = {}
        self._last: Source | None = None
        self._is_exhausted = False
        self._has_left = False
        """Whether a file turned out to be whole whose documents are through."""
        self._fresh: dict[str, Source] = {}
        """Of which documents were read since the last batch was through."""
        self._batch: dict[str, Source] = {}
        """By the keys of its documents."""
        self._known: dict[str, bool] = {}
        self._deleting: dict[str, str | None] = {}
        self._more_to_delete = False
        self._removed: dict[str, int] = {}
        """Documents of sources that are not in this run."""
        self._unattributed = 0

    # Reading.

    @quietly
    def reading(self) -> None:
        """The next document is asked for."""
        self._phase = _Phase.READING

    @quietly
    def has_read(self, document: Document) -> None:
        """It was read."""
        self._phase = _Phase.HASHING
        source = self._source(self._key_of(document))
        if source.origin is None and (origin := document.metadata.get("source")) is not None:
            source.origin = str(origin)
        self._leave(source)
        self._last = self._fresh[source.key] = source
        source.was_read(len(document.page_content))

    @quietly
    def exhausted(self) -> None:
        """There are no more."""
        self._is_exhausted = True
        self._phase = _Phase.HASHING
        self._leave(None)

    def _leave(self, following: Source | None) -> None:
        """The file that was read last is whole, if what follows is another one."""
        last = self._last
        if last is not None and last is not following and last.is_open and last.key not in self._fresh:
            self._has_left = True

    def assigned(self, document: Document, source_id: Any) -> None:
        """A document of the batch, hashed, and the id of its source. It may raise; who calls it takes care."""
        # What it was read as, where the framework has no id.
        source = self._source(self._key_of(document) if source_id is None else str(source_id))
        source.group = source_id
        source.assigned += 1
        if document.id is not None:
            self._batch[document.id] = source

    # Storing.

    @quietly
    def began(self, time: float) -> None:
        """What was recorded before this time and not since is outdated."""
        if self._begun is None:
            self._begun = time

    @quietly
    def recording(self) -> None:
        """The record manager is asked or told something about the batch."""
        self._phase, self._concerned = _Phase.RECORDING, _distinct(self._batch.values())

    @quietly
    def known(self, keys: Sequence[str], found: Sequence[bool]) -> None:
        """Which documents of the batch are recorded already."""
        self._known = dict(zip(keys, found, strict=False))

    @quietly
    def recorded(self, keys: Sequence[str], group_ids: Sequence[str | None] | None) -> None:
        """They are recorded. Without group ids they were known before, and are let be."""
        for key in keys if group_ids is None else ():
            if key in self._batch:
                self._batch[key].unchanged += 1

    @quietly
    def adding(self, documents: Sequence[Document], *, embeds: bool = True) -> None:
        """They are given to the store."""
        sources = _distinct(self._batch.get(document.id or "") for document in documents)
        self._phase, self._concerned = _Phase.ADDING, sources
        for source in sources:
            source.progress("embedding" if embeds else "storing", is_whole=self._is_whole(source))

    @quietly
    def added(self, documents: Sequence[Document], response: Any = None, *, embeds: bool = True) -> None:
        """The store took them, but for those that its response says it did not."""
        self._phase = _Phase.RECORDING
        failed = response.get("failed") if isinstance(response, Mapping) else None
        refused = set(failed or ())
        for document in documents:
            source = self._batch.get(document.id or "")
            if source is None:
                continue
            if self._known.get(document.id or ""):
                source.updated += 1
            else:
                source.created += 1
            source.vectors += embeds
            source.refused += document.id in refused
        for source in self._concerned:
            source.progress("storing", is_whole=self._is_whole(source))

    # Cleaning up.

    def cleaning(self) -> Steps:
        """The record manager is asked what is outdated."""
        if self._cleans_at_end:
            # All was read, also where nobody said so.
            self._is_exhausted = True
            yield from self.settle()
        self._phase = _Phase.CLEANING
        self._concerned = list(self._open.values()) if self._cleans_at_end else _distinct(self._batch.values())

    @quietly
    def listed(self, keys: Sequence[str], limit: int | None) -> None:
        """So much is outdated, and perhaps more."""
        self._more_to_delete = limit is not None and len(keys) >= limit

    def deleting(self, ids: Sequence[str] | None) -> Steps:
        """They are to be deleted from the store: whose they are can be told now, or never."""
        self._deleting = dict.fromkeys(ids or ())
        if self.store is not None and self._deleting:
            store, wanted = self.store, list(self._deleting)
            if isinstance(store, DocumentIndex):
                documents = yield Ask(lambda: store.get(wanted), lambda: store.aget(wanted))
            else:
                documents = yield Ask(lambda: store.get_by_ids(wanted), lambda: store.aget_by_ids(wanted))
            for document in documents or ():
                if document.id in self._deleting:
                    self._deleting[document.id] = self._key_of(document)
        for source in list(self._concerned):
            if all(self._deleting.values()):
                break
            for key in (yield from self._outdated([source])) or ():
                if key in self._deleting:
                    self._deleting[key] = source.key
        if all(self._deleting.values()):
            self._concerned = [self._of(key) for key in dict.fromkeys(self._deleting.values()) if key]

    @quietly
    def deleted(self, keys: Sequence[str]) -> None:
        """They are deleted, from the store and from the records."""
        for key in keys:
            owner = self._deleting.get(key)
            if owner is None:
                self._unattributed += 1
            elif owner in self._sources:
                self._source(owner).deleted += 1
            else:
                self._removed[owner] = self._removed.get(owner, 0) + 1
        self._deleting = {}
        self._concerned = []

    # Ends.

    @property
    def owes_ends(self) -> bool:
        """Whether `settle` has something to do."""
        return self._has_left or bool(self._batch)

    def settle(self) -> Steps:
        """The batch is through, if there was one: ends the files that are."""
        self._has_left = False
        if self._batch:
            self._batch, self._known, self._fresh = {}, {}, {}
        through = [one for one in self._open.values() if one.key not in self._fresh and not one.waits_for_cleanup]
        done = [one for one in through if self._is_whole(one)]
        if self._cleans_at_end:
            yield from self._find_outdated([one for one in through if not one.is_clean], done)
        for source in done:
            if not source.waits_for_cleanup:
                self._end(source)

    @quietly
    def finish(self, result: Mapping[str, int] | None) -> None:
        """The run is over: all went through."""
        for source in list(self._open.values()):
            self._end(source)
        for key, number in self._removed.items():
            self._file(key).deleted(chunks_deleted=number)
        if result is not None:
            more = {"cleanup": self._cleanup, "num_deleted_of_unknown_source": self._unattributed}
            self._reporter.report("x:langchain.indexed", {**result, **more})

    @quietly
    def fail(self, error: BaseException) -> None:
        """The run is over by an error: it is told of the files that it is about, and the others end as they stand."""
        concerned = self._culprits(error) or []
        stage = self._stage(error)
        for source in concerned:
            self._open.pop(source.key, None)
            self._fail(source, error, stage)
        for source in list(self._open.values()):
            if self._is_done(source):
                self._end(source)
            else:
                self._open.pop(source.key, None)
                self._interrupt(source, error)
        for key, number in self._removed.items():
            if key not in {source.key for source in concerned}:
                self._removed_in_part(key, number, error)

    @quietly
    def _culprits(self, error: BaseException) -> list[Source]:
        if not isinstance(error, Exception):
            # The end of the task or the program is about all that it cuts off.
            return list(self._open.values())
        if self._phase is _Phase.READING:
            return self._being_read(file_of(error))
        if self._phase is _Phase.HASHING:
            document = document_of(error)
            return list(self._fresh.values()) if document is None else [self._source(self._key_of(document))]
        return [] if self._phase is _Phase.SETUP else self._concerned

    def _being_read(self, path: str | None) -> list[Source]:
        """Who was being read: the file that the loader had open; else the one of which a document came last."""
        if path is None:
            return [] if self._last is None or self._is_exhausted else [self._last]
        for source in self._sources.values():
            if path in (source.key, source.origin):
                break
        else:
            source = self._source(path)
        self._last = source
        return [source]

    def _is_whole(self, source: Source) -> bool:
        """Whether no more documents of it are to be expected."""
        return self._is_exhausted or source is not self._last

    def _is_done(self, source: Source) -> bool:
        """Whether nothing of it is left undone by a run that ends now."""
        waits_to_be_stored = self._phase in (_Phase.READING, _Phase.HASHING) and source.key in self._fresh
        if waits_to_be_stored or source.handled < source.assigned or not self._is_whole(source):
            return False
        if self._cleanup is None or source.is_clean:
            return True
        # What is left of an incremental clean-up is that of the sources whose outdated documents are known, or more.
        is_clean = source.key not in self._fresh or (self._phase is _Phase.CLEANING and not self._more_to_delete)
        return self._cleanup == "incremental" and is_clean

    def _stage(self, error: BaseException) -> str:
        default = _STAGES.get(self._phase, "storing")
        return quietly(stage_of)(error, default) or default

    @quietly
    def _end(self, source: Source) -> None:
        self._open.pop(source.key, None)
        source.end()

    @quietly
    def _fail(self, source: Source, error: BaseException, stage: str) -> None:
        source.fail(error, stage)

    @quietly
    def _interrupt(self, source: Source, error: BaseException) -> None:
        source.interrupt(error)

    @quietly
    def _removed_in_part(self, key: str, number: int, error: BaseException) -> None:
        message = f"{number} of its documents were removed before the run ended: {error.__class__.__name__}"
        source = self._of(key)
        source.begin("cleanup")
        source.file.failed(message, type="Interrupted", stage="cleanup", retryable=True)

    # Whose a document is.

    def _key_of(self, document: Document) -> str:
        told = self._told(document)
        if told is None:
            # What loaders write there by convention.
            told = document.metadata.get("source")
        return WITHOUT if told is None or str(told) == "" else str(told)

    def _told(self, document: Document) -> Any:
        key = self._source_id_key
        if isinstance(key, str):
            return document.metadata.get(key)
        if not callable(key):
            return None
        try:
            # A copy: what it does to a document is done when langchain-core calls it.
            return key(Document(id=document.id, page_content=document.page_content, metadata=dict(document.metadata)))
        except Exception:
            log.debug("source_id_key failed", exc_info=True)
            return None

    def _source(self, key: str) -> Source:
        """A source of this run, which is open from now on."""
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = self._of(key)
        if not source.is_open:
            self._open[key] = source
            source.waits_for_cleanup = False
            source.begin()
        return source

    def _of(self, key: str) -> Source:
        return self._sources.get(key) or Source(key, self._file(key))

    def _file(self, key: str) -> Any:
        name = name_of(key)
        return self._reporter.file(name, id=key, path=key if name != key else None)

    # What is outdated.

    def _find_outdated(self, unknown: list[Source], done: list[Source]) -> Steps:
        """Finds out who waits for the clean-up. One question, unless there is something."""
        if not unknown:
            return
        some = yield from self._outdated(unknown, 1)
        for source in unknown:
            # Once nothing of it is outdated, nothing will be.
            source.is_clean = some == []
        for source in done:
            if source.is_clean:
                continue
            if some is None or len(unknown) == 1 or (yield from self._outdated([source], 1)) != []:
                source.waits_for_cleanup = True

    def _outdated(self, sources: list[Source], limit: int | None = None) -> Any:
        """The keys of outdated documents of some sources; None if that cannot be told."""
        records, groups, before = self.records, [source.group for source in sources], self._begun
        if records is None or before is None or not groups or None in groups:
            return None
        return (
            yield Ask(
                lambda: records.list_keys(group_ids=groups, before=before, limit=limit),
                lambda: records.alist_keys(group_ids=groups, before=before, limit=limit),
            )
        )


def _distinct(sources: Any) -> list[Source]:
    return list({id(source): source for source in sources if source is not None}.values())

"""One indexing run, for those who call langchain-core's `index` or `aindex` themselves.

What may come in: what these functions take. What it never does: change what they give or raise.
"""

import logging
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar, cast

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.indexing import DocumentIndex, RecordManager
from langchain_core.vectorstores import VectorStore

from ragpulse import AsyncReporter, Reporter
from ragpulse.adapters.langchain._account import Account, SourceIdKey
from ragpulse.adapters.langchain._documents import AsyncWatchedDocuments, WatchedDocuments, WatchedLoader
from ragpulse.adapters.langchain._wrappers import WatchedIndex, WatchedRecords, watched_store

log = logging.getLogger("ragpulse")

Self = TypeVar("Self", bound="IndexingRun")


class IndexingRun:
    """The wrappers for one call of langchain-core's `index` or `aindex`, in whose `with` block it is made.

    ```python
    with IndexingRun(pipeline, source_id_key="source", cleanup="full") as run:
        run.result = langchain_core.indexing.index(
            run.source(loader),
            run.record_manager(record_manager),
            run.vector_store(vector_store),
            source_id_key=run.source_id_key,
            cleanup="full",
        )
    ```

    - `reporter`: whom it reports to.
    - `source_id_key`, `cleanup`: what the call is made with. Where there is no `source_id_key`, a file is what the
      documents have as `source` in their metadata.

    A call that is made without one of the wrappers is reported more poorly, but not wrongly. A run serves one call.
    """

    def __init__(
        self, reporter: Reporter | AsyncReporter, *, source_id_key: SourceIdKey = None, cleanup: str | None = None
    ) -> None:
        self._account = Account(reporter, source_id_key, cleanup)
        self._source_id_key = source_id_key
        self._cleanup = cleanup
        self.result: Mapping[str, int] | None = None
        """What the call gave; reported at the end where it is set."""

    def source(self, documents: BaseLoader | Iterable[Document]) -> BaseLoader | Iterable[Document]:
        """A loader or an iterable, for `index`."""
        if isinstance(documents, BaseLoader):
            return WatchedLoader(self._account, documents)
        return WatchedDocuments(self._account, documents)

    def asource(self, documents: BaseLoader | Iterable[Document] | AsyncIterable[Document]) -> Any:
        """A loader, an iterable or an async one, for `aindex`."""
        if isinstance(documents, BaseLoader):
            return WatchedLoader(self._account, documents, is_async=True)
        return AsyncWatchedDocuments(self._account, documents)

    def record_manager(self, records: RecordManager) -> RecordManager:
        """A record manager."""
        self._account.records = records
        return WatchedRecords(self._account, records)

    def vector_store(self, store: VectorStore | DocumentIndex) -> VectorStore | DocumentIndex:
        """A vector store or a document index. What is neither is given back, for langchain-core to refuse."""
        if isinstance(store, VectorStore):
            self._account.store = store
            return watched_store(self._account, store)
        if isinstance(store, DocumentIndex):
            self._account.store = store
            return WatchedIndex(self._account, store)
        return store

    @property
    def source_id_key(self) -> SourceIdKey:
        """What to give as `source_id_key`: it does what the own one does."""
        key = self._source_id_key
        if key is None:
            # Where langchain-core insists on one, it is to miss it.
            return None if self._cleanup in ("incremental", "scoped_full") else self._assigner(lambda _: None)
        if isinstance(key, str):
            name = key
            return self._assigner(lambda document: document.metadata[name])
        return self._assigner(key) if callable(key) else key

    def _assigner(self, assign: Callable[[Document], Any]) -> Callable[[Document], str]:
        def assigned(document: Document) -> str:
            source_id = assign(document)
            try:
                self._account.assigned(document, source_id)
            except Exception:
                log.exception("a document could not be reported")
            return cast("str", source_id)

        return assigned

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._account.finish(self.result)
        else:
            self._account.fail(error)

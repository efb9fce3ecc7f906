"""`index` and `aindex`, as langchain-core has them, and reporting.

What may come in: what langchain-core's functions take. What they never do: give or raise anything else than these.
"""

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from langchain_core import indexing
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.indexing import DocumentIndex, IndexingResult, RecordManager
from langchain_core.vectorstores import VectorStore

from ragpulse import AsyncReporter, Reporter
from ragpulse.adapters.langchain._account import SourceIdKey
from ragpulse.adapters.langchain._run import IndexingRun

log = logging.getLogger("ragpulse")

Cleanup = Literal["incremental", "full", "scoped_full"] | None
KeyEncoder = Literal["sha1", "sha256", "sha512", "blake2b"] | Callable[[Document], str]


def index(
    docs_source: BaseLoader | Iterable[Document],
    record_manager: RecordManager,
    vector_store: VectorStore | DocumentIndex,
    *,
    batch_size: int = 100,
    cleanup: Cleanup = None,
    source_id_key: SourceIdKey = None,
    cleanup_batch_size: int = 1_000,
    force_update: bool = False,
    key_encoder: KeyEncoder = "sha1",
    upsert_kwargs: dict[str, Any] | None = None,
    reporter: Reporter | AsyncReporter | None = None,
) -> IndexingResult:
    """As `langchain_core.indexing.index`; what it does to each source file is reported.

    `reporter`: whom it is reported to. Default: a reporter of this process for the pipeline that `RAG_PIPELINE_ID` and
    `RAG_SERVICE` name, at the hub that `RAGPULSE_URL` and `RAGPULSE_TOKEN` name; without these names nothing is
    reported, which is logged once.
    """
    options: dict[str, Any] = {"batch_size": batch_size, "cleanup": cleanup, "cleanup_batch_size": cleanup_batch_size}
    options |= {"force_update": force_update, "key_encoder": key_encoder, "upsert_kwargs": upsert_kwargs}
    with _run(reporter, source_id_key, cleanup) as run:
        if run is None:
            return indexing.index(docs_source, record_manager, vector_store, source_id_key=source_id_key, **options)
        result = indexing.index(
            run.source(docs_source),
            run.record_manager(record_manager),
            run.vector_store(vector_store),
            source_id_key=run.source_id_key,
            **options,
        )
        run.result = dict(result)  # type: ignore[arg-type]
        return result


async def aindex(
    docs_source: BaseLoader | Iterable[Document] | AsyncIterator[Document],
    record_manager: RecordManager,
    vector_store: VectorStore | DocumentIndex,
    *,
    batch_size: int = 100,
    cleanup: Cleanup = None,
    source_id_key: SourceIdKey = None,
    cleanup_batch_size: int = 1_000,
    force_update: bool = False,
    key_encoder: KeyEncoder = "sha1",
    upsert_kwargs: dict[str, Any] | None = None,
    reporter: Reporter | AsyncReporter | None = None,
) -> IndexingResult:
    """As `langchain_core.indexing.aindex`; what it does to each source file is reported. See `index`."""
    options: dict[str, Any] = {"batch_size": batch_size, "cleanup": cleanup, "cleanup_batch_size": cleanup_batch_size}
    options |= {"force_update": force_update, "key_encoder": key_encoder, "upsert_kwargs": upsert_kwargs}
    with _run(reporter, source_id_key, cleanup) as run:
        if run is None:
            return await indexing.aindex(
                docs_source, record_manager, vector_store, source_id_key=source_id_key, **options
            )
        result = await indexing.aindex(
            run.asource(docs_source),
            run.record_manager(record_manager),
            run.vector_store(vector_store),
            source_id_key=run.source_id_key,
            **options,
        )
        run.result = dict(result)  # type: ignore[arg-type]
        return result


def _run(
    reporter: Reporter | AsyncReporter | None, source_id_key: SourceIdKey, cleanup: Cleanup
) -> AbstractContextManager[IndexingRun | None]:
    reporter = reporter or _default()
    if reporter is None:
        return nullcontext()
    return IndexingRun(reporter, source_id_key=source_id_key, cleanup=cleanup)


_lock = threading.Lock()
_made: Reporter | None = None
_was_told = False


def _default() -> Reporter | None:
    """The reporter of the pipeline that the environment names: one in a process."""
    global _made, _was_told
    with _lock:
        if _made is None or _made.status.connection == "closed":
            try:
                _made = Reporter()
            except Exception as error:
                if not _was_told:
                    _was_told = True
                    log.error("nothing that is indexed is reported to a hub: %s", error)
        return _made

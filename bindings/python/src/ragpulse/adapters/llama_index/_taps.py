"""Listening to what a pipeline holds, while it runs: its readers, document store, transformations and vector store.

LlamaIndex has no spans for the stores, for what comes out of the cache, or for every asynchronous transformation. So
for the time of a run each of these objects stands behind a proxy, which passes every call on and tells the run of some.
Which run it is the instrumentation knows: the span that is active where the pipeline makes the call.

What may come in: several runs of one pipeline at a time. What it never does: change an argument, a result or an error;
be seen by a worker process, which gets the objects themselves; stay in the pipeline after its last run.
"""

import contextlib
import copy
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import wrapt
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation.span import active_span_id

from ragpulse.adapters.llama_index._run import Run
from ragpulse.adapters.llama_index._stages import DEDUPLICATION, EXTRACTION, STORING, is_embedding

log = logging.getLogger("ragpulse")

runs: Final[dict[str, list[Run]]] = {}
"""The runs that are under way, by the span of the call: one for each observer."""

_Table = Mapping[str, tuple[str, str | None]]
"""Of each method that is listened to: in which stage it is, and what a run is told after it."""

transforming: Final[ContextVar[Sequence[Run]]] = ContextVar("ragpulse_llama_index_transforming", default=())
"""The runs of which a transformation is at work here."""


def tell(to: Sequence[Run], what: str, *arguments: Any, **named: Any) -> None:
    """Tells runs something. Never raises."""
    for run in to:
        try:
            getattr(run, what)(*arguments, **named)
        except Exception:
            log.exception("a run of LlamaIndex goes on, but something of it is not reported")


def _here() -> Sequence[Run]:
    span = active_span_id.get()
    return runs.get(span, ()) if span is not None else ()


if TYPE_CHECKING:
    _Proxy = wrapt.ObjectProxy[Any]
else:
    _Proxy = wrapt.ObjectProxy


class _Tap(_Proxy):
    """Passes everything on. Pickled or copied it is what it stands before."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)

    def __copy__(self) -> Any:
        return copy.copy(self.__wrapped__)

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.deepcopy(self.__wrapped__, memo)


class _Reader(_Tap):
    """Tells what is read."""

    def __init__(self, reader: Any, *, last: bool) -> None:
        super().__init__(reader)
        self._self_last = last

    def read(self) -> Any:
        told = _here()
        tell(told, "enter", EXTRACTION)
        documents = self.__wrapped__.read()
        tell(told, "leave")
        tell(told, "add", documents)
        if self._self_last:
            tell(told, "complete")
        return documents


class _Transformation(_Tap):
    """Tells what goes in and comes out."""

    def __call__(self, nodes: Any, **options: Any) -> Any:
        with self._at_work(nodes) as told:
            result = self.__wrapped__(nodes, **options)
        tell(told, "transformed", result)
        return result

    async def acall(self, nodes: Any, **options: Any) -> Any:
        with self._at_work(nodes) as told:
            result = await self.__wrapped__.acall(nodes, **options)
        tell(told, "transformed", result)
        return result

    @contextlib.contextmanager
    def _at_work(self, nodes: Any) -> Iterator[Sequence[Run]]:
        told = _here()
        inner = self.__wrapped__
        tell(told, "transforming", id(inner), nodes, embeds=is_embedding(inner))
        before = transforming.set(told)
        try:
            yield told
        finally:
            transforming.reset(before)


_DOCSTORE: Final[_Table] = {
    "get_document_hash": (DEDUPLICATION, "found_hash"),
    "get_all_document_hashes": (DEDUPLICATION, "found_hashes"),
    "set_document_hash": (DEDUPLICATION, None),
    "delete_ref_doc": (DEDUPLICATION, None),
    "set_document_hashes": (STORING, None),
    "add_documents": (STORING, None),
}
_DOCSTORE_ASYNC: Final[_Table] = {
    "aget_document_hash": (DEDUPLICATION, "found_hash"),
    "aget_all_document_hashes": (DEDUPLICATION, "found_hashes"),
    "aset_document_hash": (DEDUPLICATION, None),
    "adelete_ref_doc": (DEDUPLICATION, None),
    "aset_document_hashes": (STORING, None),
    "async_add_documents": (STORING, None),
}
_VECTOR_STORE: Final[_Table] = {"add": (STORING, "stored"), "delete": (DEDUPLICATION, "deleted")}
_VECTOR_STORE_ASYNC: Final[_Table] = {"async_add": (STORING, "stored"), "adelete": (DEDUPLICATION, "deleted")}


class _Store(_Tap):
    """Tells of some methods: before the call in which stage it is, after it what it was asked and answered."""

    _self_sync: _Table
    _self_async: _Table

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.__wrapped__, name)
        for table, made in ((self._self_sync, _called), (self._self_async, _awaited)):
            if name in table:
                told = _here()
                return made(method, told, *table[name]) if told else method
        return method


class _Docstore(_Store):
    """The document store."""

    _self_sync = _DOCSTORE
    _self_async = _DOCSTORE_ASYNC

    def delete_document(self, doc_id: str, *arguments: Any, **options: Any) -> Any:
        told, known = _here(), None
        if told:
            # Which file it is of is known by nobody else, and soon by nobody.
            with contextlib.suppress(Exception):
                known = self.__wrapped__.get_document(doc_id, raise_error=False)
            tell(told, "enter", DEDUPLICATION)
            tell(told, "deleting", doc_id, known)
        return self.__wrapped__.delete_document(doc_id, *arguments, **options)

    async def adelete_document(self, doc_id: str, *arguments: Any, **options: Any) -> Any:
        told, known = _here(), None
        if told:
            with contextlib.suppress(Exception):
                known = await self.__wrapped__.aget_document(doc_id, raise_error=False)
            tell(told, "enter", DEDUPLICATION)
            tell(told, "deleting", doc_id, known)
        return await self.__wrapped__.adelete_document(doc_id, *arguments, **options)


class _VectorStore(_Store):
    """The vector store."""

    _self_sync = _VECTOR_STORE
    _self_async = _VECTOR_STORE_ASYNC


def _before(told: Sequence[Run], stage: str, after: str | None, arguments: Sequence[Any]) -> None:
    if after == "stored" and arguments:
        tell(told, "storing", arguments[0])
    else:
        tell(told, "enter", stage)


def _after(told: Sequence[Run], stage: str, after: str | None, arguments: Sequence[Any], result: Any) -> None:
    if stage == DEDUPLICATION:
        tell(told, "leave")
    if after in ("found_hash", "deleted", "stored") and arguments:
        tell(told, after, arguments[0], *([result] if after == "found_hash" else []))
    elif after == "found_hashes":
        tell(told, after, result)


def _called(method: Callable[..., Any], told: Sequence[Run], stage: str, after: str | None) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        _before(told, stage, after, arguments)
        result = method(*arguments, **options)
        _after(told, stage, after, arguments, result)
        return result

    return call


def _awaited(method: Callable[..., Any], told: Sequence[Run], stage: str, after: str | None) -> Callable[..., Any]:
    async def call(*arguments: Any, **options: Any) -> Any:
        _before(told, stage, after, arguments)
        result = await method(*arguments, **options)
        _after(told, stage, after, arguments, result)
        return result

    return call


class _Attached:
    """What was in a pipeline before, and what is there now, while it runs."""

    def __init__(self, pipeline: IngestionPipeline) -> None:
        self.count = 0
        held = vars(pipeline)
        self.before = {name: held.get(name) for name in ("readers", "docstore", "transformations", "vector_store")}
        readers = pipeline.readers or []
        self.now: dict[str, Any] = {
            "transformations": [_Transformation(transformation) for transformation in pipeline.transformations]
        }
        if readers:
            self.now["readers"] = [_Reader(reader, last=n == len(readers)) for n, reader in enumerate(readers, 1)]
        if pipeline.docstore is not None:
            self.now["docstore"] = _Docstore(pipeline.docstore)
        if pipeline.vector_store is not None:
            self.now["vector_store"] = _VectorStore(pipeline.vector_store)


_attached: dict[int, _Attached] = {}
_lock = threading.Lock()


def attach(pipeline: IngestionPipeline) -> None:
    """Begins to listen to what a pipeline holds, if nobody does yet. It is not validated or counted as a change."""
    with _lock:
        attached = _attached.get(id(pipeline))
        if attached is None:
            attached = _attached[id(pipeline)] = _Attached(pipeline)
            vars(pipeline).update(attached.now)
        attached.count += 1


def detach(pipeline: IngestionPipeline) -> None:
    """Ends that, if nobody else does it. What the pipeline was given meanwhile stays."""
    with _lock:
        attached = _attached.get(id(pipeline))
        if attached is None:
            return
        attached.count -= 1
        if attached.count == 0:
            del _attached[id(pipeline)]
            held = vars(pipeline)
            for name, tap in attached.now.items():
                if held.get(name) is tap:
                    held[name] = attached.before[name]


def inner(maybe_tap: Any) -> Any:
    """What a proxy stands before; anything else is itself."""
    # A run that begins beside another one finds the proxies of that one.
    return maybe_tap.__wrapped__ if issubclass(type(maybe_tap), _Tap) else maybe_tap

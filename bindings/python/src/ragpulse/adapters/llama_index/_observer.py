"""Observing a pipeline: its runs are found by the spans and events of LlamaIndex's instrumentation.

What may come in: runs of the pipeline from any number of threads and tasks. What it never does: keep a pipeline alive,
raise once it is made, or leave a handler with LlamaIndex after it was closed or its pipeline is gone.
"""

import inspect
import logging
import re
import threading
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, SparseEmbeddingEndEvent
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.schema import TransformComponent
from pydantic import PrivateAttr

from ragpulse import AsyncReporter, Reporter
from ragpulse.adapters.llama_index import _taps
from ragpulse.adapters.llama_index._identity import identify as identify_by_metadata
from ragpulse.adapters.llama_index._run import Identify, Plan, Run
from ragpulse.adapters.llama_index._stages import stages_of

log = logging.getLogger("ragpulse")

_CALL: Final = re.compile(r"\.a?run-")
"""In the id of a span of `run` or `arun`."""


def observe(
    pipeline: IngestionPipeline,
    reporter: Reporter | AsyncReporter | None = None,
    *,
    identify: Identify = identify_by_metadata,
    stages: Mapping[type[TransformComponent], str] | None = None,
) -> "Observer":
    """Reports what a pipeline does to each file, until the `with` block ends, or `close`.

    ```python
    with Reporter("my-docs", "local_files") as reporter, observe(pipeline, reporter):
        pipeline.run(documents=documents)
    ```

    - `reporter`: where to; it stays the caller's to close. Default: one of its own, for the pipeline that
      `RAG_PIPELINE_ID` and `RAG_SERVICE` name (a `ValueError` where they do not), closed together with the observer.
    - `identify`: the file of a document or node. Default: by `file_path`, the document's id, or `file_name`.
    - `stages`: the stage of transformations of a kind, such as `{OcrTransform: "extraction"}`.
    """
    return Observer(pipeline, reporter, identify, stages or {})


class Observer:
    """A pipeline that is observed. Made by `observe`."""

    def __init__(
        self,
        pipeline: IngestionPipeline,
        reporter: Reporter | AsyncReporter | None,
        identify: Identify,
        stages: Mapping[type[TransformComponent], str],
    ) -> None:
        self._own: Final = Reporter() if reporter is None else None
        self._reporter: Final = reporter or self._own
        self._identify = identify
        self._stages = dict(stages)
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[IngestionPipeline, Run]] = {}
        self._spans = _Spans(self)
        self._events = _Events(self)
        # Runs are told where they are made; embeddings wherever a model is from.
        self._run_dispatcher = get_dispatcher(IngestionPipeline.__module__)
        self._root_dispatcher = get_dispatcher()
        self._pipeline = weakref.ref(pipeline)
        self._run_dispatcher.add_span_handler(self._spans)
        self._root_dispatcher.add_event_handler(self._events)
        self._finalizer = weakref.finalize(pipeline, self._remove)

    def close(self) -> None:
        """Observes no more. Files of runs that are still under way end as failed, `Interrupted`."""
        self._finalizer.detach()
        self._remove()
        for span in list(self._runs):
            what = "the pipeline was observed no more before its run was over"
            self.end(span, "fail", what, type="Interrupted", retryable=True)
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> "Observer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _remove(self) -> None:
        with self._lock:
            # New lists, since somebody may be going through the old ones.
            spans, events = self._run_dispatcher, self._root_dispatcher
            spans.span_handlers = [handler for handler in spans.span_handlers if handler is not self._spans]
            events.event_handlers = [handler for handler in events.event_handlers if handler is not self._events]

    # What the handlers tell.

    def is_run(self, span: str, instance: Any) -> bool:
        """Whether a span is a call of `run` or `arun` of this pipeline."""
        return instance is not None and instance is self._pipeline() and _CALL.search(span) is not None

    def begin(self, span: str, pipeline: IngestionPipeline, arguments: Mapping[str, Any]) -> None:
        """A run begins."""
        reporter = self._reporter
        assert reporter is not None
        run = Run(reporter, self._identify, self._plan(pipeline, arguments))
        # Before the inputs are told: from here on there is an end to every file.
        self._runs[span] = (pipeline, run)
        _taps.attach(pipeline)
        _taps.runs.setdefault(span, []).append(run)
        inputs = (arguments.get("documents"), arguments.get("nodes"), pipeline.documents)
        # What can be gone through once only is left to the pipeline.
        _taps.tell([run], "add", [node for part in inputs if isinstance(part, Sequence) for node in part])
        if not pipeline.readers:
            _taps.tell([run], "complete")

    def _plan(self, pipeline: IngestionPipeline, arguments: Mapping[str, Any]) -> Plan:
        stages = stages_of([_taps.inner(one) for one in pipeline.transformations], self._stages)
        strategy: str | None = None
        if pipeline.docstore is not None:
            alone = pipeline.vector_store is None
            strategy = (DocstoreStrategy.DUPLICATES_ONLY if alone else pipeline.docstore_strategy).value
        in_processes = (arguments.get("num_workers") or 0) > 1
        return Plan(strategy, stages, None if in_processes else next(iter(stages.values()), None))

    def end(self, span: str, how: str, *arguments: Any, **named: Any) -> None:
        """A run ends: by `finish` or `fail`."""
        with self._lock:
            pipeline, run = self._runs.pop(span, (None, None))
        if pipeline is None or run is None:
            return
        _taps.detach(pipeline)
        others = [other for other in _taps.runs.pop(span, ()) if other is not run]
        if others:
            _taps.runs[span] = others
        _taps.tell([run], how, *arguments, **named)

    def embedded(self, texts: Sequence[str]) -> None:
        """Embeddings of these texts were made, in a transformation or anywhere else."""
        mine = [run for _, run in list(self._runs.values())]
        _taps.tell([run for run in _taps.transforming.get() if run in mine], "embedded", texts)


class _Spans(BaseSpanHandler[BaseSpan]):
    """Tells of runs that begin and end. It keeps the spans of those that are under way, and no others."""

    _observer: Observer = PrivateAttr()

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    @classmethod
    def class_name(cls) -> str:
        """Its name."""
        return "RagPulseSpanHandler"

    def new_span(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """A call begins."""
        if not self._observer.is_run(id_, instance):
            return None
        try:
            self._observer.begin(id_, instance, bound_args.arguments)
        except Exception:
            log.exception("a run of LlamaIndex is not reported")
        return BaseSpan(id_=id_, parent_id=parent_span_id, tags=tags or {})

    def prepare_to_exit_span(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        result: Any = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """A call gave its result."""
        span = self.open_spans.get(id_)
        if span is not None:
            self._observer.end(id_, "finish", result)
        return span

    def prepare_to_drop_span(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """A call threw."""
        span = self.open_spans.get(id_)
        if span is not None:
            self._observer.end(id_, "fail", "the run was dropped" if err is None else err)
        return span


class _Events(BaseEventHandler):
    """Tells of embeddings."""

    _observer: Observer = PrivateAttr()

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    @classmethod
    def class_name(cls) -> str:
        """Its name."""
        return "RagPulseEventHandler"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Something happened somewhere."""
        if isinstance(event, (EmbeddingEndEvent, SparseEmbeddingEndEvent)):
            self._observer.embedded(event.chunks)

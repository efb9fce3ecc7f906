"""The tracer: passes all on to the one that was there before, and hands what it sees of a run to that run.

What may come in: every span of every component of the program, from any thread or task. What it never does: withhold or
add a span or a tag, raise by a fault of its own, or hold back what is raised.

Haystack calls `set_content_tag` for what goes into a component and comes out of it whether content tracing is on or
not; it is the span that leaves it out. So this one looks at it, and lets the span of the other tracer decide.
"""

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from haystack.tracing.tracer import Span, Tracer, tracer

from ragpulse import AsyncReporter, Reporter
from ragpulse.adapters.haystack._run import Observer, Run
from ragpulse.adapters.haystack._stages import component
from ragpulse.adapters.haystack._visit import Visit, current


class _Watch(Protocol):
    @property
    def run(self) -> Run: ...

    def begin(self) -> None: ...

    def content(self, key: str, value: Any) -> None: ...

    def end(self, error: BaseException | None) -> None: ...


class _Whole:
    """A pipeline at work."""

    def __init__(self, run: Run, is_nested: bool) -> None:
        self.run = run
        self.is_nested: Final = is_nested

    def begin(self) -> None:
        """Nothing is known yet."""

    def content(self, key: str, value: Any) -> None:
        """Its outputs are the last that it tells: a consumer of a generator may never let it go on from there."""
        if key == "haystack.pipeline.output_data":
            self.end(None)

    def end(self, error: BaseException | None) -> None:
        """It has ended. One within a component is not the whole run."""
        if not self.is_nested:
            self.run.end(error)


class WatchedSpan(Span):
    """The span of another tracer, of which the content is looked at too."""

    def __init__(self, tracer: "WatchingTracer", span: Span, watch: _Watch) -> None:
        self.tracer: Final = tracer
        self.span: Final = span
        self.watch: Final = watch

    def set_tag(self, key: str, value: Any) -> None:
        """Passed on."""
        self.span.set_tag(key, value)

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Passed on."""
        self.span.set_tags(tags)

    def set_content_tag(self, key: str, value: Any) -> None:
        """Looked at and passed on."""
        self.watch.run.safely(self.watch.content, key, value)
        self.span.set_content_tag(key, value)

    def raw_span(self) -> Any:
        """That of the other tracer."""
        return self.span.raw_span()

    def get_correlation_data_for_logs(self) -> dict[str, Any]:
        """Those of the other tracer."""
        return self.span.get_correlation_data_for_logs()

    def __getattr__(self, name: str) -> Any:
        if name == "span":
            raise AttributeError(name)
        return getattr(self.span, name)


class WatchingTracer(Tracer):
    """A tracer that passes all on, and watches the runs for which there is an observer."""

    def __init__(self, delegate: Tracer) -> None:
        self.delegate: Final = delegate

    @abstractmethod
    def observer(self) -> Observer | None:
        """Who observes a run that begins now."""

    @contextlib.contextmanager
    def trace(
        self, operation_name: str, tags: dict[str, Any] | None = None, parent_span: Span | None = None
    ) -> Iterator[Span]:
        """As that of the other tracer."""
        parent = parent_span if isinstance(parent_span, WatchedSpan) and parent_span.tracer is self else None
        inner_parent = parent.span if parent else parent_span
        watch = self._watch(operation_name, tags or {}, parent)
        if watch is None:
            with self.delegate.trace(operation_name, tags=tags, parent_span=inner_parent) as span:
                yield span
            return
        safely = watch.run.safely
        safely(watch.begin)
        try:
            with self.delegate.trace(operation_name, tags=tags, parent_span=inner_parent) as span:
                yield WatchedSpan(self, span, watch)
        except BaseException as error:
            safely(watch.end, error)
            raise
        safely(watch.end, None)

    def current_span(self) -> Span | None:
        """That of the other tracer."""
        return self.delegate.current_span()

    def _watch(self, operation: str, tags: Mapping[str, Any], parent: WatchedSpan | None) -> _Watch | None:
        if operation == "haystack.pipeline.run":
            return self._pipeline()
        if operation == "haystack.component.run" and parent is not None:
            watch: Any = parent.watch
            watched: Visit | None = watch.run.safely(self._visit, watch, tags)
            return watched
        return None

    def _pipeline(self) -> _Watch | None:
        around = current.get()
        while around is not None and (around.tracer is not self or around.run.ended):
            around = around.outer
        if around is not None:
            around.has_inner = True
            return _Whole(around.run, True)
        observer = self.observer()
        return None if observer is None else _Whole(Run(observer), False)

    def _visit(self, pipeline: _Whole, tags: Mapping[str, Any]) -> Visit:
        return Visit(pipeline.run, self, component(tags, pipeline.run.stages), pipeline.is_nested)


class RagPulseTracer(WatchingTracer):
    """Reports every run of an indexing pipeline, from now on; for `haystack.tracing.enable_tracing`.

    - `reporter`: to whom. It is the caller's to close.
    - `delegate`: the tracer that goes on to get everything; default: the one that is enabled when this one is made.
    - `document_store`: the store that the pipeline writes to. It is asked, before each write, which of the documents it
      has, by `filter_documents`; only so can be told which files a writer skips that wrote a part of what it was given.
    - `stages`: the stage of components of one's own, by their names or classes: `{"PiiScrubber": "extraction"}`.
    """

    def __init__(
        self,
        reporter: Reporter | AsyncReporter,
        delegate: Tracer | None = None,
        *,
        document_store: Any = None,
        stages: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(tracer.actual_tracer if delegate is None else delegate)
        self._observer: Final = Observer(reporter, document_store, dict(stages or {}))

    def observer(self) -> Observer | None:
        """Always the same."""
        return self._observer

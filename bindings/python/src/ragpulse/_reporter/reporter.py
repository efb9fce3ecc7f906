"""The reporters as programs see them.

What may come in: calls from any thread, task or process. What they never do: raise after they were made, or wait, but
for `flush`, `close` and the end of a `with` block.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from types import TracebackType
from typing import Any, TypeVar

import anyio.to_thread

from ragpulse._endpoint import Endpoint, from_environment, name
from ragpulse._reporter import process
from ragpulse._reporter.engine import Engine, Settings
from ragpulse._reporter.handle import File, describe, given
from ragpulse._reporter.retryable import is_retryable
from ragpulse._reporter.status import Rejected, ReporterStatus
from ragpulse._token import AsyncTokenSource

log = logging.getLogger("ragpulse")

Self = TypeVar("Self", bound="_Base")


class _Base:
    def __init__(
        self,
        pipeline_id: str | None = None,
        pipeline_type: str | None = None,
        *,
        url: str | None = None,
        token: "str | AsyncTokenSource | None" = None,
        check_interval: float | None = None,
        watch_location: "str | PathLike[str] | None" = None,
        reporter_id: str | None = None,
        lease_seconds: int = 120,
        max_queue: int = 10_000,
        max_queue_bytes: int = 32 * 1024 * 1024,
        request_timeout: float = 15.0,
        exit_timeout: float = 5.0,
        on_sigterm: process.OnSigterm = "auto",
        on_rejected: Callable[[Rejected], None] | None = None,
        retryable: Callable[[BaseException], bool] = is_retryable,
    ) -> None:
        pipeline_id = pipeline_id or from_environment("RAG_PIPELINE_ID")
        pipeline_type = pipeline_type or from_environment("RAG_SERVICE")
        if not pipeline_id or not pipeline_type:
            raise ValueError(
                "name the pipeline and its kind, as in Reporter('my-docs', 'local_files'), or by RAG_PIPELINE_ID and "
                "RAG_SERVICE"
            )
        if not 1 <= lease_seconds <= 86_400:
            raise ValueError(f"lease_seconds is {lease_seconds}, but must be from 1 to 86400")
        if max_queue < 1 or max_queue_bytes < 1_000_000:
            raise ValueError("max_queue must be at least 1, and max_queue_bytes at least 1000000")
        if request_timeout <= 0 or exit_timeout < 0:
            raise ValueError("request_timeout must be above 0, and exit_timeout not below it")
        if on_sigterm not in ("auto", "chain", "never"):
            raise ValueError("on_sigterm must be 'auto', 'chain' or 'never'")
        location = None if watch_location is None else str(watch_location)
        self._retryable = retryable
        self._engine = Engine(
            Settings(
                pipeline_id=name("pipeline id", pipeline_id),
                pipeline_type=name("pipeline type", pipeline_type),
                endpoint=Endpoint(url, token),
                reporter_id=None if reporter_id is None else name("reporter id", reporter_id),
                online=given({"check_interval": check_interval, "watch_location": location}),
                lease_seconds=lease_seconds,
                max_queue=max_queue,
                max_queue_bytes=max_queue_bytes,
                request_timeout=request_timeout,
                exit_timeout=exit_timeout,
                on_sigterm=on_sigterm,
                on_rejected=on_rejected,
            )
        )

    @property
    def pipeline_id(self) -> str:
        """The pipeline it reports for."""
        return self._engine.settings.pipeline_id

    @property
    def pipeline_type(self) -> str:
        """The pipeline's kind."""
        return self._engine.settings.pipeline_type

    @property
    def url(self) -> str:
        """The hub it reports to."""
        return self._engine.settings.endpoint.url

    @property
    def reporter_id(self) -> str:
        """Its name among the reporters of the pipeline: another one in each process."""
        return self._engine.reporter_id

    @property
    def status(self) -> ReporterStatus:
        """How it fares: whether the hub is there, how much waits, what was lost."""
        return self._engine.status

    def report(
        self,
        event: str,
        data: Mapping[str, Any] | None = None,
        *,
        event_id: str | None = None,
        timestamp: str | None = None,
    ) -> None:
        """Reports any event of the contract, or one under `x:`. A hub takes an `event_id` once; default: a new one.

        `timestamp` needs an offset, as in `2026-01-31T09:30:00Z`; default: now.
        """
        self._engine.report(event, {} if data is None else data, event_id, timestamp)

    def online(self, **fields: Any) -> None:
        """Reports `pipeline:online`. Where it is not called, the first event does."""
        self.report("pipeline:online", fields)

    def offline(self, reason: str = "normal_shutdown") -> None:
        """Reports `pipeline:offline`: `normal_shutdown`, `error` or another word. The next event is online again."""
        self._engine.goodbye(reason)

    def update(self, changes: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Reports `status:update`: keys of the pipeline's own status; None takes a key out.

        Keys that the hub keeps (`files*`, `total_*`, `counts`, the identity of the pipeline) are refused.
        """
        try:
            merged: Any = {**changes, **more} if changes else more
        except TypeError:
            # The hub says what is wrong with it.
            merged = changes
        self.report("status:update", {"changes": merged})

    def file(
        self,
        name: "str | PathLike[str]",
        *,
        id: str | None = None,
        path: "str | PathLike[str] | None" = None,
        size: int | None = None,
        mime_type: str | None = None,
    ) -> File:
        """Follows one file. Nothing is reported yet.

        It is known by its `id`. Without one, it is the MD5 of the absolute path, where a path is given (a
        `pathlib.Path` as the name, or `path`); otherwise it is unique, and the same name later is another file.
        """
        try:
            fields = describe(name, id=id, path=path, size=size, mime_type=mime_type)
        except Exception:
            log.exception("%r is reported by its name alone", name)
            fields = describe(str(name))
        return File(self._engine.report, fields, self._retryable)

    def __reduce__(self) -> Any:
        # In a spawned process: the same pipeline, another reporter, and no functions, which may not be carried over.
        settings = replace(self._engine.settings, on_rejected=None, reporter_id=None)
        return _again, (type(self), settings, self._engine.is_online)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pipeline_id} at {self.url}: {self.status.connection}>"


def _again(kind: type[Self], settings: Settings, joins: bool) -> Self:
    reporter = kind.__new__(kind)
    reporter._retryable = is_retryable
    reporter._engine = Engine(settings, joins=joins)
    return reporter


class Reporter(_Base):
    """Reports what one pipeline does to a hub.

    ```python
    with Reporter("my-docs", "local_files") as pipeline:
        with pipeline.file(Path("docs/a.pdf")) as f:
            f.progress("embedding", 0.4)
    ```

    Calls take microseconds: events go into a bounded queue, from which one thread sends them in batches, in order, and
    again until the hub has answered for them. Outside of a `with` block the pipeline comes online with its first event,
    and goes offline when the program ends: by returning, by an exit, or (`on_sigterm`) by SIGTERM.

    Made by arguments that no hub takes, it raises a `ValueError`; afterwards it raises nothing. It is meant to be made
    once for a pipeline: it has a thread, from its first event until it is closed or the program ends.

    - `pipeline_id`, `pipeline_type`: which pipeline, and its kind, such as `google_drive`; default: the variables
      `RAG_PIPELINE_ID` and `RAG_SERVICE` of the environment.
    - `url`, `token`: the hub; default: `RAGPULSE_URL` (else http://127.0.0.1:8103) and `RAGPULSE_TOKEN`, or the file
      that `RAGPULSE_TOKEN_FILE` names, which somebody keeps up to date. `token` may be a function that gives one. It is
      called in a thread of the reporter's: where there is no token yet, where the last one ends (`exp`) within 30 s,
      and where the hub answered 401. While it fails, or takes longer than `request_timeout`, events wait.
    - `check_interval` (seconds), `watch_location`: told with `pipeline:online`.
    - `reporter_id`: its name among the pipeline's reporters; default: random. Forked workers get one of their own.
    - `lease_seconds`: after how long a silence the hub counts it as lost. A third of it after the last event a
      heartbeat is sent.
    - `max_queue` (events), `max_queue_bytes`: how much waits at most. When it is full progress is given up first, and
      ends of files last; `status` counts it.
    - `request_timeout` (seconds): how long one request may take.
    - `exit_timeout` (seconds): how long the end of the program waits at most for the hub to take what is left; one
      second at most while the hub is known to be away.
    - `on_sigterm`: `auto` handles SIGTERM where nobody else does, and the process then dies of it as before; `chain`
      also goes before a handler that is there; `never`. The main thread has to make the reporter for that, or to call
      it once: no other can set a handler. As every handler in Python, it runs when the interpreter comes
      to it: a main thread that is in a long call into C dies after that call.
    - `on_rejected`: called with each event that the hub refuses for good, from the thread that sends.
    - `retryable`: tells of an exception whether trying again may help.
    """

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until the hub has answered for all that was reported. Whether it has in this time, in seconds."""
        return self._engine.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Reports `pipeline:offline`, sends what there is and takes nothing more. Whether all was sent in this time.

        Default: `exit_timeout`. A worker that was forked off only takes its own leave.
        """
        return self._engine.close(timeout)

    def __enter__(self) -> "Reporter":
        self.online()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.close(None, "error" if isinstance(error, Exception) else "normal_shutdown")


class AsyncReporter(_Base):
    """A `Reporter` for programs that run in an event loop: what waits is awaited, and never holds up the loop.

    ```python
    async with AsyncReporter("my-docs", "local_files") as pipeline:
        async with pipeline.file(Path("docs/a.pdf")) as f:
            f.progress("embedding", 0.4)
    ```

    Reporting itself never waits, so there is nothing to await. Events are sent by a thread, not by the loop: also those
    that are reported after the loop was closed, or from other threads and loops. All arguments are those of `Reporter`.
    A `token` that is an async function runs in a loop of its own, in a thread: it has to make what it awaits by itself.
    """

    async def flush(self, timeout: float = 10.0) -> bool:  # noqa: ASYNC109
        """As `Reporter.flush`."""
        return await anyio.to_thread.run_sync(self._engine.flush, timeout, abandon_on_cancel=True)

    async def close(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """As `Reporter.close`."""
        return await anyio.to_thread.run_sync(self._engine.close, timeout, abandon_on_cancel=True)

    async def __aenter__(self) -> "AsyncReporter":
        self.online()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reason = "error" if isinstance(error, Exception) else "normal_shutdown"
        # Also when the task is being cancelled: it is what tells that the pipeline has stopped.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._engine.close, None, reason)

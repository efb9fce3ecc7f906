"""The subscribers as programs see them: the news of one pipeline, in order and once, with the state after each.

What may come in: anything that answers at the hub's address. What they never do: skip or repeat an event; hold more
than one answer of the hub; go on where the hub refuses.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import time
import weakref
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

import anyio
import httpx

from ragpulse._backoff import Backoff
from ragpulse._endpoint import (
    Answer,
    Endpoint,
    HubError,
    bearer,
    from_environment,
    name,
    no_token,
    quietly,
    read,
    too_long,
    unreachable,
)
from ragpulse._reporter import process
from ragpulse._subscriber.loop import Loop
from ragpulse._subscriber.machine import WAIT_SECONDS, Ask, Poller, Refused, Update
from ragpulse._token import AsyncTokenSource, NoToken
from ragpulse.session import Cursor

_MAX_ANSWER: Final = 80 * 1024 * 1024
"""The most of an answer that is read, in bytes: a page of 1,000 events of 64 KiB, and something more."""
_TOKEN_WITHIN: Final = 15.0
"""How many seconds a source of tokens may take."""
_GRACE: Final = 10.0
"""How much longer than a hub may hold an answer it may take, in seconds."""


class _Base:
    def __init__(
        self,
        pipeline_id: str | None = None,
        *,
        url: str | None = None,
        token: "str | AsyncTokenSource | None" = None,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        pipeline_id = pipeline_id or from_environment("RAG_PIPELINE_ID")
        if not pipeline_id:
            raise ValueError("name the pipeline, as in Subscriber('my-docs'), or by RAG_PIPELINE_ID")
        self._endpoint = Endpoint(url, token)
        self._poller = Poller(
            name("pipeline id", pipeline_id), Backoff(0.25, 30.0), resume, renews=self._endpoint.tokens.renews
        )
        self._news: deque[Update] = deque()
        self._closed = False
        self._client = httpx.AsyncClient(**self._options())

    @property
    def pipeline_id(self) -> str:
        """The pipeline that is followed."""
        return self._poller.pipeline_id

    @property
    def status(self) -> dict[str, Any] | None:
        """The state after the last update that the hub has given, as the payload of `pipeline:status`."""
        return self._poller.session.status

    @property
    def cursor(self) -> Cursor | None:
        """The position of that state."""
        return self._poller.session.cursor

    @property
    def cause(self) -> str:
        """Why the hub is not there at the moment; empty where it is."""
        return self._poller.cause

    def _next_step(self, deadline: float | None) -> "Ask | float":
        """What to ask, or until when to rest. Raises where the hub refuses."""
        now = time.monotonic()
        left = WAIT_SECONDS if deadline is None else max(0, min(WAIT_SECONDS, round(deadline - now + 0.5)))
        step = self._poller.next(now, left)
        if isinstance(step, Refused):
            raise HubError(step.problem)
        return step if isinstance(step, Ask) else step.until

    def _options(self) -> dict[str, Any]:
        return self._endpoint.options(WAIT_SECONDS + _GRACE)

    async def _fill(self, deadline: float | None) -> bool:
        """Waits for news, which it takes nothing of: who waits may be gone by then. Whether there is some."""
        while not self._closed:
            if self._news:
                return True
            step = self._next_step(deadline)
            if isinstance(step, Ask):
                answer = await self._ask(step)
                self._news.extend(self._poller.answered(answer, time.monotonic()))
            else:
                until = step if deadline is None else min(step, deadline)
                await anyio.sleep(max(0.0, until - time.monotonic()))
            # Asked first: who gives no time is told what there is.
            if not self._news and deadline is not None and time.monotonic() >= deadline:
                return False
        return False

    async def _ask(self, ask: Ask) -> Answer:
        try:
            url = self._endpoint.events(self.pipeline_id)
            # Not longer than it was asked to hold its answer: one that is stuck is not to hold up who waits a second.
            timeout = self._endpoint.options(int(ask.query["wait"]) + _GRACE)["timeout"]
            token = await self._endpoint.tokens.aget(_TOKEN_WITHIN)
            with quietly():
                async with self._client.stream(
                    "GET", url, params=ask.query, headers=bearer(token), timeout=timeout
                ) as response:
                    content = bytearray()
                    async for chunk in response.aiter_bytes():
                        content += chunk
                        if len(content) > _MAX_ANSWER:
                            return too_long(response.status_code, _MAX_ANSWER)
                    if response.status_code == 401:
                        self._endpoint.tokens.refuse(token)
                    return read(response.status_code, response.headers, bytes(content))
        except NoToken as error:
            return no_token(error)
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError) as error:
            return unreachable(error)


class Subscriber(_Base):
    """Follows one pipeline of a hub.

    ```python
    for update in Subscriber("my-docs"):
        print(update.event, update.status and update.status["counts"])
    ```

    First comes the whole state (`pipeline:status`), then every event, once and in order, with the state after it.
    While the hub is away it waits; then it goes on where it was, or, where that is not kept any more, with the whole
    state and the reason. A pipeline that the hub does not know yet is waited for. A process that is forked off goes on
    by itself, from where this one was.

    - `pipeline_id`: default: `RAG_PIPELINE_ID`. `url`, `token`: as for a `Reporter`; a `token` that is a function is
      called in a thread, or awaited where it is async; while it gives none that the hub takes, `cause` says why.
    - `resume`: the `status` of the last update that was seen, in an earlier run perhaps: what came since comes first.

    Raises `ValueError` where it cannot be made so, and `HubError` where the hub refuses for good.
    """

    def __init__(
        self,
        pipeline_id: str | None = None,
        *,
        url: str | None = None,
        token: "str | AsyncTokenSource | None" = None,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(pipeline_id, url=url, token=token, resume=resume)
        self._begin()

    def _begin(self) -> None:
        """As new, in this process."""
        self._pid = os.getpid()
        self._loop = Loop()
        self._waiting: concurrent.futures.Future[bool] | None = None
        # Where a program forgets to close it, what it holds goes with it.
        self._stop = weakref.finalize(self, _stop, self._loop, self._client)

    def _after_fork(self) -> None:
        """In a process that was forked off, the loop has no thread, and the connection is the parent's."""
        if self._pid == os.getpid():
            return
        self._stop.detach()
        process.abandon((self._loop, self._client, self._waiting))
        self._endpoint.tokens.forked()
        self._client = httpx.AsyncClient(**self._options())
        self._begin()

    def next(self, timeout: float | None = None) -> Update | None:
        """The next update; None when none came in so many seconds, or it was closed.

        A hub counts whole seconds, and one that does not answer is given ten more.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with contextlib.suppress(IndexError):
                return None if self._closed else self._news.popleft()
            if not self._wait(deadline):
                return None

    def _wait(self, deadline: float | None) -> bool:
        """Waits for news. Whether there is some, which another thread may take first."""
        self._after_fork()
        waiting = self._loop.run(self._fill(deadline))
        self._waiting = waiting
        if waiting is None:
            return False
        try:
            # It may have been closed while that began.
            return not (self._closed and waiting.cancel()) and waiting.result()
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            return False
        finally:
            # Also where a signal's handler has raised: nobody waits for it any more.
            waiting.cancel()

    def close(self) -> None:
        """Ends it, at once, also for a thread that waits for news. May be called from any thread, and again."""
        self._after_fork()
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()
        self._stop()

    def __iter__(self) -> "Subscriber":
        return self

    def __next__(self) -> Update:
        update = self.next()
        if update is None:
            raise StopIteration
        return update

    def __enter__(self) -> "Subscriber":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _stop(loop: Loop, client: httpx.AsyncClient) -> None:
    loop.run(client.aclose())
    loop.stop()


class AsyncSubscriber(_Base):
    """A `Subscriber` for programs that run in an event loop.

    ```python
    async with AsyncSubscriber("my-docs") as updates:
        async for update in updates:
            print(update.event, update.status and update.status["counts"])
    ```
    """

    async def next(self) -> Update | None:
        """The next update; None when it was closed. What has been given is not given again if this is cancelled."""
        return self._news.popleft() if await self._fill(None) else None

    async def close(self) -> None:
        """Ends it."""
        self._closed = True
        await self._client.aclose()

    def __aiter__(self) -> "AsyncSubscriber":
        return self

    async def __anext__(self) -> Update:
        update = await self.next()
        if update is None:
            raise StopAsyncIteration
        return update

    async def __aenter__(self) -> "AsyncSubscriber":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

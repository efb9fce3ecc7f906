"""An event loop in a thread of its own, so that what waits in it can be let go from any thread.

What may come in: coroutines. What it never does: keep the program from ending, or work in a process that was forked
off, which has the loop but not its thread.
"""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_LINGER: Final = 1.0
"""How long its end may take in the thread that asks for it, in seconds."""


class Loop:
    """The loop. Its thread begins when it is first used."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def run(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T] | None":
        """Runs this in the loop; None where that has ended, or is another process's."""
        if self._pid != os.getpid():
            # Before the lock, which somebody may have held when this process was forked.
            work.close()
            return None
        with self._lock:
            if self._stopped:
                work.close()
                return None
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="ragpulse-subscriber", daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """Ends it, and what runs in it."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._stopped = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join(_LINGER)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        # What was begun ends in order, so that connections are closed; what does not is let go.
        loop.run_until_complete(_settle(asyncio.all_tasks(loop)))
    finally:
        loop.close()


async def _settle(tasks: "set[asyncio.Task[Any]]") -> None:
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_LINGER / 2)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

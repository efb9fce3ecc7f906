"""Forks, and how a process ends: by returning, by an exit, or by SIGTERM.

What may come in: any number of reporters, forks at any time. What it never does: replace a signal handler that is not
the system's own, unless asked to; keep a process from dying of a signal it would have died of.
"""

import atexit
import contextlib
import logging
import mmap
import os
import signal
import sys
import threading
import time
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ragpulse._reporter.engine import Engine

log = logging.getLogger("ragpulse")

OnSigterm = Literal["auto", "chain", "never"]

# Those that were used and not closed, and so have something to say at the end. All others only have to know of forks.
_all: "weakref.WeakValueDictionary[int, Engine]" = weakref.WeakValueDictionary()
_used: "dict[int, Engine]" = {}
_FORK_PATIENCE = 0.5
"""How many seconds a fork waits at most for requests that are under way."""
# By thread: two may fork at the same time, each beside the hooks of the other.
_forking = threading.local()
_abandoned: list[Any] = []
_finalized_in: int | None = None
_chained: Any = None


class Root:
    """The process in which a reporter was made, as it and the workers forked off it know it.

    What they share is a page of memory: whether that process has come online. It is shared by forks alone; a worker
    that was spawned knows of no root, and reports as any other process does.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.reporter_id: str | None = None
        self._page: mmap.mmap | None = None
        # Without memory to share (or forks to share it with) every worker stands for itself.
        with contextlib.suppress(OSError, ValueError):
            self._page = mmap.mmap(-1, 1)

    def tell(self, reporter_id: str, *, online: bool) -> None:
        """The process of the root has come online, or left."""
        self.reporter_id = reporter_id
        if self._page is not None:
            self._page[0] = int(online)

    def is_online(self) -> bool:
        """Whether the process of the root has come online and not left, and lives."""
        if self._page is None or self.reporter_id is None or self._page[0] == 0:
            return False
        try:
            os.kill(self.pid, 0)
        except OSError as error:
            return isinstance(error, PermissionError)
        return True


def register(engine: "Engine") -> None:
    """Tells a reporter of forks."""
    _all[id(engine)] = engine


def unregister(engine: "Engine") -> None:
    """It was closed."""
    _used.pop(id(engine), None)


def use(engine: "Engine") -> None:
    """It has something to say at the end."""
    _used[id(engine)] = engine


def abandon(client: Any) -> None:
    """Keeps what belongs to the parent from being ended by the garbage collection of the child."""
    if client is not None:
        _abandoned.append(client)


def watch_end() -> None:
    """Workers of `multiprocessing` end without what is registered by `atexit`, but with what they call finalizers."""
    global _finalized_in
    context = sys.modules.get("multiprocessing.process")
    if context is None or context.parent_process() is None or _finalized_in == os.getpid():
        return
    _finalized_in = os.getpid()
    from multiprocessing.util import Finalize

    Finalize(None, at_exit, exitpriority=0)


def at_exit() -> None:
    """Closes every reporter, all at the same time."""
    _part(lambda engine: engine.goodbye("normal_shutdown"))
    for engine in list(_used.values()):
        engine.stop()


def _part(say: Any) -> None:
    """Lets every reporter say something, and waits until all is sent, as long as the slowest may take."""
    engines = list(_used.values())
    for engine in engines:
        say(engine)
    flushes = [(engine, engine.begin_flush(engine.settings.exit_timeout)) for engine in engines]
    begun = time.monotonic()
    for engine, (done, _) in flushes:
        engine.finish_flush(done, lambda engine=engine: begun + engine.exit_timeout())  # type: ignore[misc]


def _before_fork() -> None:
    """Lets requests that are under way come to their end, but for those that take their time: these only wait."""
    held: list[threading.Lock] = []
    _forking.held = held
    try:
        by = time.monotonic() + _FORK_PATIENCE
        for engine in list(_used.values()):
            if engine.asking.acquire(timeout=max(0.0, by - time.monotonic())):
                held.append(engine.asking)
    except Exception:
        log.exception("a fork was not waited for")


def _after_fork() -> None:
    """In the parent."""
    for lock in getattr(_forking, "held", ()):
        lock.release()
    _forking.held = []


def _forked() -> None:
    """In the child of a fork."""
    global _used
    try:
        _used = {}
        for engine in list(_all.values()):
            engine.forked()
    except Exception:
        log.exception("a reporter could not be set up in a forked process")


def watch_sigterm(how: OnSigterm) -> bool:
    """Lets SIGTERM end the pipeline as it should end. Whether that is settled: only the main thread can set handlers.

    `auto`: where nobody handles it, and the process still dies of it. `chain`: also before the handler there is.
    """
    global _chained
    if how == "never":
        return True
    if threading.current_thread() is not threading.main_thread():
        return False
    before = signal.getsignal(signal.SIGTERM)
    if before is on_sigterm or not (before is signal.SIG_DFL or (how == "chain" and callable(before))):
        return True
    try:
        signal.signal(signal.SIGTERM, on_sigterm)
    except (ValueError, OSError):
        # A subinterpreter, or a system without it.
        return True
    _chained = before
    return True


def on_sigterm(number: int, frame: FrameType | None) -> None:
    """Says goodbye, then does what would have been done."""
    for engine in list(_used.values()):
        if engine.is_interrupted:
            # In the middle of a call of ours: when that is done.
            engine.after_call(lambda: on_sigterm(number, None))
            return
    try:
        _part(lambda engine: engine.goodbye("normal_shutdown"))
        for engine in list(_used.values()):
            engine.tell_unsent()
    except Exception:
        log.exception("a reporter could not say goodbye")
    if callable(_chained):
        _chained(number, frame)
        return
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # The first process of a container does not die of it.
    time.sleep(0)
    signal.signal(number, on_sigterm)


atexit.register(at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forked)

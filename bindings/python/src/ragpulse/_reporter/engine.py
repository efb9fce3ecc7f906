"""What runs a reporter in one process: one lock around the machine, and one thread that sends.

The thread is made with the first event and is a daemon: it keeps no program from ending. Where none can be made,
because the interpreter ends or has too many, whoever waits for the queue to empty sends by himself; each event tries.

Callers may be in any thread, in a signal's handler, or in a finalizer that ran in the middle of another call: who
already holds the lock leaves the event to be taken when the lock is let go. After a fork the child begins anew: its own
lock, queue, thread, connection and names. What its parent had queued stays the parent's.

What it never does: raise into a caller, wait while it holds the lock, or use the same connection in two processes.
"""

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from ragpulse._backoff import Backoff
from ragpulse._endpoint import Answer, Endpoint, Problem, bearer, no_token, quietly, read, too_long, unreachable
from ragpulse._reporter import process
from ragpulse._reporter.encode import MAX_BYTES, Encoder, timestamp
from ragpulse._reporter.machine import Machine, Rejected, Send, Timing, Wait
from ragpulse._reporter.queue import Queue
from ragpulse._reporter.status import Rejected as RejectedEvent
from ragpulse._reporter.status import ReporterStatus
from ragpulse._token import FAILED, NoToken

log = logging.getLogger("ragpulse")

_MAX_ANSWER: Final = 1024 * 1024
_TOLD_FAILURES: Final = 2
"""After how many failures in a row the hub counts as away: one is what a connection that was closed meanwhile makes."""
_AWAY_TIMEOUT: Final = 1.0
"""How many seconds at most are given at the end to a hub that is known to be away."""


@dataclass(frozen=True)
class Settings:
    """How a reporter is set up."""

    pipeline_id: str
    pipeline_type: str
    endpoint: Endpoint
    reporter_id: str | None = None
    online: Mapping[str, Any] = field(default_factory=dict)
    lease_seconds: int = 120
    max_queue: int = 10_000
    max_queue_bytes: int = 32 * 1024 * 1024
    request_timeout: float = 15.0
    exit_timeout: float = 5.0
    backoff: tuple[float, float] = (0.25, 30.0)
    on_sigterm: process.OnSigterm = "auto"
    on_rejected: Callable[[RejectedEvent], None] | None = None


class Engine:
    """A reporter's part in one process."""

    def __init__(self, settings: Settings, *, joins: bool = False) -> None:
        """`joins`: somebody else has brought the pipeline online, as the process by which this one was spawned."""
        self.settings: Final = settings
        self._root = process.Root()
        self._begin(is_worker=False)
        self._online_said = joins
        process.register(self)
        # Where it is made in another thread, with the first call from the main one.
        self._is_watched = process.watch_sigterm(settings.on_sigterm)

    def _begin(self, *, is_worker: bool) -> None:
        """As new, in this process."""
        settings = self.settings
        # A name that was chosen is that of one process only.
        chosen = None if is_worker else settings.reporter_id
        self.pid = os.getpid()
        self.reporter_id = chosen or f"py-{os.urandom(12).hex()}"
        self._is_worker = is_worker
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._later: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._after_call: Callable[[], None] | None = None
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._sleeping = False
        self._waiters: list[tuple[int, threading.Event]] = []
        self._thread: threading.Thread | None = None
        self._threadless = False
        self.asking = threading.Lock()
        """Held while a request or a question for a token is under way, within which other libraries hold locks that no
        fork knows of."""
        self._client: httpx.Client | None = None
        self._online_said = False
        self._closed = False
        self._stopping = False
        self._rejected = 0
        self._late = 0
        self._told: set[str] = set()
        self._machine = Machine(
            Queue(settings.max_queue, settings.max_queue_bytes),
            # Random in each process, so that no two ever give the same id.
            Encoder(os.urandom(16).hex()),
            Backoff(*settings.backoff),
            Timing(heartbeat=settings.lease_seconds / 3),
            self._vouch_for,
            renews=settings.endpoint.tokens.renews,
        )
        self._machine.remember_online(self._machine.encoder.encode("pipeline:online", self._online_fields({})))

    def forked(self) -> None:
        """This process was forked off the one in which the reporter was used."""
        # Not closed: closing it here would say goodbye on the connection of the parent.
        process.abandon(self._client)
        self.settings.endpoint.tokens.forked()
        was_closed = self._closed
        self._begin(is_worker=True)
        self._closed = self._stopping = was_closed

    def _vouch_for(self) -> str | None:
        return self._root.reporter_id if self._is_worker and self._root.is_online() else None

    def _online_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        settings = self.settings
        given = {**settings.online, **fields}
        return {"pipeline_type": settings.pipeline_type, "lease_seconds": settings.lease_seconds, **given}

    @property
    def is_online(self) -> bool:
        """Whether the pipeline was said to be online, by this process or the one it was forked off."""
        return self._online_said or self._vouch_for() is not None

    # What callers use.

    def report(self, event: str, data: Mapping[str, Any], event_id: str | None = None, time: str | None = None) -> None:
        """Takes an event. Never waits, never raises."""
        try:
            if self._owner == threading.get_ident():
                # The lock is held by a call that this one has interrupted.
                own = dict(data)
                time = time or timestamp()
                self._later.put(lambda: self.report(event, own, event_id, time))
                return
            self._take(event, data, event_id, time)
        except Exception as error:
            self._reject_here(event, data, error)
        if not self._is_watched:
            self._is_watched = process.watch_sigterm(self.settings.on_sigterm)
        if not self._later.empty():
            self._do_later()
        if self._after_call is not None and threading.current_thread() is threading.main_thread():
            work, self._after_call = self._after_call, None
            work()

    def _take(self, event: str, data: Mapping[str, Any], event_id: str | None, time: str | None) -> None:
        if event == "pipeline:online":
            data = self._online_fields(data)
        item = self._machine.encoder.encode(event, data, event_id=event_id, time=time)
        if len(item.json) + 2 > MAX_BYTES:
            raise ValueError(f"it has {len(item.json)} bytes as JSON, and a hub takes fewer than {MAX_BYTES}")
        wake, start = False, None
        with self._lock:
            self._owner = threading.get_ident()
            try:
                if self._closed:
                    self._late += 1
                    taken = False
                else:
                    if self._thread is None:
                        name = f"ragpulse {self.settings.pipeline_id}"
                        self._thread = start = threading.Thread(target=self._run, name=name, daemon=True)
                        process.use(self)
                    self._before(item.effect)
                    taken = self._machine.push(item)
                    wake, self._sleeping = self._sleeping, False
            finally:
                self._owner = None
        if start is not None:
            self._start(start)
        if wake:
            self._wake.put(None)
        if not taken and item.rank:
            self._tell_loss()

    def _before(self, effect: str) -> None:
        """A pipeline comes online before its first event. A worker leaves that to the process it was forked from."""
        if effect == "online":
            self._online_said = True
        elif effect == "offline":
            self._online_said = False
        elif not self._online_said:
            self._online_said = True
            if self._vouch_for() is None:
                fields = self._online_fields({})
                self._machine.push(self._machine.encoder.encode("pipeline:online", fields))
            else:
                return
        else:
            return
        if not self._is_worker:
            self._root.tell(self.reporter_id, online=self._online_said)

    def _do_later(self) -> None:
        while True:
            try:
                self._later.get_nowait()()
            except queue.Empty:
                return

    def _tell_loss(self) -> None:
        if self._closed:
            self._tell_once("late", "an event was reported after the reporter was closed, and is not sent")
        else:
            self._tell_once(
                "full",
                "the queue of %d events is full while the hub at %s is away: events are lost, ends of files last",
                self.settings.max_queue,
                self.settings.endpoint.url,
            )

    def _tell_once(self, key: str, message: str, *arguments: object) -> None:
        if key not in self._told:
            self._told.add(key)
            log.warning(message, *arguments)

    def goodbye(self, reason: str) -> None:
        """Says `pipeline:offline`, if anything was said before."""
        if self._machine.owes_offline:
            self.report("pipeline:offline", {"reason": reason})

    def flush(self, timeout: float) -> bool:
        """Waits until the hub has answered for everything reported so far. Whether it has."""
        done, until = self.begin_flush(timeout)
        return self.finish_flush(done, lambda: until)

    def begin_flush(self, timeout: float) -> tuple[threading.Event, float]:
        """Hurries; gives what tells when everything reported so far was answered for, and until when it is hurried."""
        done, until = threading.Event(), time.monotonic() + timeout
        with self._lock:
            place = self._machine.queue.next
            if self._machine.queue.is_settled_before(place):
                done.set()
                return done, until
            self._waiters.append((place, done))
            self._machine.hurry(until)
        self._wake.put(None)
        return done, until

    def finish_flush(self, done: threading.Event, until: Callable[[], float]) -> bool:
        """Waits until that is done, or the time is over; sends by itself where no thread does."""
        # In slices: the time may turn out to be shorter, and a thread may end.
        while not done.is_set() and (left := until() - time.monotonic()) > 0:
            thread = self._thread
            # A thread without a number is about to be started.
            if self._threadless or (thread is not None and thread.ident is not None and not thread.is_alive()):
                self._run(until, done)
            else:
                done.wait(min(left, 0.1))
        return done.is_set()

    def exit_timeout(self) -> float:
        """How long the end of the program may wait for the hub."""
        known = self._machine.standing.connection in ("idle", "connected")
        return self.settings.exit_timeout if known else min(self.settings.exit_timeout, _AWAY_TIMEOUT)

    def close(self, timeout: float | None, reason: str = "normal_shutdown") -> bool:
        """Says goodbye, sends what there is, and takes nothing more. Whether everything was answered for."""
        if self._closed:
            return True
        self.goodbye(reason)
        self._closed = True
        begun = time.monotonic()
        done, _ = self.begin_flush(self.settings.exit_timeout if timeout is None else timeout)
        sent = self.finish_flush(done, lambda: begun + (self.exit_timeout() if timeout is None else timeout))
        self.stop()
        return sent

    def stop(self) -> None:
        """The thread ends after what it is doing. A reporter that is stopped is closed."""
        self.tell_unsent()
        self._closed = self._stopping = True
        self._wake.put(None)
        process.unregister(self)

    def tell_unsent(self) -> None:
        """Whoever ends now leaves so much behind."""
        unsent = len(self._machine.queue)
        if unsent:
            url, cause = self.settings.endpoint.url, self._machine.standing.cause
            message = "%d events of %s were not taken by the hub at %s before the end, and are lost. %s"
            self._tell_once("unsent", message, unsent, self.settings.pipeline_id, url, cause)

    @property
    def is_interrupted(self) -> bool:
        """Whether this thread is in the middle of a call, which a signal has interrupted."""
        return self._owner == threading.get_ident()

    def after_call(self, work: Callable[[], None]) -> None:
        """Does something when the call is done that the main thread is in the middle of."""
        self._after_call = work

    @property
    def status(self) -> ReporterStatus:
        """How it fares."""
        machine = self._machine
        standing, totals = machine.standing, machine.totals
        since = time.monotonic() - standing.since if standing.connection != "idle" else 0.0
        return ReporterStatus(
            connection="closed" if self._closed else standing.connection,
            since_seconds=max(0.0, since),
            failures=machine.backoff.failures,
            cause=standing.cause,
            queued=len(machine.queue),
            queued_bytes=machine.queue.bytes,
            accepted=totals.accepted,
            duplicates=totals.duplicates,
            conflated=totals.conflated,
            rejected=totals.rejected + self._rejected,
            progress_given_up=machine.queue.given_up,
            dropped=machine.queue.dropped + self._late,
        )

    # What the thread does.

    def _start(self, thread: threading.Thread) -> None:
        try:
            thread.start()
            self._threadless = False
        except RuntimeError:
            # The interpreter ends, or there are too many threads for now: whoever flushes sends, and the next event
            # tries again.
            self._threadless = True
            self._thread = None
            log.debug("no thread can be started")
        process.watch_end()

    def _run(self, until: Callable[[], float] | None = None, done: threading.Event | None = None) -> None:
        """Sends: for ever, or until a time or until that is done."""
        while not self._stopping and not (done is not None and done.is_set()):
            try:
                now = time.monotonic()
                end = until() if until is not None else None
                if end is not None and now >= end:
                    break
                self._step(now, end)
            except Exception:
                # Nothing is known that could; the pipeline must not be what pays for it.
                log.exception("the reporter of %s goes on after an error of its own", self.settings.pipeline_id)
                time.sleep(1.0)
        if self._client is not None:
            self._client.close()
            self._client = None
        if done is not None:
            # For a thread that was started meanwhile, and found a request under way.
            self._wake.put(None)

    def _step(self, now: float, until: float | None) -> None:
        with self._lock:
            self._owner = threading.get_ident()
            try:
                action = self._machine.next(now)
                if isinstance(action, Wait):
                    self._sleeping = action.for_events
                else:
                    self._sleeping = False
            finally:
                self._owner = None
        self._do_later()
        self._tell_waiters()
        if isinstance(action, Send):
            self._send(action)
            return
        ends = [end for end in (action.until, until) if end is not None]
        try:
            self._wake.get(timeout=max(0.0, min(ends) - now) if ends else None)
            while not self._wake.empty():
                self._wake.get_nowait()
        except queue.Empty:
            pass

    def _send(self, action: Send) -> None:
        answer = self._ask(action)
        before = self._machine.standing.connection
        with self._lock:
            self._owner = threading.get_ident()
            try:
                rejected = self._machine.answered(answer, time.monotonic(), timestamp())
            finally:
                self._owner = None
        self._do_later()
        self._tell_waiters()
        self._tell_standing(before)
        if rejected is not None:
            self._reject(rejected)

    def _ask(self, action: Send) -> Answer:
        settings = self.settings
        headers = {"content-type": "application/json", "ragpulse-reporter": action.reporter_id or self.reporter_id}
        url, tokens = settings.endpoint.events(settings.pipeline_id), settings.endpoint.tokens
        try:
            with self.asking:
                token = tokens.get(settings.request_timeout)
            headers |= bearer(token)
            if self._client is None:
                self._client = httpx.Client(**settings.endpoint.options(settings.request_timeout))
            stream = self._client.stream("POST", url, content=action.body, headers=headers)
            with quietly(), self.asking, stream as response:
                content = b""
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > _MAX_ANSWER:
                        return too_long(response.status_code, _MAX_ANSWER)
                if response.status_code == 401:
                    tokens.refuse(token)
                return read(response.status_code, response.headers, content)
        except NoToken as error:
            return no_token(error)
        except Exception as error:
            return unreachable(error)

    def _tell_waiters(self) -> None:
        if not self._waiters:
            return
        with self._lock:
            settled = [waiter for waiter in self._waiters if self._machine.queue.is_settled_before(waiter[0])]
            self._waiters = [waiter for waiter in self._waiters if waiter not in settled]
        for _, done in settled:
            done.set()

    def _tell_standing(self, before: str) -> None:
        """An outage is told once, and its end once."""
        standing, url = self._machine.standing, self.settings.endpoint.url
        if standing.connection == "connected":
            if {"retrying", "refused"} & self._told:
                self._told -= {"retrying", "refused", "full"}
                log.warning("the hub at %s takes events again (%d waited)", url, len(self._machine.queue))
        elif standing.connection == "retrying" and self._machine.backoff.failures >= _TOLD_FAILURES:
            if standing.cause.startswith(FAILED):
                self._tell_once(
                    "retrying",
                    "no token is to be had for the hub at %s, events wait and are sent when there is one; the pipeline "
                    "goes on. %s",
                    url,
                    standing.cause,
                )
                return
            self._tell_once(
                "retrying",
                "the hub at %s is away, events wait and are sent when it is back; the pipeline goes on. %s",
                url,
                standing.cause,
            )
        elif standing.connection == "refused" and before != "refused":
            self._tell_once(
                "refused",
                "the hub at %s refuses the events of %s until somebody removes the cause: %s",
                url,
                self.settings.pipeline_id,
                standing.cause,
            )

    def _reject(self, rejected: Rejected) -> None:
        event = json.loads(rejected.json)
        problem = rejected.problem
        log.warning("the hub refused a %s, which is set aside: %s", event.get("event"), problem)
        self._call_back(RejectedEvent(event, problem))

    def _reject_here(self, event: str, data: Mapping[str, Any], error: Exception) -> None:
        """An event that cannot even be sent."""
        try:
            self._rejected += 1
            problem = Problem("invalid_event", f"The event cannot be written: {error}.", 0)
            log.warning("a %s is not reported: %s", event, error)
            self._call_back(RejectedEvent({"event": event, "data": dict(data)}, problem))
        except Exception:
            log.exception("an event could not be reported")

    def _call_back(self, rejected: RejectedEvent) -> None:
        if self.settings.on_rejected is not None:
            try:
                self.settings.on_rejected(rejected)
            except Exception:
                log.exception("on_rejected failed")

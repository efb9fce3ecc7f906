"""What a reporter does next, decided without I/O: time is passed in, and what to send comes out.

| phase | what happens there |
|---|---|
| `ready` | sends the next batch if anything waits, a heartbeat if it is due, and otherwise waits |
| `under_way` | one request is on its way; nothing else is sent |
| `backoff` | the last try failed; nothing is sent before its time |

A hub tells the epoch with each answer. When it is another one than the answer before told, the hub began to count anew
and knows nothing of files begun before, although somebody else has re-opened the pipeline: they are told again.

A worker that was forked off a pipeline's process leaves by `pipeline:offline` as every reporter does, and a hub takes
that for its own leaving as long as it hears another reporter. So that it does, the worker first vouches for the process
it was forked from: it sends a heartbeat in its name, if that process has come online and not left.

What may come in: events at any time, answers of any kind. What it never does: read a clock, wait, have two requests
under way, or forget an event that must arrive before the hub took or refused that very event.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from ragpulse._backoff import Backoff
from ragpulse._endpoint import Answer, Problem
from ragpulse._reporter.encode import HEARTBEAT, MAX_BYTES, Encoder
from ragpulse._reporter.files import OpenFiles
from ragpulse._reporter.queue import Item, Queue

MAX_BATCH: Final = 500
"""The most events in one batch."""
HURRIED_RETRY: Final = 0.25
"""The longest wait between two tries, in seconds, while somebody waits for the queue to empty."""

# Codes about who asks, or where: no event of this reporter is taken.
_EVERYTHING: Final = frozenset(
    {
        *("unauthorized", "forbidden", "foreign_origin", "foreign_host", "not_found", "method_not_allowed"),
        *("unsupported_media_type", "invalid_name", "invalid_cursor", "type_conflict"),
    }
)


class Send(NamedTuple):
    """Send this body, and tell the answer."""

    body: bytes
    reporter_id: str | None = None
    """In whose name; None for this reporter's own."""


class Wait(NamedTuple):
    """Nothing before this time; None for nothing at all."""

    until: float | None
    for_events: bool
    """Whether an event that comes in ends the wait."""


class Rejected(NamedTuple):
    """An event that the hub refused for good."""

    json: bytes
    problem: Problem


@dataclass
class Standing:
    """How the reporter stands with its hub."""

    connection: Literal["idle", "connected", "retrying", "refused"] = "idle"
    since: float = 0.0
    cause: str = ""


@dataclass
class Totals:
    """Sums over the reporter's life."""

    accepted: int = 0
    duplicates: int = 0
    conflated: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class Timing:
    """The waits of a reporter, in seconds."""

    heartbeat: float = 40.0
    """After how long without anything else a heartbeat is sent."""
    pause: float = 0.05
    """From one request to the next at least, unless a whole batch waits. What comes meanwhile goes as one."""


@dataclass
class Machine:
    """Decides for one reporter."""

    queue: Queue
    encoder: Encoder
    backoff: Backoff
    timing: Timing = field(default_factory=Timing)
    vouch_for: Callable[[], str | None] = lambda: None
    """The reporter to vouch for before leaving, if any."""
    renews: bool = False
    """Whether there is a source to ask for another token."""

    def __post_init__(self) -> None:
        self.totals = Totals()
        self.standing = Standing()
        self.owes_offline = False
        """By what was reported: whether an `offline` is owed at the end."""
        self._phase: Literal["ready", "under_way", "backoff"] = "ready"
        self._sent: Literal["batch", "heartbeat", "vouch"] = "batch"
        self._until = 0.0
        self._earliest = 0.0
        self._failed_at = 0.0
        self._hurry_by = 0.0
        self._files = OpenFiles()
        self._online_item: Item | None = None
        self._online = self._said_online = False
        self._last_arrival = 0.0
        self._reopened = self._renewed = False
        self._vouched = False
        self._batch = MAX_BATCH
        self._epoch: str | None = None
        self._moves = 0

    @property
    def is_under_way(self) -> bool:
        """Whether a request is under way."""
        return self._phase == "under_way"

    @property
    def open_files(self) -> int:
        """How many files the hub knows to be processed by this reporter."""
        return len(self._files)

    def push(self, item: Item, *, force: bool = False) -> bool:
        """Takes an event; whether there was room."""
        taken = self.queue.push(item, force=force)
        if taken:
            self.owes_offline = item.effect != "offline"
        return taken

    def hurry(self, by: float) -> None:
        """Somebody waits until this time for the queue to empty."""
        self._hurry_by = max(self._hurry_by, by)

    def next(self, now: float) -> Send | Wait:
        """What to do now."""
        hurried = now < self._hurry_by
        if self._phase == "under_way":
            return Wait(None, for_events=False)
        if self._phase == "backoff":
            # What is left of a deadline is better spent trying.
            until = min(self._until, self._failed_at + HURRIED_RETRY) if hurried else self._until
            if until > now:
                return Wait(until, for_events=False)
        self._phase = "ready"
        if not self.queue.waiting and not self.queue.under_way:
            return self._idle(now)
        if not hurried and self._earliest > now and self.queue.waiting < self._batch:
            return Wait(self._earliest, for_events=False)
        items = self.queue.take(self._batch, MAX_BYTES)
        leaves = next((index for index, item in enumerate(items) if item.effect == "offline"), None)
        if leaves is not None and not self._vouched and (other := self.vouch_for()) is not None:
            self.queue.give_back()
            if leaves == 0:
                self._vouched = True
                return self._send("vouch", HEARTBEAT, now, other)
            # What comes before it opens the pipeline, where it is not known yet: only then it can be vouched for.
            items = self.queue.take(leaves, MAX_BYTES)
        return self._send("batch", b"[" + b",".join(item.json for item in items) + b"]", now)

    def _idle(self, now: float) -> Send | Wait:
        if not self._online:
            return Wait(None, for_events=True)
        due = self._last_arrival + self.timing.heartbeat
        if due > now:
            return Wait(due, for_events=True)
        return self._send("heartbeat", HEARTBEAT, now)

    def _send(
        self, what: Literal["batch", "heartbeat", "vouch"], body: bytes, now: float, reporter_id: str | None = None
    ) -> Send:
        self._phase = "under_way"
        self._sent = what
        self._earliest = now + self.timing.pause
        return Send(body, reporter_id)

    def answered(self, answer: Answer, now: float, time: str) -> Rejected | None:
        """The answer to what was under way. `time` is for events that re-open the pipeline."""
        if self._phase != "under_way":
            return None
        self._phase = "ready"
        refused = answer.problem is not None and answer.problem.code == "unauthorized"
        if refused and self.renews and not self._renewed:
            # Once at once, by another token: the last one is not sent again.
            self._renewed = True
            self._vouched = False
            self._earliest = now
            self.queue.give_back()
            return None
        if not refused and answer.failure is None:
            self._renewed = False
        if answer.problem is not None:
            return self._refused(answer.problem, answer.retry_after, now, time)
        receipt = _receipt(answer.body)
        if receipt is None:
            cause = answer.failure or "no hub's answer came from this address: it is no receipt"
            self._retry(cause, answer.retry_after, now)
            return None
        self._stands("connected", now)
        self.backoff.reset()
        if self._sent != "vouch":
            self._arrived(*receipt, now, time)
        return None

    def _arrived(self, counts: tuple[int, int, int], epoch: str, now: float, time: str) -> None:
        self._last_arrival = now
        self._reopened = False
        # Back to full size slowly, or a hub with smaller limits would refuse every other batch.
        self._batch = min(MAX_BATCH, self._batch + 10)
        for name, count in zip(("accepted", "duplicates", "conflated"), counts, strict=True):
            setattr(self.totals, name, getattr(self.totals, name) + count)
        moved = self._epoch is not None and self._epoch != epoch
        self._epoch = epoch
        mark, told_online = self._files.mark(), False
        for item in self.queue.settle():
            self._online = True
            if item.effect == "online":
                told_online = self._said_online = True
                self._online_item = item
            elif item.effect == "offline":
                self._online = self._vouched = False
                self._files.clear()
            elif item.effect == "begin":
                self._files.begin(item)
            elif item.effect == "end":
                self._files.end(item.file)
        if not moved:
            self._moves = 0
        elif self._online:
            self._tell_again(mark, now, time, online=self._said_online and not told_online)

    def _tell_again(self, mark: int, now: float, time: str, *, online: bool) -> None:
        """The hub counts anew: what was told before this answer is told again, but for what the answer was to."""
        self._reopen(online, self._files.begun_before(mark), time)
        # Once at once; two hubs that answer in turns are not to be told without a pause.
        self._moves += 1
        if self._moves > 1:
            self._phase = "backoff"
            self._failed_at = now
            self._until = now + self.backoff.after(self._moves)

    def _reopen(self, online: bool, files: list[Item], time: str) -> None:
        items = []
        if online and self._online_item is not None:
            items.append(self.encoder.again("pipeline:online", self._online_item, time))
        items += [self.encoder.again("file:processing", item, time) for item in files]
        self.queue.reopen(items)
        self._vouched = False

    def remember_online(self, item: Item) -> None:
        """With which fields the pipeline is opened where a hub does not know it."""
        self._online_item = item

    def _refused(self, problem: Problem, retry_after: float | None, now: float, time: str) -> Rejected | None:
        if problem.code == "unknown_pipeline":
            self._forgotten(problem, retry_after, now, time)
        elif problem.code in _EVERYTHING:
            self._refuse_all(problem, now)
        elif problem.retryable:
            self._retry(str(problem), retry_after, now)
        elif self._sent != "batch":
            # A heartbeat has no content to be wrong.
            self._refuse_all(problem, now)
        elif problem.index is not None and problem.index < self.queue.under_way:
            return self._set_aside(problem.index, problem, now)
        elif self.queue.under_way == 1:
            return self._set_aside(0, problem, now)
        else:
            self._batch = max(1, self.queue.under_way // 2)
            self.queue.give_back()
        return None

    def _forgotten(self, problem: Problem, retry_after: float | None, now: float, time: str) -> None:
        self.queue.give_back()
        if self._sent == "vouch":
            return
        self._reopen(True, self._files.begun_before(), time)
        # Once at once; a hub that goes on forgetting is not to be asked without a pause.
        if self._reopened:
            self._retry(str(problem), retry_after, now)
        self._reopened = True

    def _set_aside(self, index: int, problem: Problem, now: float) -> Rejected:
        item = self.queue.set_aside(index)
        self.totals.rejected += 1
        self.backoff.reset()
        self._stands("connected", now)
        return Rejected(item.json, problem)

    def _retry(self, cause: str, retry_after: float | None, now: float) -> None:
        self.queue.give_back()
        # By the next try the one it vouched for may have left.
        self._vouched = False
        asked = self.backoff.spread(retry_after) if retry_after is not None else 0.0
        self._phase = "backoff"
        self._failed_at = now
        self._until = now + max(self.backoff.fail(), asked)
        self._stands("retrying", now, cause)

    def _refuse_all(self, problem: Problem, now: float) -> None:
        standing = self.standing
        self._retry(str(problem), None, now)
        self.standing = standing
        self._stands("refused", now, str(problem))

    def _stands(
        self, connection: Literal["idle", "connected", "retrying", "refused"], now: float, cause: str = ""
    ) -> None:
        since = self.standing.since if self.standing.connection == connection else now
        self.standing = Standing(connection, since, cause)


def _receipt(body: Any) -> tuple[tuple[int, int, int], str] | None:
    """The counts and the epoch of a receipt; None for what is none."""
    if not isinstance(body, dict):
        return None
    counts = [body.get(key) for key in ("accepted", "duplicates", "conflated")]
    epoch = body.get("epoch")
    if not isinstance(epoch, str) or not all(isinstance(count, int) for count in counts):
        return None
    accepted, duplicates, conflated = counts
    return (accepted, duplicates, conflated), epoch  # type: ignore[return-value]

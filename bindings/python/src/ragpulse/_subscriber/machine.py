"""How one pipeline is followed by polling: what to ask when, and what of an answer is news. Time is passed in.

| the last answer | the next question |
|---|---|
| brought news | at once, from where it ended |
| brought nothing | at once, but no two within a second: a hub may answer without waiting |
| cannot be read, or does not follow | at once, without a cursor: for the whole state |
| none, or the hub asks to come back | after a wait that doubles, or the one that was asked for |
| the hub refuses | never |
| the hub refuses the token, and there is a source of tokens | at once with another one; then after waits |

What may come in: answers of a hub, of a proxy before it, or none. What it never does: I/O; read a clock; give an event
twice, out of order or past a hole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ragpulse import models
from ragpulse._backoff import Backoff
from ragpulse._endpoint import Answer, Problem
from ragpulse.session import Anomaly, Message, Session, decode

WAIT_SECONDS: Final = 25
"""How long a hub is asked to hold an answer until there is news."""
LEAST_SECONDS: Final = 1.0
"""The least time between two questions that bring nothing."""
UNKNOWN: Final = "unknown_pipeline"


@dataclass(frozen=True)
class Update:
    """One piece of news of a pipeline."""

    pipeline_id: str
    """The pipeline."""
    event: str
    """The event's name; `pipeline:status` where the whole state came."""
    data: dict[str, Any]
    """Its payload, as it came. Not to be changed."""
    status: dict[str, Any] | None
    """The state after it, as the payload of `pipeline:status`; None when the pipeline is gone. Not to be changed."""
    reason: str | None = None
    """Why the whole state came in place of events: `trimmed`, `epoch_changed`, `ahead`, or `unknown_pipeline` when the
    hub does not know the pipeline any more."""
    anomalies: tuple[Anomaly, ...] = ()
    """What in the event did not fit the state before it."""

    @property
    def payload(self) -> models.Model:
        """The payload as its model. Raises `pydantic.ValidationError` for what is not as the contract says."""
        return models.decode(self.event, self.data)


class Ask(NamedTuple):
    """Ask the hub for what comes after a cursor."""

    query: dict[str, str]


class Rest(NamedTuple):
    """Nothing before this time."""

    until: float


class Refused(NamedTuple):
    """The hub refuses for good."""

    problem: Problem


class Poller:
    """Follows one pipeline."""

    def __init__(
        self, pipeline_id: str, backoff: Backoff, resume: Mapping[str, Any] | None = None, *, renews: bool = False
    ) -> None:
        """`renews`: there is a source to ask for another token."""
        self.pipeline_id: Final = pipeline_id
        self.session: Final = Session()
        self.backoff: Final = backoff
        self.cause = ""
        """Why the last question had no answer; empty otherwise."""
        self._renews = renews
        self._renewed = False
        self._wants_state = False
        self._asked_at = 0.0
        self._rest_until = 0.0
        self._refused: Problem | None = None
        if resume is not None:
            message = decode("pipeline:status", dict(resume))
            if not isinstance(message, Message) or message.data["pipeline_id"] != pipeline_id:
                raise ValueError(f"`resume` is no status of {pipeline_id!r}: give the `status` of an earlier update")
            self.session.handle(message)

    def next(self, now: float, wait: int = WAIT_SECONDS) -> Ask | Rest | Refused:
        """What to do now. `wait`: for how many seconds the hub may hold the answer."""
        if self._refused is not None:
            return Refused(self._refused)
        if self._rest_until > now:
            return Rest(self._rest_until)
        self._asked_at = now
        cursor = None if self._wants_state else self.session.cursor
        query = {"wait": str(wait)}
        if cursor is not None:
            query |= {"epoch": cursor.epoch, "seq": str(cursor.seq)}
        return Ask(query)

    def answered(self, answer: Answer, now: float) -> list[Update]:
        """The answer to what was asked; gives the news in it."""
        if answer.problem is not None:
            return self._no(answer.problem, answer.retry_after, now)
        body = answer.body
        events = body.get("events") if isinstance(body, dict) else None
        snapshot = body.get("snapshot") if isinstance(body, dict) else None
        if not isinstance(snapshot, dict) and not isinstance(events, list):
            self._fail(answer.failure or "no hub's answer came from this address", answer.retry_after, now)
            return []
        # A question is for what comes after the cursor: it is a resync by itself.
        self.session.resynced()
        self.backoff.reset()
        self._renewed = False
        self.cause = ""
        self._wants_state = False
        reason = body.get("reason")
        updates = self._gone() if reason == UNKNOWN else []
        if isinstance(snapshot, dict):
            updates += self._take("pipeline:status", {**snapshot, "reason": reason} if reason else snapshot)
        else:
            for event in events or []:
                named = isinstance(event, dict) and isinstance(event.get("event"), str)
                updates += self._take(event["event"], event.get("data")) if named else self._bad()
                if self._wants_state:
                    # What comes after it would be beyond a hole.
                    break
        self._rest_until = now if updates else self._asked_at + LEAST_SECONDS
        return updates

    def _take(self, event: str, data: Any) -> list[Update]:
        message = decode(event, data)
        if not isinstance(message, Message) or message.data.get("pipeline_id") != self.pipeline_id:
            return self._bad()
        verdict, anomalies = self.session.handle(message)
        if verdict == "resync":
            return self._bad()
        if verdict == "ignore":
            return []
        reason = message.data.get("reason") if verdict == "replace" else None
        status = self.session.status
        return [Update(self.pipeline_id, event, message.data, status, reason, tuple(anomalies))]

    def _bad(self) -> list[Update]:
        self._wants_state = True
        return []

    def _gone(self) -> list[Update]:
        if self.session.state is None:
            return []
        self.session.reset()
        return [Update(self.pipeline_id, "pipeline:status", {}, None, UNKNOWN)]

    def _no(self, problem: Problem, retry_after: float | None, now: float) -> list[Update]:
        if problem.code == "unauthorized" and self._renews:
            if self._renewed:
                self._fail(str(problem), retry_after, now)
            # Once at once: the last token is not sent again.
            self._renewed = True
            return []
        if problem.code == UNKNOWN:
            self._fail(str(problem), retry_after, now)
            return self._gone()
        if problem.code == "invalid_cursor" and not self._wants_state:
            self._wants_state = True
        elif problem.retryable:
            self._fail(str(problem), retry_after, now)
        else:
            self._refused = problem
        return []

    def _fail(self, cause: str, retry_after: float | None, now: float) -> None:
        self.cause = cause
        asked = self.backoff.spread(retry_after) if retry_after is not None else 0.0
        self._rest_until = now + max(self.backoff.fail(), asked)

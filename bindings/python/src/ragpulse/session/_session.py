"""The apply rule (docs/spec/delivery.md), and one pipeline as one subscriber sees it.

What may come in: messages of one pipeline from any transport, late, twice, or with holes between them. What it never
does: I/O; fold an event twice or past a hole; ask for a resync while one is not answered.
"""

from typing import Any, Literal, NamedTuple

from ragpulse.session._decode import Message
from ragpulse.session._reducer import Anomaly, apply
from ragpulse.session._state import PipelineState

Verdict = Literal["apply", "replace", "ignore", "resync"]
"""What the rule says of a message."""


class Cursor(NamedTuple):
    """A position: all up to there has been seen."""

    epoch: str
    """The life of the sequence in which `seq` counts."""
    seq: int
    """The last event that was seen; 0 for none."""


class Step(NamedTuple):
    """What a message led to."""

    verdict: Verdict
    """What the rule said of it."""
    anomalies: list[Anomaly]
    """What in it did not fit the state before it."""


def verdict(at: Cursor | None, message: Message) -> Verdict:
    """The apply rule. `at` is the position of the state, or None where there is none."""
    event, data = message
    if event == "heartbeat":
        # No state is a state at 0 of any epoch.
        asks = (at is None or data["epoch"] == at.epoch) and data["seq"] > (at.seq if at else 0)
        return "resync" if asks else "ignore"
    if event == "pipeline:status":
        # One that is not newer answers a question asked before the state came by another way.
        stale = at is not None and data["epoch"] == at.epoch and data["seq"] <= at.seq
        return "ignore" if stale and data.get("reason") != "ahead" else "replace"
    if not message.is_of_sequence:
        return "ignore"
    if at is None:
        return "apply" if data["seq"] == 1 else "resync"
    if data["epoch"] != at.epoch:
        return "resync"
    if data["seq"] <= at.seq:
        return "ignore"
    return "apply" if data["seq"] == at.seq + 1 else "resync"


class Session:
    """One pipeline as one subscriber sees it: its state, kept by the rule."""

    def __init__(self) -> None:
        self._state: PipelineState | None = None
        self._resyncing = False

    @property
    def state(self) -> PipelineState | None:
        """The state, or None. It is changed by what comes next; `status` gives what is not."""
        return self._state

    @property
    def status(self) -> dict[str, Any] | None:
        """The state as the payload of `pipeline:status`, or None."""
        return self._state.write() if self._state else None

    @property
    def cursor(self) -> Cursor | None:
        """The position to resume from, or None."""
        return Cursor(self._state.epoch, self._state.seq) if self._state else None

    @property
    def is_resyncing(self) -> bool:
        """Whether a resync was asked for and has not been answered."""
        return self._resyncing

    def resynced(self) -> None:
        """The answer to a resync is here, or the connection on which it was asked for is gone."""
        self._resyncing = False

    def reset(self) -> None:
        """Drops the state: the hub does not know the pipeline (any more)."""
        self._state = None
        self._resyncing = False

    def handle(self, message: Message) -> Step:
        """Does with a message what the rule says. `resync` is told once, until it is answered; then it is `ignore`."""
        said = verdict(self.cursor, message)
        if said == "resync":
            first = not self._resyncing
            self._resyncing = True
            return Step("resync" if first else "ignore", [])
        event, data = message
        if said == "apply":
            if self._state is None:
                self._state = PipelineState.opening(data)
            anomalies = apply(self._state, event, data)
            if event == "pipeline:removed":
                self._state = None
            return Step(said, anomalies)
        if said == "replace":
            self._state = PipelineState.read(data)
            self._resyncing = False
        elif event == "heartbeat" and self._state and self.cursor == (data["epoch"], data["seq"]):
            # Liveness changes by the passing of time, which no event tells.
            self._state.known["liveness"] = data["liveness"]
        return Step(said, [])

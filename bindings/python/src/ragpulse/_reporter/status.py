"""How a reporter fares, for those who want to show it."""

from dataclasses import dataclass
from typing import Any, Literal

from ragpulse._endpoint import Problem

Connection = Literal["idle", "connected", "retrying", "refused", "closed"]
"""How a reporter stands with its hub: nothing was sent yet; the last try was taken; the hub is away and tried again; it
takes nothing from this reporter, for a cause that somebody has to remove; the reporter was closed."""


@dataclass(frozen=True)
class ReporterStatus:
    """How a reporter fares. All numbers are of this process, since the reporter was made or the process was forked."""

    connection: Connection
    """How it stands with its hub."""
    since_seconds: float
    """For how many seconds it has stood so."""
    failures: int
    """How many tries failed in a row."""
    cause: str
    """Why the hub is away or refuses; empty otherwise."""
    queued: int
    """How many events wait to be sent or are on their way."""
    queued_bytes: int
    """How many bytes these are."""
    accepted: int
    """How many events the hub took into its log."""
    duplicates: int
    """How many the hub had taken before: answers to the first try were lost."""
    conflated: int
    """How many the hub took without logging them: superseded progress, heartbeats, an offline while others report."""
    rejected: int
    """How many the hub refused for good, or could not be written; each was told to `on_rejected` and logged."""
    progress_given_up: int
    """How many progress events were superseded or dropped before they were sent."""
    dropped: int
    """How many other events found no room in the queue, or were reported after `close`."""


@dataclass(frozen=True)
class Rejected:
    """An event that the hub refused for good. The events around it were sent without it."""

    event: dict[str, Any]
    """The event as it was sent."""
    problem: Problem
    """What the hub says is wrong with it."""

"""Questions to a record manager or a store, by code that is the same for sync and async runs.

What may come in: a generator that yields `Ask`s and is sent the answers; None where there is none. What it never does:
raise what the asking raised (but for the end of the program or the task, which goes on).
"""

import functools
import logging
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

log = logging.getLogger("ragpulse")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Ask:
    """One question."""

    now: Callable[[], Any]
    """Asks in a sync run."""
    later: Callable[[], Awaitable[Any]]
    """Asks in an async one."""


Steps = Generator[Ask, Any, None]


def quietly(hook: Callable[P, R]) -> Callable[P, R | None]:
    """What goes wrong within is logged, and is not what the framework pays for."""

    @functools.wraps(hook)
    def guarded(*arguments: P.args, **named: P.kwargs) -> R | None:
        try:
            return hook(*arguments, **named)
        except Exception:
            log.exception("a part of an indexing run could not be reported")
            return None

    return guarded


@quietly
def walk(steps: Steps) -> None:
    """Asks in a sync run."""
    answer = None
    while (ask := _next(steps, answer)) is not None:
        try:
            answer = ask.now()
        except Exception:
            answer = None
            _unknown()


async def awalk(steps: Steps) -> None:
    """Asks in an async one."""
    step, answer = quietly(_next), None
    while (ask := step(steps, answer)) is not None:
        try:
            answer = await ask.later()
        except Exception:
            answer = None
            _unknown()


@quietly
def blind(steps: Steps) -> None:
    """Asks nothing, and answers that nothing is known."""
    while _next(steps, None) is not None:
        pass


def _next(steps: Steps, answer: Any) -> Ask | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def _unknown() -> None:
    log.debug("what was asked of a record manager or store could not be told", exc_info=True)

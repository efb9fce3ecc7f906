"""Hostile clients against a live hub: it survives, others get all their events, and its memory comes to rest.

    RAGPULSE_BIN=target/debug/ragpulse python3 tests/security/check.py --only frames [--long] [--seed N] [--attack N]

A seed gives the same attacks in the same order; `--attack N` runs that one alone. What is up to chance elsewhere, such
as how much the hub has read when a connection is cut, is not in the seed.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import statistics
import threading
from dataclasses import dataclass, field

from attacks import ATTACKS, Attack
from hub import Hub, running, until
from socketio import Gone, Link, event

ROUND = 24
"""Attacks between two looks at the hub: each kind twice."""


@dataclass
class Plan:
    """How much is done."""

    warm_up: int
    """Rounds before memory counts."""
    rounds: int
    growth: int
    """How much more memory, in KiB, the last third of the rounds may have than the first."""


SHORT = Plan(warm_up=6, rounds=9, growth=6_144)
LONG = Plan(warm_up=60, rounds=240, growth=6_144)


@dataclass
class Witness:
    """A client that behaves: what it gets is what was reported, once and in order."""

    hub: Hub
    seen: list[int] = field(default_factory=list)
    states: int = 0
    cause: str | None = None

    def start(self) -> None:
        """Subscribes, and listens in a thread until the hub is gone."""
        self.link = Link(self.hub)
        self.link.connect()
        self.link.packet('420["subscribe",{"pipeline_id":"witness"}]')
        threading.Thread(target=self._listen, daemon=True).start()
        until(lambda: self.states, "the witness's state")

    def _listen(self) -> None:
        self.link.socket.settimeout(None)
        try:
            while True:
                name, data = event(self.link.next()) or ("", {})
                if name == "pipeline:status":
                    self.states += 1
                elif name == "x:round":
                    self.seen.append(data["round"])
        except (Gone, OSError) as error:
            self.cause = repr(error)

    def check(self, rounds: int) -> None:
        """Whether it has got everything up to here."""
        until(lambda: len(self.seen) >= rounds or self.cause, f"round {rounds} to reach the witness")
        if self.cause or self.states != 1 or self.seen != list(range(1, rounds + 1)):
            raise AssertionError(f"the witness has {self.seen[-5:]}, {self.states} states, and was cut by {self.cause}")


def chosen(seed: int, number: int) -> tuple[Attack, random.Random]:
    """The attack of this number, and its chance."""
    return ATTACKS[number % len(ATTACKS)], random.Random(f"{seed}:{number}")


def attack(hub: Hub, seed: int, number: int) -> None:
    """One attack. That a hub ends a connection is its right."""
    run, chance = chosen(seed, number)
    try:
        with contextlib.suppress(Gone, TimeoutError, ConnectionError, http.client.HTTPException):
            run(hub, chance)
        if hub.process.poll() is not None:
            raise AssertionError(f"the hub is gone with {hub.process.returncode}")
    except AssertionError as error:
        raise SystemExit(
            f"attack {number} ({run.__name__}) of seed {seed}: {error}\n"
            f"to repeat it: --only frames --seed {seed} --attack {number}\n{hub.told()}"
        ) from error


def check(seed: int, plan: Plan, alone: int | None) -> None:
    """Runs the plan, or one attack of it."""
    print(f"frames: seed {seed}", flush=True)
    with running() as hub:
        hub.open("noise")
        hub.open("witness")
        witness = Witness(hub)
        witness.start()
        memory: list[int] = []
        total = 1 if alone is not None else plan.warm_up + plan.rounds
        for done in range(1, total + 1):
            first = (done - 1) * ROUND
            for number in [alone] if alone is not None else range(first, first + ROUND):
                attack(hub, seed, number)
            hub.publish("witness", {"event": "x:round", "data": {"round": done}})
            witness.check(done)
            if not hub.lives():
                raise SystemExit(f"seed {seed}: the hub does not answer after round {done}\n{hub.told()}")
            memory.append(hub.memory())
            if done % 20 == 0:
                print(f"frames: round {done} of {total}, {memory[-1]} KiB", flush=True)
        # What was left without a word is let go of when nobody answers its pings.
        until(lambda: hub.connections() == 1, "the hub to let go of who has left", patience=90)
        if "panicked" in hub.told():
            raise SystemExit(f"seed {seed}: {hub.told()}")
        if alone is None:
            rests(seed, memory[plan.warm_up :], plan.growth)
            print(f"frames: {total * ROUND} attacks, none of which the hub did not survive", flush=True)


def rests(seed: int, memory: list[int], growth: int) -> None:
    """Whether memory has come to rest: by medians, as an allocator keeps some of what it was given."""
    third = len(memory) // 3
    first, last = statistics.median(memory[:third]), statistics.median(memory[-third:])
    print(
        f"frames: memory after the warm-up {first:.0f} KiB, at the end {last:.0f} KiB ({last - first:+.0f})", flush=True
    )
    if last - first > growth:
        raise SystemExit(f"seed {seed}: memory grows by more than {growth} KiB: {memory}")

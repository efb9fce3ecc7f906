"""The machine of the reporter: what it sends and when, with time passed in and no I/O."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ragpulse._backoff import Backoff
from ragpulse._endpoint import Answer, Problem
from ragpulse._reporter.encode import HEARTBEAT, Encoder
from ragpulse._reporter.machine import MAX_BATCH, Machine, Rejected, Send, Timing, Wait
from ragpulse._reporter.queue import Queue

TIME = "2026-01-01T00:00:00.000Z"


def machine(events: int = 10_000, size: int = 10_000_000, vouch_for: str | None = None) -> Machine:
    made = Machine(
        Queue(events, size),
        Encoder("id"),
        Backoff(1.0, 8.0, lambda: 1.0),
        Timing(heartbeat=40.0, pause=0.0),
        lambda: vouch_for,
    )
    made.remember_online(made.encoder.encode("pipeline:online", {"pipeline_type": "t"}))
    return made


def push(to: Machine, event: str, file: str | None = None, **data: Any) -> bool:
    fields = data if file is None else {"file": {"id": file, "name": file}, **data}
    return to.push(to.encoder.encode(event, fields, time=TIME))


def sent(action: Send | Wait) -> list[str]:
    """What is in a batch: `event file`."""
    assert isinstance(action, Send), action
    return [
        " ".join(filter(None, [one["event"], one.get("data", {}).get("file", {}).get("id")]))
        for one in json.loads(action.body)
    ]


def ok(accepted: int = 1, epoch: str = "e", **counts: int) -> Answer:
    return Answer(body={"accepted": accepted, "duplicates": 0, "conflated": 0, "epoch": epoch, "seq": 1, **counts})


def problem(code: str, *, retryable: bool = False, index: int | None = None, after: float | None = None) -> Answer:
    return Answer(problem=Problem(code, "because", 400, retryable, index), retry_after=after)


def answered(to: Machine, answer: Answer, now: float = 0.0) -> Rejected | None:
    return to.answered(answer, now, TIME)


def test_what_waits_goes_as_one_and_nothing_else_while_it_is_under_way() -> None:
    m = machine()
    assert m.next(0) == Wait(None, for_events=True)
    push(m, "pipeline:online")
    push(m, "file:processing", "a")
    assert sent(m.next(0)) == ["pipeline:online", "file:processing a"]
    push(m, "file:completed", "a")
    assert m.next(0) == Wait(None, for_events=False)
    assert answered(m, ok(2)) is None
    assert sent(m.next(0)) == ["file:completed a"]
    answered(m, ok(1, duplicates=1))
    assert (m.totals.accepted, m.totals.duplicates, len(m.queue)) == (3, 1, 0)
    assert m.standing.connection == "connected"


def test_requests_are_apart_unless_a_batch_waits_or_somebody_does() -> None:
    m = machine()
    m.timing = Timing(pause=0.05)
    push(m, "file:completed", "a")
    assert sent(m.next(0))
    answered(m, ok())
    push(m, "file:completed", "b")
    assert m.next(0.01) == Wait(0.05, for_events=False)
    for number in range(MAX_BATCH):
        push(m, "file:completed", str(number))
    assert len(sent(m.next(0.01))) == MAX_BATCH
    answered(m, ok())
    m.hurry(5)
    assert sent(m.next(0.02)) == ["file:completed 499"]


def test_a_resend_is_the_same_to_the_byte_after_waits_that_double() -> None:
    m = machine()
    push(m, "file:completed", "a")
    first = m.next(0)
    now = 0.0
    for wait in (1, 2, 4, 8, 8):
        answered(m, Answer(failure="nobody"), now)
        assert m.next(now) == Wait(now + wait, for_events=False)
        now += wait
        assert m.next(now) == first
    assert (m.standing.connection, m.standing.since, m.standing.cause) == ("retrying", 0, "nobody")
    answered(m, ok(), now)
    assert m.standing.connection == "connected"
    push(m, "file:completed", "b")
    m.next(now)
    answered(m, Answer(failure="nobody"), now)
    assert m.next(now) == Wait(now + 1, for_events=False), "it starts over"


def test_the_hub_may_ask_for_a_longer_wait_and_who_waits_for_a_shorter() -> None:
    m = machine()
    push(m, "file:completed", "a")
    m.next(0)
    answered(m, problem("overloaded", retryable=True, after=20.0))
    assert m.next(0) == Wait(30.0, for_events=False), "lengthened by up to a half"
    m.hurry(10)
    assert m.next(0) == Wait(0.25, for_events=False)
    assert sent(m.next(0.25)) == ["file:completed a"]


def test_a_heartbeat_is_sent_when_nothing_else_was() -> None:
    m = machine()
    push(m, "pipeline:online")
    m.next(0)
    answered(m, ok(), 5)
    assert m.next(5) == Wait(45, for_events=True)
    assert m.next(45) == Send(HEARTBEAT)
    answered(m, ok(0, conflated=1), 46)
    assert m.next(46) == Wait(86, for_events=True)
    push(m, "pipeline:offline")
    m.next(46)
    answered(m, ok(), 47)
    assert m.next(1000) == Wait(None, for_events=True), "who has left has no lease to renew"


def test_a_refused_event_is_set_aside_and_the_rest_sent() -> None:
    m = machine()
    for file in "abc":
        push(m, "file:completed", file)
    m.next(0)
    rejected = answered(m, problem("invalid_event", index=1))
    assert rejected
    assert json.loads(rejected.json)["data"]["file"]["id"] == "b"
    assert sent(m.next(0)) == ["file:completed a", "file:completed c"]
    assert m.totals.rejected == 1


def test_a_batch_that_is_refused_as_a_whole_is_halved_until_the_culprit_is_found() -> None:
    m = machine()
    for number in range(8):
        push(m, "file:completed", str(number))
    aside = []
    for _ in range(40):
        action = m.next(0)
        if isinstance(action, Wait):
            break
        bad = "file:completed 5" in sent(action)
        rejected = answered(m, problem("invalid_json") if bad else ok(len(sent(action))))
        if rejected:
            aside.append(json.loads(rejected.json)["data"]["file"]["id"])
    assert aside == ["5"]
    assert m.totals.accepted == 7


def test_a_hub_that_forgot_the_pipeline_is_told_again() -> None:
    m = machine()
    push(m, "pipeline:online", watch_location="docs")
    push(m, "file:processing", "a")
    push(m, "file:processing", "b")
    m.next(0)
    answered(m, ok(3))
    push(m, "file:completed", "b")
    m.next(0)
    answered(m, problem("unknown_pipeline"))
    action = m.next(0)
    assert sent(action) == ["pipeline:online", "file:processing a", "file:processing b", "file:completed b"]
    assert isinstance(action, Send)
    assert json.loads(action.body)[0]["data"] == {"watch_location": "docs"}
    ids = [one["event_id"] for one in json.loads(action.body)]
    assert len(set(ids)) == 4
    answered(m, problem("unknown_pipeline"))
    assert isinstance(m.next(0), Wait), "a hub that goes on forgetting is not asked without a pause"
    answered(m, ok(4, epoch="f"))
    assert m.open_files == 2, "no answer was awaited"


def test_a_hub_that_counts_anew_is_told_of_open_files_once() -> None:
    m = machine()
    push(m, "pipeline:online")
    push(m, "file:processing", "a")
    m.next(0)
    answered(m, ok(2, epoch="e1"))
    push(m, "file:processing", "b")
    m.next(0)
    answered(m, ok(1, epoch="e2"))
    assert sent(m.next(0)) == ["pipeline:online", "file:processing a"], "b was told to the new one"
    answered(m, ok(2, epoch="e2"))
    assert m.next(1) == Wait(40, for_events=True)


def test_a_worker_does_not_say_online_to_a_hub_that_counts_anew() -> None:
    m = machine()
    push(m, "file:processing", "a")
    m.next(0)
    answered(m, ok(epoch="e1"))
    push(m, "status:update")
    m.next(0)
    answered(m, ok(epoch="e2"))
    assert sent(m.next(0)) == ["file:processing a"]


def test_two_hubs_that_answer_in_turns_are_not_told_without_a_pause() -> None:
    m = machine()
    push(m, "pipeline:online")
    pauses = 0
    now = 0.0
    for turn in range(20):
        action = m.next(now)
        if isinstance(action, Wait):
            pauses += 1
            assert action.until
            now = action.until
            action = m.next(now)
        if isinstance(action, Send):
            answered(m, ok(epoch=f"e{turn % 2}"), now)
        push(m, "status:update")
    assert pauses > 10


def test_a_refusal_of_everything_is_told_and_tried_again_slowly() -> None:
    m = machine()
    push(m, "file:completed", "a")
    m.next(0)
    assert answered(m, problem("forbidden")) is None
    assert (m.standing.connection, m.standing.cause) == ("refused", "because (forbidden)")
    assert len(m.queue) == 1
    assert isinstance(m.next(0), Wait)
    assert sent(m.next(1)) == ["file:completed a"]


def test_a_refused_heartbeat_sets_nothing_aside() -> None:
    m = machine()
    push(m, "pipeline:online")
    m.next(0)
    answered(m, ok())
    assert m.next(40) == Send(HEARTBEAT)
    assert answered(m, problem("invalid_event", index=0), 40) is None
    assert m.standing.connection == "refused"


def test_what_is_no_receipt_is_no_answer() -> None:
    for body in ({}, {"accepted": "x", "duplicates": 0, "conflated": 0, "epoch": "e"}, {"epoch": 1}):
        m = machine()
        push(m, "file:completed", "a")
        m.next(0)
        answered(m, Answer(body=body))
        assert (m.standing.connection, len(m.queue)) == ("retrying", 1)


def test_a_worker_vouches_for_the_process_it_was_forked_from_before_it_leaves() -> None:
    m = machine(vouch_for="parent")
    push(m, "file:completed", "a")
    push(m, "pipeline:offline")
    assert sent(m.next(0)) == ["file:completed a"], "which opens the pipeline, where it is not known"
    answered(m, ok())
    m.hurry(10)
    assert m.next(0) == Send(HEARTBEAT, "parent")
    answered(m, Answer(failure="nobody"))
    assert m.next(1) == Send(HEARTBEAT, "parent"), "again, for by then it may have left"
    answered(m, ok(0, conflated=1))
    assert sent(m.next(1)) == ["pipeline:offline"]
    assert m.totals.accepted == 1, "what is sent in another's name is not counted"


def test_a_pipeline_that_the_hub_does_not_know_needs_no_voucher() -> None:
    m = machine(vouch_for="parent")
    push(m, "pipeline:offline")
    m.next(0)
    answered(m, problem("unknown_pipeline"))
    assert sent(m.next(0)) == ["pipeline:offline"]


def test_offline_is_owed_for_what_was_reported() -> None:
    m = machine()
    assert not m.owes_offline
    push(m, "file:completed", "a")
    assert m.owes_offline
    push(m, "pipeline:offline")
    assert not m.owes_offline


events = st.tuples(
    st.sampled_from(
        ["pipeline:online", "file:processing", "file:progress", "file:completed", "file:failed", "status:update"]
    ),
    st.sampled_from(["a", "b", "c"]),
)
answers = st.sampled_from(
    [
        ok(),
        ok(epoch="f"),
        problem("unknown_pipeline"),
        problem("overloaded", retryable=True, after=3.0),
        problem("invalid_event", index=0),
        problem("invalid_json"),
        problem("forbidden"),
        Answer(failure="nobody"),
        Answer(body={}),
    ]
)


@given(st.lists(st.one_of(events, answers, st.floats(0, 50)), max_size=80))
def test_no_end_of_a_file_is_lost_or_sent_after_it_was_taken(steps: list[Any]) -> None:
    """Every end is taken by the hub once, or set aside, or waits; and once the hub is well again nothing waits."""
    m = machine()
    now = 0.0
    reported: list[str] = []
    settled: list[str] = []
    body: bytes | None = None

    def ids(text: bytes) -> list[str]:
        return [one["event_id"] for one in json.loads(text) if one["event"] in ("file:completed", "file:failed")]

    def turn(answer: Answer) -> None:
        nonlocal body
        action = m.next(now)
        body = action.body if isinstance(action, Send) else body
        if body is None or not m.is_under_way:
            return
        rejected = answered(m, answer, now)
        if answer.body:
            settled.extend(ids(body))
        if rejected:
            settled.extend(ids(b"[" + rejected.json + b"]"))
        body = None

    for step in steps:
        if isinstance(step, tuple) and not isinstance(step, Answer):
            name, file = step
            item = m.encoder.encode(name, {"file": {"id": file, "name": file}}, time=TIME)
            assert m.push(item)
            reported += ids(b"[" + item.json + b"]")
        elif isinstance(step, Answer):
            turn(step)
        else:
            now += step
        assert len(settled) == len(set(settled)), "taken twice"
    for _ in range(300):
        now += 60
        turn(ok())
    assert sorted(settled) == sorted(reported)
    assert len(m.queue) == 0

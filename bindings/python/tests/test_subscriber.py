"""The subscriber: every event once and in order with its state, whatever happens to the hub."""

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ragpulse
from ragpulse import AsyncSubscriber, HubError, Reporter, Subscriber, Update, models
from ragpulse._backoff import Backoff
from ragpulse._endpoint import Answer, Problem
from ragpulse._subscriber.machine import Ask, Poller, Refused, Rest
from ragpulse.session import Cursor
from support import Hub, free_port, fresh, hub, until


def poller(resume: dict[str, Any] | None = None) -> Poller:
    return Poller("p", Backoff(1.0, 8.0, lambda: 1.0), resume)


def event(seq: int, name: str = "file:completed", epoch: str = "e", **more: Any) -> dict[str, Any]:
    shared = {"pipeline_id": "p", "pipeline_type": "t", "epoch": epoch, "seq": seq}
    times = {"timestamp": "2026-01-01T00:00:00.000Z", "received_at": "2026-01-01T00:00:00.000Z"}
    own = {"file": {"id": str(seq), "name": "f"}, "results": {}, "success": True}
    return {"event": name, "data": {**shared, **times, **own, **more}}


def page(*events: Any, **more: Any) -> Answer:
    return Answer(body={"epoch": "e", "seq": 1, "up_to_date": True, "events": list(events), **more})


def snapshot(seq: int, epoch: str = "e", **more: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("queued", "processing", "completed", "failed", "skipped", "cancelled"), 0)
    status = {"pipeline_id": "p", "pipeline_type": "t", "epoch": epoch, "seq": seq, "status": "online"}
    status |= {"timestamp": "2026-01-01T00:00:00.000Z", "last_activity": "2026-01-01T00:00:00.000Z"}
    status |= {"liveness": "live", "total_processed": seq, "total_failed": 0, "counts": counts, "files": []}
    return {**status, "limits": {"open": 10, "ended": 10}, **more}


def state(seq: int, epoch: str = "e", **more: Any) -> Answer:
    return Answer(body={"epoch": epoch, "seq": seq, "snapshot": snapshot(seq, epoch), **more})


def seqs(updates: list[Update]) -> list[int]:
    return [update.data["seq"] for update in updates]


def test_it_asks_from_where_the_last_answer_ended() -> None:
    p = poller()
    assert p.next(0) == Ask({"wait": "25"})
    assert [update.event for update in p.answered(state(3), 0)] == ["pipeline:status"]
    assert p.next(0, wait=2) == Ask({"wait": "2", "epoch": "e", "seq": "3"})
    updates = p.answered(page(event(3), event(4), event(5)), 1)
    assert seqs(updates) == [4, 5]
    assert [update.status["total_processed"] for update in updates if update.status] == [4, 5]
    assert isinstance(updates[0].payload, models.FileCompleted)
    assert p.session.cursor == Cursor("e", 5)


def test_two_questions_that_bring_nothing_are_apart() -> None:
    p = poller(snapshot(3))
    p.next(10)
    assert p.answered(page(), 10.1) == []
    assert p.next(10.1) == Rest(11)
    assert isinstance(p.next(11), Ask)
    p.answered(page(), 36)
    assert isinstance(p.next(36), Ask), "one that was held may be followed at once"


@pytest.mark.parametrize(
    "bad", [event(6), 7, {"event": "file:completed"}, event(4, file=None), event(4, pipeline_id="q")]
)
def test_what_does_not_follow_or_cannot_be_read_asks_for_the_whole_state(bad: Any) -> None:
    p = poller(snapshot(2))
    p.next(0)
    assert seqs(p.answered(page(event(3), bad, event(5)), 0)) == [3]
    assert p.next(0) == Ask({"wait": "25"})
    assert seqs(p.answered(state(5), 0)) == [5]
    assert p.next(0) == Ask({"wait": "25", "epoch": "e", "seq": "5"})


def test_a_state_in_place_of_events_says_why() -> None:
    p = poller(snapshot(2))
    p.next(0)
    (update,) = p.answered(state(1, "f", reason="epoch_changed"), 0)
    assert (update.event, update.reason, p.session.cursor) == ("pipeline:status", "epoch_changed", Cursor("f", 1))


def test_a_pipeline_that_is_not_known_is_waited_for_and_its_state_dropped() -> None:
    p = poller(snapshot(2))
    p.next(0)
    unknown = Answer(body={"events": [], "reason": "unknown_pipeline", "up_to_date": True, "seq": 0})
    (update,) = p.answered(unknown, 0)
    assert (update.status, update.reason) == (None, "unknown_pipeline")
    assert p.next(1) == Ask({"wait": "25"})
    assert p.answered(unknown, 1) == []
    p.next(2)
    assert seqs(p.answered(page(event(1), event(2)), 3)) == [1, 2]
    p.next(3)
    (removed,) = p.answered(page(event(3, "pipeline:removed")), 3)
    assert (removed.event, removed.status) == ("pipeline:removed", None)


def test_failures_wait_longer_and_longer_or_as_long_as_asked() -> None:
    p = poller()
    now = 0.0
    for wait in (1, 2, 4, 8, 8):
        assert isinstance(p.next(now), Ask)
        assert p.answered(Answer(failure="nobody"), now) == []
        assert p.next(now) == Rest(now + wait)
        now += wait
    assert p.cause == "nobody"
    p.next(now)
    p.answered(Answer(problem=Problem("overloaded", "busy", 503, retryable=True), retry_after=20.0), now)
    assert p.next(now) == Rest(now + 30)
    p.next(now + 30)
    p.answered(Answer(body={"something": "else"}), now + 30)
    assert p.next(now + 30) == Rest(now + 38)
    p.next(now + 38)
    p.answered(state(1), now + 38)
    assert p.cause == ""


def test_a_refusal_ends_it_and_a_bad_cursor_does_not() -> None:
    p = poller(snapshot(2))
    p.next(0)
    p.answered(Answer(problem=Problem("invalid_cursor", "no", 400)), 0)
    assert p.next(0) == Ask({"wait": "25"})
    problem = Problem("forbidden", "no", 403)
    p.answered(Answer(problem=problem), 0)
    assert p.next(0) == Refused(problem)
    p = poller(snapshot(2))
    p.next(0)
    assert [u.reason for u in p.answered(Answer(problem=Problem("unknown_pipeline", "no", 404)), 0)] == [
        "unknown_pipeline"
    ]
    assert isinstance(p.next(0), Rest)


def test_what_is_resumed_from_must_be_a_status_of_the_pipeline() -> None:
    for bad in ({}, snapshot(1, pipeline_id="q"), {"seq": 1}):
        with pytest.raises(ValueError, match="resume"):
            poller(bad)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from("ef"), st.booleans()), max_size=40))
def test_whatever_is_answered_events_come_once_and_in_order(answers: list[tuple[int, int, str, bool]]) -> None:
    p = poller()
    at: Cursor | None = None
    now = 0.0
    for first, count, epoch, as_state in answers:
        now += 100
        p.next(now)
        events = [event(first + number, epoch=epoch) for number in range(count)]
        for update in p.answered(state(first, epoch) if as_state else page(*events), now):
            cursor = Cursor(update.data["epoch"], update.data["seq"])
            if update.event != "pipeline:status":
                assert cursor == (Cursor(cursor.epoch, 1) if at is None else Cursor(at.epoch, at.seq + 1))
            at = cursor
            assert update.status
            assert (update.status["epoch"], update.status["seq"]) == at


# Against the real hub.


def test_it_follows_a_pipeline_that_does_not_exist_yet(live: Hub) -> None:
    name = fresh("follow")
    with Subscriber(name, url=live.url) as subscriber:
        assert subscriber.next(timeout=0.5) is None
        with Reporter(name, "local_files", url=live.url) as pipeline, pipeline.file("a", id="a") as f:
            f.progress("embedding", 0.5)
        while not subscriber.status or subscriber.status["status"] != "offline":
            assert subscriber.next(timeout=20)
        assert subscriber.status == live.state(name)
        assert subscriber.cause == ""
    assert list(subscriber) == [], "it was closed"


def test_it_resumes_from_a_status(live: Hub) -> None:
    name = fresh("resume")
    live.post(name, {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
    with Subscriber(name, url=live.url) as subscriber:
        first = next(subscriber)
    live.post(name, *({"event": "x:n", "data": {"n": number}} for number in range(1500)))
    saved = json.loads(json.dumps(first.status))
    with Subscriber(name, url=live.url, resume=saved) as subscriber:
        seen = [next(subscriber) for _ in range(1500)]
        assert subscriber.cursor == Cursor(saved["epoch"], saved["seq"] + 1500)
    assert [update.data["n"] for update in seen] == list(range(1500))


def test_it_goes_on_where_it_was_though_the_hub_is_killed(tmp_path: Path) -> None:
    running = Hub(store=f"sqlite:{tmp_path / 'hub.db'}")
    try:
        seen: list[Update] = []
        subscriber = Subscriber("killed", url=running.url)

        def follow() -> None:
            for update in subscriber:
                seen.append(update)
                if update.event == "x:end":
                    return

        running.post("killed", {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
        thread = threading.Thread(target=follow)
        thread.start()
        until(lambda: seen, "the first state")
        for turn in range(2):
            running.post("killed", *({"event": "x:n", "data": {"n": turn * 50 + n}} for n in range(50)))
            running.kill()
            running.start()
        running.post("killed", {"event": "x:end"})
        thread.join(30)
        assert not thread.is_alive()
        assert [update.data["n"] for update in seen if update.event == "x:n"] == list(range(100))
        assert [update.event for update in seen].count("pipeline:status") == 1, "nothing but the first state"
        subscriber.close()
    finally:
        running.stop()


def test_closing_lets_go_who_waits(live: Hub) -> None:
    name = fresh("close")
    live.post(name, {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
    subscriber = Subscriber(name, url=live.url)
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.extend(update.event for update in subscriber))
    thread.start()
    until(lambda: seen, "the first state")
    subscriber.close()
    # The hub would hold its answer for 25 seconds.
    thread.join(10)
    assert not thread.is_alive()
    assert seen == ["pipeline:status"]
    assert subscriber.next() is None
    subscriber.close()


def test_what_is_not_closed_goes_with_its_subscriber(live: Hub) -> None:
    name = fresh("forgotten")
    live.post(name, {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
    before = threading.active_count()
    for update in Subscriber(name, url=live.url):
        assert update.event == "pipeline:status"
        break
    gc.collect()
    until(lambda: threading.active_count() <= before, "its thread to end")


class Cut:
    """Stands for what is waited for, and is cut off by a signal's handler when the news are there."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def result(self) -> Any:
        self.inner.result()
        raise InterruptedError

    def cancel(self) -> bool:
        return bool(self.inner.cancel())


def test_what_came_while_the_wait_was_cut_off_comes_next(live: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    name = fresh("cut")
    live.post(name, {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
    with Subscriber(name, url=live.url) as subscriber:
        with monkeypatch.context() as patch:
            run = subscriber._loop.run
            patch.setattr(subscriber._loop, "run", lambda work: Cut(run(work)))
            with pytest.raises(InterruptedError):
                subscriber.next()
        live.post(name, {"event": "x:a"})
        assert [next(subscriber).event, next(subscriber).event] == ["pipeline:status", "x:a"]


def test_who_gives_no_time_is_told_what_there_is(live: Hub) -> None:
    name = fresh("now")
    live.post(name, {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
    with Subscriber(name, url=live.url) as subscriber:
        update = subscriber.next(timeout=0)
        assert update
        assert update.event == "pipeline:status"
        assert subscriber.next(timeout=0) is None


def test_a_hub_that_is_stuck_holds_up_nobody_for_longer_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragpulse._subscriber.subscriber._GRACE", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as stuck,
        Subscriber("p", url=f"http://127.0.0.1:{stuck.getsockname()[1]}") as subscriber,
    ):
        thread = threading.Thread(target=subscriber.next, args=(0.1,))
        thread.start()
        # Without a timeout of its own it would be held for 25 seconds.
        until(lambda: not thread.is_alive(), "it to give up", seconds=20)
        assert "Timeout" in subscriber.cause


FORKED = """
import os, signal, sys
from ragpulse import Subscriber

with Subscriber(sys.argv[1], url=sys.argv[2]) as subscriber:
    print(next(subscriber).event, flush=True)
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    # Nobody would end it.
    signal.alarm(40)
    print("the child:", subscriber.next(timeout=20).event, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
def test_a_forked_process_goes_on_by_itself(live: Hub) -> None:
    name = fresh("forked")
    live.post(name, {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
    environment = {**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    command = [sys.executable, "-c", FORKED, name, live.url]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout
            assert run.stdout.readline() == "pipeline:status\n"
            live.post(name, {"event": "x:a"})
            out, err = run.communicate(timeout=60)
            assert (out, err, run.returncode) == ("the child: x:a\n", "", 0)
        finally:
            run.kill()


def test_a_new_epoch_comes_as_a_state_with_its_reason() -> None:
    port = free_port()
    with hub(listen=f"127.0.0.1:{port}") as running:
        running.post("p", {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
        subscriber = Subscriber("p", url=running.url)
        first = next(subscriber)
        running.post("p", {"event": "x:a"})
        assert next(subscriber).event == "x:a"
        running.kill()
        running.start()
        running.post("p", {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
        update = subscriber.next(timeout=30)
        while update and update.status is None:
            assert update.reason == "unknown_pipeline"
            update = subscriber.next(timeout=30)
        assert update
        assert update.status
        assert first.status
        assert update.status["epoch"] != first.status["epoch"]
        subscriber.close()


def test_a_refusal_is_raised(live: Hub) -> None:
    with Subscriber("p", url=f"{live.url}/elsewhere") as subscriber, pytest.raises(HubError) as raised:
        next(subscriber)
    assert raised.value.problem.code == "not_found"
    with pytest.raises(ValueError, match="name the pipeline"):
        Subscriber()


def test_an_outage_is_told_by_its_cause() -> None:
    with Subscriber("p", url=f"http://127.0.0.1:{free_port()}") as subscriber:
        assert subscriber.pipeline_id == "p"
        assert subscriber.next(timeout=0.3) is None
        assert subscriber.cause


def test_an_async_subscriber(live: Hub) -> None:
    name = fresh("async")

    async def main() -> list[str]:
        names: list[str] = []
        async with AsyncSubscriber(name, url=live.url) as updates:
            live.post(name, {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
            async for update in updates:
                names.append(update.event)
                if update.event == "pipeline:status":
                    live.post(name, {"event": "x:a"}, {"event": "pipeline:offline"})
                if update.event == "pipeline:offline":
                    break
            assert updates.status == live.state(name)
        assert await updates.next() is None
        with pytest.raises(StopAsyncIteration):
            await updates.__anext__()
        async with AsyncSubscriber(name, url=f"http://127.0.0.1:{free_port()}") as nobody:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(nobody.next(), 0.5)
            assert nobody.cause
        return names

    assert asyncio.run(main()) == ["pipeline:status", "x:a", "pipeline:offline"]


def test_the_package_offers_what_it_names() -> None:
    for name in ragpulse.__all__:
        assert getattr(ragpulse, name) is not None
    with pytest.raises(AttributeError):
        ragpulse.Nothing  # noqa: B018

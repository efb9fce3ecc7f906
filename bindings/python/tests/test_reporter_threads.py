"""The reporter under threads, forks, pickling and event loops."""

import asyncio
import gc
import pickle
import threading
from typing import Any

import pytest

from ragpulse import AsyncReporter, Reporter
from ragpulse._reporter import process
from reporter_support import reporter
from support import Hub, fresh, until


def test_many_threads_may_report_at_once(live: Hub) -> None:
    pipeline = reporter(live)

    def work(which: int) -> None:
        for number in range(100):
            with pipeline.file("a", id=f"{which}-{number}") as f:
                f.progress("embedding", 0.5)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pipeline.close(30)
    ends = live.history(pipeline.pipeline_id, event="file:completed")
    assert len({event["data"]["file"]["id"] for event in ends}) == len(ends) == 800
    until(lambda: not any(pipeline.pipeline_id in thread.name for thread in threading.enumerate()), "its thread to end")


def test_a_call_in_the_middle_of_a_call_is_taken_after_it(live: Hub) -> None:
    """As a finalizer or a signal's handler does, which may run anywhere: here, while the lock is held."""
    pipeline = reporter(live)
    engine = pipeline._engine
    push = engine._machine.push

    def interrupted(item: Any, **options: Any) -> bool:
        if b"x:outer" in item.json:
            engine.report("x:inner", {"n": 1})
        return push(item, **options)

    engine._machine.push = interrupted  # type: ignore[method-assign]
    pipeline.report("x:outer")
    assert pipeline.flush()
    assert live.names(pipeline.pipeline_id) == ["pipeline:online", "x:outer", "x:inner"]
    pipeline.close()
    gc.collect()


def test_an_error_of_its_own_does_not_end_the_thread(live: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = reporter(live)
    engine = pipeline._engine
    follow = engine._step
    failures: list[float] = []

    def step(now: float, until: float | None) -> None:
        if not failures:
            failures.append(now)
            raise RuntimeError("a mistake")
        follow(now, until)

    monkeypatch.setattr(engine, "_step", step)
    pipeline.online()
    assert pipeline.flush(20)
    assert failures
    pipeline.close()


def test_where_no_thread_can_be_made_who_waits_sends(live: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        pipeline = reporter(live)
        pipeline.update(a=1)
        assert pipeline.close()
    assert live.names(pipeline.pipeline_id) == ["pipeline:online", "status:update", "pipeline:offline"]


def test_where_no_thread_can_be_made_for_now_the_next_event_makes_one(
    live: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pipeline = reporter(live)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        pipeline.update(a=1)
    pipeline.update(b=2)
    until(lambda: pipeline.status.accepted == 3, "all of them, though nobody waits")
    assert live.names(pipeline.pipeline_id) == ["pipeline:online", "status:update", "status:update"]
    assert pipeline.close()


def test_an_async_reporter(live: Hub) -> None:
    async def main() -> AsyncReporter:
        async with AsyncReporter(fresh("async"), "local_files", url=live.url) as pipeline:
            async with pipeline.file("a", id="a") as f:
                f.progress("embedding", 0.5)
            with pytest.raises(ValueError, match="broken"):
                async with pipeline.file("b", id="b"):
                    raise ValueError("broken")
            assert await pipeline.flush()
            assert "connected" in repr(pipeline)
        return pipeline

    pipeline = asyncio.run(main())
    names = ["pipeline:online", "file:processing", "file:completed", "file:processing", "file:failed"]
    assert live.names(pipeline.pipeline_id) == [*names, "pipeline:offline"]


def test_it_goes_on_after_an_event_loop_was_closed(live: Hub) -> None:
    async def first() -> AsyncReporter:
        pipeline = AsyncReporter(fresh("loop"), "local_files", url=live.url)
        pipeline.file("a", id="a").completed()
        return pipeline

    pipeline = asyncio.run(first())
    pipeline.file("b", id="b").completed()

    async def second() -> None:
        pipeline.file("c", id="c").completed()
        assert await pipeline.close()

    asyncio.run(second())
    ends = live.history(pipeline.pipeline_id, event="file:completed")
    assert [event["data"]["file"]["id"] for event in ends] == ["a", "b", "c"]


def test_a_cancelled_task_still_says_that_the_pipeline_has_stopped(live: Hub) -> None:
    name = fresh("cancelled")

    async def work() -> None:
        async with AsyncReporter(name, "local_files", url=live.url) as pipeline, pipeline.file("a", id="a"):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    events = live.history(name)
    assert [event["event"] for event in events][-2:] == ["file:failed", "pipeline:offline"]
    assert events[-2]["data"]["error"]["type"] == "Interrupted"
    assert events[-1]["data"]["reason"] == "normal_shutdown"


def test_a_reporter_that_is_pickled_is_another_reporter_of_the_same_pipeline() -> None:
    pipeline = Reporter(
        "p", "t", url="http://127.0.0.1:9", reporter_id="me", on_rejected=print, retryable=lambda _: True
    )
    again = pickle.loads(pickle.dumps(pipeline))
    assert isinstance(again, Reporter)
    assert (again.pipeline_id, again.pipeline_type, again.url) == ("p", "t", "http://127.0.0.1:9")
    assert again.reporter_id != pipeline.reporter_id == "me"


def test_two_threads_may_fork_at_the_same_time(live: Hub) -> None:
    """Each waits for the request that is under way, and takes back what it has taken, whatever the other does."""
    pipeline = reporter(live)
    pipeline.online()
    assert pipeline.flush()
    first_is_in, second_is_done = threading.Event(), threading.Event()

    def first() -> None:
        process._before_fork()
        first_is_in.set()
        second_is_done.wait(30)
        process._after_fork()

    thread = threading.Thread(target=first)
    thread.start()
    assert first_is_in.wait(30)
    process._before_fork()
    process._after_fork()
    second_is_done.set()
    thread.join()
    pipeline.update(a=1)
    assert pipeline.flush(), "nothing is held any more"
    pipeline.close()

"""Forks, and how processes end: what is queued is sent, and the pipeline goes offline when it has stopped.

Each test runs a program of its own: what happens at its end is what is looked at.
"""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import Hub, free_port, fresh, until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")

# A fork beside threads is what is tested; the warning of newer Pythons about it is the program's business.
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"}


def write(folder: Path, text: str) -> Path:
    program = folder / "program.py"
    program.write_text(
        "import os, signal, sys, threading, time\nfrom ragpulse import Reporter\n" + textwrap.dedent(text)
    )
    return program


@contextlib.contextmanager
def started(folder: Path, text: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, str(write(folder, text)), *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def run(folder: Path, text: str, *arguments: str, code: int = 0) -> str:
    """Runs a program to its end; gives what it printed."""
    with started(folder, text, *arguments) as process:
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert "Traceback" not in err or code, err
        return out


def ends(live: Hub, pipeline: str) -> list[str]:
    return [event["data"]["file"]["id"] for event in live.history(pipeline, event="file:completed")]


def offline(live: Hub, pipeline: str) -> list[dict[str, Any]]:
    return live.history(pipeline, event="pipeline:offline")


def test_a_program_that_just_ends_has_sent_everything(live: Hub, tmp_path: Path) -> None:
    name = fresh("exit")
    text = """
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2])
        for number in range(200):
            with pipeline.file("a", id=str(number)):
                pass
    """
    run(tmp_path, text, name, live.url)
    assert ends(live, name) == [str(number) for number in range(200)]
    assert live.names(name)[-1] == "pipeline:offline"


@pytest.mark.parametrize(("leave", "code"), [("sys.exit(3)", 3), ("raise RuntimeError('out')", 1)])
def test_an_exit_or_an_error_of_the_program(live: Hub, tmp_path: Path, leave: str, code: int) -> None:
    name = fresh("exit")
    text = f"""
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2])
        with pipeline.file("a", id="a"):
            {leave}
    """
    run(tmp_path, text, name, live.url, code=code)
    assert live.names(name) == ["pipeline:online", "file:processing", "file:failed", "pipeline:offline"]


def test_what_is_first_reported_while_the_interpreter_ends_is_sent(live: Hub, tmp_path: Path) -> None:
    """Newer Pythons start no thread any more by then."""
    name = fresh("late")
    text = """
        import atexit
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2])
        atexit.register(lambda: pipeline.file("a", id="a").completed())
    """
    run(tmp_path, text, name, live.url)
    assert live.names(name) == ["pipeline:online", "file:completed", "pipeline:offline"]


def test_events_that_an_end_leaves_behind_are_told(tmp_path: Path) -> None:
    text = """
        pipeline = Reporter("p", "t", url=sys.argv[1], exit_timeout=0.2)
        pipeline.update(a=1)
    """
    with started(tmp_path, text, f"http://127.0.0.1:{free_port()}") as process:
        _, err = process.communicate(timeout=60)
    assert "3 events of p were not taken" in err


def test_an_end_without_a_hub_takes_a_second_at_most_once_it_is_known(tmp_path: Path) -> None:
    text = """
        pipeline = Reporter("p", "t", url=sys.argv[1])
        pipeline.update(a=1)
        begun = time.monotonic()
        import atexit
        # Registered before those of the package would run last; so it is measured from within.
        from ragpulse._reporter import process
        end = process.at_exit
        atexit.unregister(end)
        end()
        print(time.monotonic() - begun)
    """
    assert float(run(tmp_path, text, f"http://127.0.0.1:{free_port()}")) < 4


def test_sigterm_says_goodbye_for_a_reporter_that_another_thread_made(live: Hub, tmp_path: Path) -> None:
    name = fresh("thread")
    text = """
        made = []
        thread = threading.Thread(target=lambda: made.append(Reporter(sys.argv[1], "t", url=sys.argv[2])))
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        made[0].file("a", id="a").completed()
        os.kill(os.getpid(), signal.SIGTERM)
    """
    run(tmp_path, text, name, live.url, code=-signal.SIGTERM)
    assert live.names(name) == ["pipeline:online", "file:completed", "pipeline:offline"]


def test_sigterm_says_goodbye_and_the_process_dies_of_it(live: Hub, tmp_path: Path) -> None:
    name = fresh("sigterm")
    text = """
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2])
        f = pipeline.file("a", id="a")
        f.processing("embedding")
        for number in range(100):
            pipeline.file("b", id=str(number)).completed()
        print("ready", flush=True)
        time.sleep(60)
    """
    with started(tmp_path, text, name, live.url) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
    assert len(ends(live, name)) == 100
    events = live.history(name)
    assert [event["event"] for event in events][-2:] == ["file:failed", "pipeline:offline"]
    assert events[-2]["data"]["error"]["type"] == "Interrupted"


def test_a_handler_of_the_program_is_left_alone_unless_asked_to_go_before_it(live: Hub, tmp_path: Path) -> None:
    text = """
        def handler(number, frame):
            print("mine", flush=True)
            os._exit(7)
        signal.signal(signal.SIGTERM, handler)
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2], on_sigterm=sys.argv[3])
        print(signal.getsignal(signal.SIGTERM) is handler, flush=True)
        pipeline.online()
        pipeline.flush()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    """
    for how, untouched in (("auto", "True"), ("never", "True"), ("chain", "False")):
        name = fresh("handler")
        assert run(tmp_path, text, name, live.url, how, code=7).split() == [untouched, "mine"]
        assert len(offline(live, name)) == (how == "chain")


def test_sigterm_is_left_alone_where_it_is_ignored_or_not_wanted(tmp_path: Path) -> None:
    text = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Reporter("p", "t", url="http://127.0.0.1:9", on_sigterm="chain")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        Reporter("p", "t", url="http://127.0.0.1:9", on_sigterm="never")
        thread = threading.Thread(target=lambda: Reporter("p", "t", url="http://127.0.0.1:9"))
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        print("good")
    """
    assert run(tmp_path, text) == "good\n"


def test_sigterm_in_the_middle_of_a_call_waits_for_the_call(live: Hub, tmp_path: Path) -> None:
    name = fresh("middle")
    text = """
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2])
        engine = pipeline._engine
        push = engine._machine.push
        def slow(item, **options):
            if b"x:mine" in item.json:
                os.kill(os.getpid(), signal.SIGTERM)
                for _ in range(1000): pass
            return push(item, **options)
        engine._machine.push = slow
        pipeline.report("x:mine", {})
        time.sleep(60)
    """
    run(tmp_path, text, name, live.url, code=-signal.SIGTERM)
    assert live.names(name) == ["pipeline:online", "x:mine", "pipeline:offline"]


def test_sigterm_again_and_again_under_load(live: Hub, tmp_path: Path) -> None:
    """The signal comes anywhere in a program that does nothing but report: it dies, and what it reported is there."""
    text = """
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2])
        number = 0
        def end():
            while number < 200 + int(sys.argv[3]) * 37:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=end, daemon=True).start()
        while True:
            pipeline.file("a", id=str(number)).completed()
            number += 1
            if number % 100 == 0:
                time.sleep(0.01)
    """
    for attempt in range(4):
        name = fresh("load")
        run(tmp_path, text, name, live.url, str(attempt), code=-signal.SIGTERM)
        found = ends(live, name)
        assert found == [str(number) for number in range(len(found))]
        assert len(found) >= 200
        assert live.names(name)[-1] == "pipeline:offline"


def test_a_forked_child_is_a_reporter_of_its_own(live: Hub, tmp_path: Path) -> None:
    name = fresh("fork")
    text = """
        with Reporter(sys.argv[1], "local_files", url=sys.argv[2]) as pipeline:
            parent = pipeline.file("parent", id="parent")
            parent.processing()
            # Still queued, perhaps under way: it stays the parent's.
            for number in range(300):
                pipeline.file("p", id=f"p{number}").completed()
            mine = pipeline.reporter_id
            child = os.fork()
            if child == 0:
                assert pipeline.reporter_id != mine
                assert pipeline.status.queued == 0
                with pipeline.file("child", id="child") as f:
                    f.progress("embedding", 0.5)
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert pipeline.flush()
            parent.completed()
            assert pipeline.reporter_id == mine
    """
    run(tmp_path, text, name, live.url)
    found = ends(live, name)
    assert sorted(found) == sorted(["child", "parent", *(f"p{number}" for number in range(300))])
    names = live.names(name)
    assert names.count("pipeline:online") == 1
    assert names.count("pipeline:offline") == 1
    assert names[-1] == "pipeline:offline"
    assert live.history(name, event="file:failed") == []


def test_a_child_that_leaves_before_its_parent_was_heard_does_not_take_the_pipeline_offline(
    live: Hub, tmp_path: Path
) -> None:
    name = fresh("early")
    text = """
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2])
        engine = pipeline._engine
        # Nothing of the parent goes out until the child has left.
        engine._machine._phase, engine._machine._until = "backoff", time.monotonic() + 3600
        pipeline.online()
        if os.fork() == 0:
            pipeline.file("child", id="child").completed()
            sys.exit(0)
        os.wait()
        engine._machine._until = 0
        pipeline.file("parent", id="parent").completed()
        assert pipeline.flush()
    """
    run(tmp_path, text, name, live.url)
    assert len(offline(live, name)) == 1
    assert live.names(name)[-1] == "pipeline:offline"
    assert sorted(ends(live, name)) == ["child", "parent"]


def test_children_of_a_parent_that_reports_nothing_stand_for_themselves(live: Hub, tmp_path: Path) -> None:
    name = fresh("prefork")
    text = """
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2])
        for number in range(2):
            if os.fork() == 0:
                pipeline.file("a", id=str(number)).completed()
                sys.exit(0)
        for _ in range(2):
            os.wait()
    """
    run(tmp_path, text, name, live.url)
    assert sorted(ends(live, name)) == ["0", "1"]
    assert live.names(name)[-1] == "pipeline:offline"


def test_a_child_of_a_closed_reporter_has_a_closed_one(tmp_path: Path) -> None:
    text = """
        pipeline = Reporter("p", "t", url="http://127.0.0.1:9")
        pipeline.close()
        if os.fork() == 0:
            pipeline.update(a=1)
            os._exit(0 if pipeline.status.connection == "closed" and pipeline.status.dropped == 1 else 1)
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    run(tmp_path, text)


EIGHT = """
    import multiprocessing

    def work(which, name, url, barrier, pipeline=None):
        own = pipeline is None
        if own:
            pipeline = Reporter(name, "local_files", url=url)
        barrier.wait(60)
        for number in range(50):
            with pipeline.file("a", id=f"{which}-{number}") as f:
                f.progress("embedding", 0.5)
        if which == 0:
            return
        # All others are at work until the first has gone.
        time.sleep(0.2)
        with pipeline.file("last", id=f"{which}-last"):
            time.sleep(0.3)

    if __name__ == "__main__":
        name, url, method, share = sys.argv[1:]
        context = multiprocessing.get_context(method)
        barrier = context.Barrier(8)
        if share == "share":
            with Reporter(name, "local_files", url=url) as pipeline:
                workers = [context.Process(target=work, args=(n, name, url, barrier, pipeline)) for n in range(8)]
                for worker in workers: worker.start()
                for worker in workers: worker.join()
        else:
            workers = [context.Process(target=work, args=(n, name, url, barrier)) for n in range(8)]
            for worker in workers: worker.start()
            for worker in workers: worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 8, [worker.exitcode for worker in workers]
"""


@pytest.mark.parametrize(("method", "share"), [("fork", "share"), ("spawn", "share"), ("fork", "own")])
def test_eight_processes_report_one_run_without_loss_or_doubling(
    live: Hub, tmp_path: Path, method: str, share: str
) -> None:
    name = fresh(f"eight-{method}-{share}")
    run(tmp_path, EIGHT, name, live.url, method, share)
    found = ends(live, name)
    expected = {f"{which}-{number}" for which in range(8) for number in range(50)}
    expected |= {f"{which}-last" for which in range(1, 8)}
    assert len(found) == len(set(found))
    assert set(found) == expected
    names = live.names(name)
    assert names.count("pipeline:offline") == 1, "the first to leave does not take the pipeline offline"
    assert names[-1] == "pipeline:offline"
    assert live.history(name, event="file:failed") == []
    if share == "share":
        assert names.count("pipeline:online") == 1
    state = live.state(name)
    assert (state["total_processed"], state["counts"]["completed"]) == (407, 407)


def test_a_pool_whose_workers_are_terminated_loses_nothing(live: Hub, tmp_path: Path) -> None:
    """Leaving the block of a pool sends its workers SIGTERM."""
    name = fresh("pool")
    text = """
        import multiprocessing

        def work(number):
            with pipeline.file("a", id=str(number)) as f:
                f.progress("embedding", 0.5)

        with Reporter(sys.argv[1], "local_files", url=sys.argv[2]) as pipeline:
            with multiprocessing.get_context("fork").Pool(4) as pool:
                pool.map(work, range(200), chunksize=10)
    """
    run(tmp_path, text, name, live.url)
    assert sorted(ends(live, name), key=int) == [str(number) for number in range(200)]
    assert live.names(name).count("pipeline:offline") == 1
    assert live.history(name, event="file:failed") == []


def test_children_of_children(live: Hub, tmp_path: Path) -> None:
    name = fresh("generations")
    text = """
        with Reporter(sys.argv[1], "local_files", url=sys.argv[2]) as pipeline:
            if os.fork() == 0:
                pipeline.file("child", id="child").completed()
                if os.fork() == 0:
                    pipeline.file("grandchild", id="grandchild").completed()
                    sys.exit(0)
                os.wait()
                sys.exit(0)
            os.wait()
    """
    run(tmp_path, text, name, live.url)
    assert sorted(ends(live, name)) == ["child", "grandchild"]
    assert len(offline(live, name)) == 1


def test_a_fork_beside_threads_that_report_neither_hangs_nor_doubles(live: Hub, tmp_path: Path) -> None:
    """The lock is held, a request under way, at the moment of most forks."""
    name = fresh("threads")
    text = """
        pipeline = Reporter(sys.argv[1], "local_files", url=sys.argv[2])
        pipeline.online()
        stop = threading.Event()
        counts = [0, 0]
        def work(which):
            while not stop.is_set():
                pipeline.file("t", id=f"t{which}-{counts[which]}").completed()
                counts[which] += 1
                # The hub may be slow; a full queue is what another test is about.
                while pipeline.status.queued > 1000:
                    time.sleep(0.002)
        threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
        for thread in threads: thread.start()
        children = []
        for number in range(12):
            child = os.fork()
            if child == 0:
                pipeline.file("c", id=f"c{number}").completed()
                assert pipeline.close(20)
                os._exit(0)
            children.append(child)
            time.sleep(0.01)
        assert all(os.waitpid(child, 0)[1] == 0 for child in children)
        stop.set()
        for thread in threads: thread.join()
        assert pipeline.close(30)
        print(*counts)
    """
    counts = run(tmp_path, text, name, live.url).split()
    found = ends(live, name)
    assert len(found) == len(set(found))
    expected = {f"t{which}-{number}" for which in range(2) for number in range(int(counts[which]))}
    assert set(found) == expected | {f"c{number}" for number in range(12)}
    assert len(offline(live, name)) == 1


def test_one_thread_for_each_reporter_and_none_before_it_reports(tmp_path: Path) -> None:
    text = """
        before = threading.active_count()
        pipeline = Reporter("p", "t", url="http://127.0.0.1:9", exit_timeout=0)
        assert threading.active_count() == before
        for number in range(100):
            pipeline.file("a").completed()
        assert threading.active_count() == before + 1
    """
    run(tmp_path, text)


def test_waiting_needs_no_processor(live: Hub, tmp_path: Path) -> None:
    """A reporter that has nothing to do does nothing."""
    name = fresh("idle")
    text = """
        pipeline = Reporter(sys.argv[1], "t", url=sys.argv[2])
        pipeline.online()
        assert pipeline.flush()
        used = time.process_time()
        time.sleep(1)
        print(time.process_time() - used)
    """
    assert float(run(tmp_path, text, name, live.url)) < 0.1
    until(lambda: live.names(name)[-1] == "pipeline:offline", "it to have left", seconds=5)

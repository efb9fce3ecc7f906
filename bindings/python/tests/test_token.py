"""Tokens that end: how long one is kept, what becomes of a source that fails, and who outlives a token."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from ragpulse import AsyncReporter, AsyncSubscriber, HubError, Reporter, Subscriber
from ragpulse._backoff import Backoff
from ragpulse._endpoint import Answer, Endpoint, Problem
from ragpulse._reporter.encode import Encoder
from ragpulse._reporter.machine import Machine, Send, Wait
from ragpulse._reporter.queue import Queue
from ragpulse._subscriber.machine import Ask, Poller, Rest
from ragpulse._token import Keeper, NoToken, TokenFile, Tokens, ends_at
from ragpulse.compat._hub import Hub as CompatHub
from support import Hub, fresh, hub, until

SECRET = b"a secret of thirty-two bytes, or more"
LEEWAY = 5.0
"""How many seconds longer than it says a hub takes a token."""


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def mint(ttl: float = 3600.0, **claims: Any) -> str:
    claims = {"sub": "tests", "role": "admin", "pipelines": ["*"], "exp": time.time() + ttl, **claims}
    claims["exp"] = int(claims["exp"])
    text = f"{_part(json.dumps({'alg': 'HS256'}).encode())}.{_part(json.dumps(claims).encode())}"
    return f"{text}.{_part(hmac.digest(SECRET, text.encode(), hashlib.sha256))}"


def ending(seconds: float) -> str:
    return f"e30.{_part(json.dumps({'exp': seconds}).encode())}.c2ln"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that asks for tokens."""
    directory = tmp_path_factory.mktemp("keys")
    (directory / "secret").write_bytes(SECRET)
    keys = directory / "keys.toml"
    keys.write_text('[[jwt]]\nalgorithm = "HS256"\nsecret_file = "secret"\n')
    with hub("--keys", str(keys)) as running:
        yield running


def numbers(running: Hub, pipeline: str) -> list[int]:
    """What was reported under `x:n`, in order."""
    found: list[int] = []
    after: dict[str, Any] | None = {}
    with httpx.Client(trust_env=False, timeout=30, headers={"authorization": f"Bearer {mint()}"}) as client:
        while after is not None:
            response = client.get(f"{running.url}/api/pipelines/{pipeline}/history", params={"limit": 1000, **after})
            page = response.json()
            found += [one["data"]["n"] for one in page.get("events", []) if one["event"] == "x:n"]
            after = {"after": page["next_after"]} if "next_after" in page else None
    return found


class Issuer:
    """Gives tokens that live so long, and knows who asked when."""

    def __init__(self, ttl: float = 3600.0) -> None:
        self.ttl = ttl
        self.tokens: list[str] = []
        self.threads: set[str] = set()
        self.error: Exception | None = None

    def __call__(self) -> str:
        self.threads.add(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        self.tokens.append(mint(self.ttl))
        return self.tokens[-1]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# How long a token is kept.


def test_the_end_is_read_from_what_is_a_json_web_token_and_from_nothing_else() -> None:
    assert ends_at(ending(1_800_000_000)) == 1_800_000_000.0
    assert ends_at(ending(12.5)) == 12.5
    bad = ["{}", '{"exp":"soon"}', '{"exp":-1}', '{"exp":true}', '{"exp":1e999}', "[1]", "[" * 100_000, "\xff", ""]
    for text in ["", "opaque", "a.b", "a.b.c", "a.b.c.d", "ä.ä.ä", *(f"e30.{_part(one.encode())}.x" for one in bad)]:
        assert ends_at(text) is None, text[:40]
    huge = '{"exp":1' + "0" * 400 + "}"
    assert ends_at(f"e30.{_part(huge.encode())}.x") is None


def test_a_token_is_kept_until_half_a_minute_before_its_end() -> None:
    keeper = Keeper()
    keeper.take(ending(1_900), 0.0, 1_000.0)
    assert keeper.kept(869.9) == ending(1_900)
    assert keeper.kept(870.0) is None


def test_one_that_lives_shortly_is_kept_for_half_of_it_and_one_that_has_ended_for_a_second() -> None:
    keeper = Keeper()
    keeper.take(ending(1_008), 0.0, 1_000.0)
    assert (keeper.kept(3.9), keeper.kept(4.0)) == (ending(1_008), None)
    keeper.take(ending(900), 0.0, 1_000.0)
    assert (keeper.kept(0.9), keeper.kept(1.0)) == (ending(900), None)


def test_what_is_no_json_is_kept_until_it_is_refused() -> None:
    keeper = Keeper()
    keeper.take("opaque", 0.0, 1_000.0)
    assert keeper.kept(1e9) == "opaque"
    keeper.refuse("another")
    assert keeper.kept(0.0) == "opaque"
    keeper.refuse("opaque")
    assert keeper.kept(0.0) is keeper.make_do(0.0) is None


def test_while_the_source_fails_the_last_one_does_until_its_end() -> None:
    clock = Clock()
    given: list[str | Exception] = [ending(time.time() + 100), RuntimeError("no issuer"), RuntimeError("still none")]
    asked: list[float] = []

    def source() -> str:
        asked.append(clock.now)
        one = given.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    tokens = Tokens(source, clock)
    first = tokens.get(5.0)
    for clock.now in (10.0, 60.0, 80.0, 81.0):
        assert tokens.get(5.0) == first
    assert asked == [0.0, 80.0]
    clock.now = 101.0
    with pytest.raises(NoToken, match="RuntimeError: still none"):
        tokens.get(5.0)


def test_a_source_that_hangs_is_let_be_and_not_asked_again_before_it_is_back() -> None:
    go, asked = threading.Event(), []

    def source() -> str:
        asked.append(1)
        assert go.wait(30)
        return "late"

    tokens = Tokens(source)
    for _ in range(3):
        with pytest.raises(NoToken, match=r"nothing within 0\.01 s"):
            tokens.get(0.01)
    go.set()
    assert tokens.get(30.0) == "late"
    assert len(asked) == 1


@pytest.mark.parametrize("given", ["secret\nsecond", "", "secret second", b"secret", None, 7])
def test_what_is_no_token_is_refused_and_not_shown(given: Any) -> None:
    with pytest.raises(NoToken) as error:
        Tokens(lambda: given).get(5.0)
    assert "secret" not in str(error.value)


def test_an_async_source_is_awaited_and_one_that_hangs_is_let_be() -> None:
    asyncio.run(_async_sources())


async def _async_sources() -> None:
    async def good() -> str:
        await anyio.lowlevel.checkpoint()
        return "good"

    assert await Tokens(good).aget(5.0) == "good"
    assert await anyio.to_thread.run_sync(Tokens(good).get, 5.0) == "good"
    assert await Tokens(lambda: "plain").aget(5.0) == "plain"

    async def hangs() -> str:
        await anyio.sleep_forever()
        return ""

    async def fails() -> str:
        raise LookupError("nobody")

    with pytest.raises(NoToken, match="nothing within"):
        await Tokens(hangs).aget(0.01)
    go, asked = threading.Event(), []

    def late() -> str:
        asked.append(threading.current_thread().daemon)
        assert go.wait(30)
        return "late"

    tokens = Tokens(late)
    for _ in range(2):
        with pytest.raises(NoToken, match="nothing within"):
            await tokens.aget(0.01)
    go.set()
    assert await tokens.aget(30.0) == "late"
    assert asked == [True], "asked once, by a thread that keeps no program from ending"
    with pytest.raises(NoToken, match="LookupError: nobody"):
        await Tokens(fails).aget(5.0)


def test_a_file_is_read_again_when_it_was_replaced(tmp_path: Path) -> None:
    path, beside = tmp_path / "token", tmp_path / "beside"
    file = TokenFile(path)
    with pytest.raises(NoToken, match="not there"):
        file()
    path.write_text("first\n")
    old = path.stat().st_mtime_ns - 10_000_000_000
    os.utime(path, ns=(old, old))
    assert file() == "first"
    assert file._read is not None
    beside.write_text("other\n")
    os.utime(beside, ns=(old, old))
    beside.replace(path)
    assert file() == "other", "replaced, with the same size and time"
    path.write_text("again\n")
    assert file() == "again"
    assert file._read is None, "it may be written again in the same moment"


@pytest.mark.parametrize(
    ("content", "why"), [(b" \n", "empty"), (b"secret\nx", "one line"), (b"secret\xff", "one line")]
)
def test_a_file_without_a_token_says_why(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(NoToken, match=why) as error:
        TokenFile(path)()
    assert "secret" not in str(error.value)
    with pytest.raises(NoToken, match="cannot be read"):
        TokenFile(tmp_path)()


# What a machine does with a refusal.


def machine(*, renews: bool) -> Machine:
    made = Machine(Queue(100, 1_000_000), Encoder("id"), Backoff(1.0, 8.0, lambda: 1.0), renews=renews)
    made.push(made.encoder.encode("x:n", {"n": 1}))
    return made


UNAUTHORIZED = Answer(problem=Problem("unauthorized", "It has ended.", 401))


def test_a_token_that_is_refused_is_followed_by_another_at_once_and_then_by_waits() -> None:
    m = machine(renews=True)
    first = m.next(0.0)
    assert isinstance(first, Send)
    m.answered(UNAUTHORIZED, 0.0, "t")
    assert str(m.standing.connection) == "idle"
    assert m.next(0.0) == first
    now = 0.0
    for wait in (1.0, 2.0, 4.0):
        m.answered(UNAUTHORIZED, now, "t")
        assert m.standing.connection == "refused"
        assert m.next(now) == Wait(now + wait, for_events=False)
        now += wait
        assert m.next(now) == first
    m.answered(Answer(body={"accepted": 1, "duplicates": 0, "conflated": 0, "epoch": "e", "seq": 1}), now, "t")
    assert (m.standing.connection, m.totals.accepted, m.totals.rejected) == ("connected", 1, 0)
    now += 100.0
    heartbeat = m.next(now)
    assert isinstance(heartbeat, Send)
    m.answered(UNAUTHORIZED, now, "t")
    assert m.next(now) == heartbeat, "the next token that ends has its own try"


def test_a_fixed_token_that_is_refused_waits_as_ever() -> None:
    m = machine(renews=False)
    m.next(0.0)
    m.answered(UNAUTHORIZED, 0.0, "t")
    assert m.next(0.0) == Wait(1.0, for_events=False)


def test_a_poll_whose_token_is_refused_goes_again_at_once_and_then_rests_and_never_ends() -> None:
    poller = Poller("p", Backoff(1.0, 8.0, lambda: 1.0), renews=True)
    assert isinstance(poller.next(0.0), Ask)
    poller.answered(UNAUTHORIZED, 0.0)
    assert isinstance(poller.next(0.0), Ask)
    assert poller.cause == ""
    poller.answered(UNAUTHORIZED, 0.0)
    assert poller.next(0.0) == Rest(1.0)
    assert "unauthorized" in poller.cause


# How it is set up.


def test_the_environment_names_a_file_or_gives_a_token_but_not_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    path.write_text("of the file\n".replace(" ", "-"))
    monkeypatch.setenv("RAGPULSE_TOKEN_FILE", str(path))
    assert Endpoint().tokens.get(5.0) == "of-the-file"
    assert Endpoint(token="given").tokens.get(5.0) == "given"
    monkeypatch.setenv("RAGPULSE_TOKEN", "my-secret")
    with pytest.raises(ValueError, match="RAGPULSE_TOKEN and by RAGPULSE_TOKEN_FILE") as error:
        Reporter("p", "t")
    assert "my-secret" not in str(error.value)
    with pytest.raises(ValueError, match="RAGPULSE_TOKEN_FILE"):
        Subscriber("p")
    # What was made to raise nothing says it in the log, once.
    with caplog.at_level(logging.ERROR, "ragpulse"):
        compat = CompatHub("p", "t")
        compat.report("x:n", {})
        compat.report("x:n", {})
    assert [record.message.count("RAGPULSE_TOKEN_FILE") for record in caplog.records] == [1]


def test_a_source_goes_with_a_process_that_is_spawned_where_it_can(caplog: pytest.LogCaptureFixture) -> None:
    again = pickle.loads(pickle.dumps(Endpoint("http://h", module_source)))
    assert again.tokens.get(5.0) == "of-a-module"
    endpoint = Endpoint("http://h", lambda: "present")
    endpoint.tokens.get(5.0)
    with caplog.at_level(logging.WARNING, "ragpulse"):
        again = pickle.loads(pickle.dumps(endpoint))
    assert again.tokens.get(5.0) == "present"
    assert not again.tokens.renews
    assert "function of a module" in caplog.text
    file = pickle.loads(pickle.dumps(Endpoint("http://h", TokenFile("/nowhere"))))
    with pytest.raises(NoToken, match="/nowhere"):
        file.tokens.get(5.0)


def module_source() -> str:
    return "of-a-module"


# Against a hub.


def _report(running: Hub, pipeline: str, token: Any, seconds: float, made: Callable[..., Any] = Reporter) -> int:
    """Reports for so long; gives how many were reported."""
    reporter = made(pipeline, "local_files", url=running.url, token=token, lease_seconds=3)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        reporter.report("x:n", {"n": count})
        count += 1
        time.sleep(0.02)
    assert reporter._engine.close(20.0)
    status = reporter.status
    assert (status.rejected, status.duplicates, status.dropped) == (0, 0, 0)
    return count


@pytest.mark.parametrize("made", [Reporter, AsyncReporter])
def test_a_reporter_that_outlives_its_token_loses_and_doubles_nothing(guarded: Hub, made: Any) -> None:
    pipeline, issuer = fresh("outlives"), Issuer(ttl=2.0)
    count = _report(guarded, pipeline, issuer, 2.0 + LEEWAY + 2.0, made)
    assert numbers(guarded, pipeline) == list(range(count))
    assert 3 <= len(issuer.tokens) <= 14
    assert issuer.threads == {"ragpulse token"}, "never the caller's"


def test_a_fixed_token_that_ends_is_not_heard_any_more(guarded: Hub) -> None:
    """What the tests beside this one are to show: without a source the hub hears nothing more."""
    reporter = Reporter(fresh("fixed"), "local_files", url=guarded.url, token=mint(-LEEWAY - 5))
    reporter.report("x:n", {"n": 0})
    until(lambda: reporter.status.connection == "refused", "the refusal")
    reporter._engine.stop()
    updates = Subscriber(fresh("fixed"), url=guarded.url, token=mint(-LEEWAY - 5))
    with updates, pytest.raises(HubError, match="unauthorized"):
        updates.next(5.0)


def test_a_hub_that_refuses_a_token_before_its_end_gets_another_at_once(guarded: Hub) -> None:
    pipeline, given = fresh("refused"), [mint(), mint(nbf=int(time.time()) + 3600), mint()]
    served: list[str] = []

    def source() -> str:
        served.append(given[min(len(served) + 1, 2)])
        return served[-1]

    reporter = Reporter(pipeline, "local_files", url=guarded.url, token=source)
    reporter.report("x:n", {"n": 0})
    assert reporter.flush(20.0)
    assert (len(served), reporter.status.failures, reporter.status.accepted) == (2, 0, 2)
    assert reporter.close(20.0)


def test_while_the_source_fails_everything_waits_and_it_is_told_once(
    guarded: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline, issuer = fresh("fails"), Issuer()
    issuer.error = LookupError("the issuer is away")
    with caplog.at_level(logging.WARNING, "ragpulse"):
        reporter = Reporter(pipeline, "local_files", url=guarded.url, token=issuer)
        for n in range(50):
            reporter.report("x:n", {"n": n})
        until(lambda: reporter.status.failures >= 3, "some tries")
        assert "the issuer is away" in reporter.status.cause
        issuer.error = None
        assert reporter.flush(20.0)
    assert numbers(guarded, pipeline) == list(range(50))
    told = [record.message for record in caplog.records]
    assert len(told) == 2, told
    assert "no token is to be had" in told[0]
    assert "takes events again" in told[1]
    assert reporter.close(20.0)


def test_a_file_that_is_replaced_is_read_when_it_is_needed(
    guarded: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, beside, pipeline = tmp_path / "token", tmp_path / "new", fresh("file")
    monkeypatch.setenv("RAGPULSE_TOKEN_FILE", str(path))
    path.write_text(mint(-LEEWAY - 5))
    reporter = Reporter(pipeline, "local_files", url=guarded.url)
    reporter.report("x:n", {"n": 0})
    until(lambda: reporter.status.connection == "refused", "the refusal")
    beside.write_text(mint() + "\n")
    beside.replace(path)
    assert reporter.flush(20.0)
    assert numbers(guarded, pipeline) == [0]
    assert reporter.close(20.0)


def test_a_subscriber_that_outlives_its_token_misses_and_repeats_nothing(guarded: Hub) -> None:
    pipeline, issuer = fresh("follows"), Issuer(ttl=2.0)
    counts: list[int] = []
    with Subscriber(pipeline, url=guarded.url, token=issuer) as updates:
        reporting = threading.Thread(
            target=lambda: counts.append(_report(guarded, pipeline, mint(), 2.0 + LEEWAY + 2.0)), daemon=True
        )
        reporting.start()
        seen: list[int] = []
        seqs: list[int] = []
        while True:
            update = updates.next(30.0)
            assert update is not None, updates.cause
            seqs.append(update.data["seq"])
            if update.event == "x:n":
                seen.append(update.data["n"])
            if update.event == "pipeline:offline":
                break
        reporting.join(20)
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert seen[-1] == counts[0] - 1
    assert seen == list(range(seen[0], counts[0]))
    assert len(issuer.tokens) >= 3
    assert threading.current_thread().name not in issuer.threads


def test_an_async_subscriber_waits_for_a_source_that_fails_and_goes_on(guarded: Hub) -> None:
    asyncio.run(_async_subscriber(guarded))


async def _async_subscriber(guarded: Hub) -> None:
    pipeline = fresh("async")
    await asyncio.to_thread(_report, guarded, pipeline, mint(), 0.1)
    answers: list[str | Exception] = [LookupError("away"), mint(-LEEWAY - 5), mint()]

    async def source() -> str:
        one = answers.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    async with AsyncSubscriber(pipeline, url=guarded.url, token=source) as updates:
        with anyio.fail_after(20):
            update = await updates.next()
    assert update is not None
    assert update.event == "pipeline:status"
    assert answers == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
def test_a_process_that_is_forked_off_asks_for_itself(guarded: Hub) -> None:
    pipeline, hang = fresh("forks"), threading.Event()
    root = os.getpid()

    def source() -> str:
        # In the parent it never comes back: the child must not wait for that question.
        if os.getpid() == root:
            hang.wait(60)
        return mint()

    reporter = Reporter(pipeline, "local_files", url=guarded.url, token=source)
    reporter.report("x:n", {"n": 0})
    until(lambda: reporter._engine.settings.endpoint.tokens._call is not None, "the parent's question")

    def work() -> None:
        reporter.report("x:n", {"n": 1})
        assert reporter.close(20.0)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert numbers(guarded, pipeline) == [1]
    hang.set()
    assert reporter.close(20.0)
    assert sorted(numbers(guarded, pipeline)) == [0, 1]


def test_no_token_is_ever_shown(guarded: Hub, caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()
    with caplog.at_level(logging.DEBUG):
        reporter = Reporter(fresh("shown"), "local_files", url=guarded.url, token=issuer)
        reporter.report("x:n", {"n": 0})
        assert reporter.flush(20.0)
        endpoint = reporter._engine.settings.endpoint
        shown = f"{reporter!r} {reporter.status!r} {endpoint!r} {endpoint.tokens!r} {reporter._engine.settings!r}"
        assert reporter.close(20.0)
    assert issuer.tokens
    for token in issuer.tokens:
        assert all(part not in shown + caplog.text for part in token.split("."))

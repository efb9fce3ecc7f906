"""Two hubs that are one: on one Redis with ops/redis, behind nginx with ops/nginx. Either may go."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx

from support.hub import Hub, hub, make_keys
from support.nginx import Proxy, nginx
from support.programs import wait_until
from support.redis import redis
from support.traffic import event

ONLINE = {"event": "pipeline:online", "data": {"pipeline_type": "local_files"}}


@contextlib.contextmanager
def two(folder: Path, port: int) -> Iterator[tuple[Hub, Hub, Proxy]]:
    """Two hubs on the Redis at this port, and nginx before them."""
    store, keys = f"redis://127.0.0.1:{port}", make_keys(folder)
    with (
        hub(folder / "a", keys=keys, store=store) as one,
        hub(folder / "b", keys=keys, store=store) as other,
        nginx(folder, one, other) as proxy,
    ):
        yield one, other, proxy


def through(proxy: Proxy, live: Hub) -> httpx.Client:
    """A client that asks nginx, each time by a new connection, so that each hub has its turn."""
    headers = {"Authorization": f"Bearer {live.token}", "Connection": "close"}
    return httpx.Client(base_url=proxy.url, headers=headers, verify=proxy.trust, timeout=35)


def until_ready_says(live: Hub, status: int) -> None:
    """Waits until /ready says so."""
    with live.client() as client:
        wait_until(f"/ready says {status}", lambda: client.get("/ready").status_code == status)


def test_what_one_takes_the_other_shows_and_a_cursor_is_good_at_both(tmp_path: Path) -> None:
    with redis(tmp_path / "redis") as port, two(tmp_path, port) as (one, other, proxy):
        at = one.report("docs", ONLINE)
        with other.client() as client:
            held = client.get("/api/pipelines/docs/events", params={"epoch": at["epoch"], "seq": 0, "wait": 25})
        assert [each["event"] for each in held.json()["events"]] == ["pipeline:online"]
        seen, cursor = [], {"epoch": at["epoch"], "seq": 1}
        with through(proxy, one) as client:
            for number in range(20):
                (one, other)[number % 2].report("docs", event("file:queued", {"name": f"{number}.pdf"}))
                answer = client.get("/api/pipelines/docs/events", params=cursor | {"wait": 25}).json()
                seen += [each["data"]["file"]["name"] for each in answer["events"]]
                cursor = {"epoch": answer["epoch"], "seq": answer["seq"]}
        assert seen == [f"{number}.pdf" for number in range(20)]


def test_a_hub_that_goes_is_not_missed(tmp_path: Path) -> None:
    with redis(tmp_path / "redis") as port, two(tmp_path, port) as (one, other, proxy):
        one.report("docs", ONLINE)
        wait_until("the other knows it", lambda: "docs" in other.client().get("/api/rag-status").text)
        one.process.kill()
        one.process.wait(15)
        with through(proxy, other) as client:
            for number in range(10):
                name = {"name": f"{number}.pdf"}
                answer = client.post("/api/pipelines/docs/events", json=event("file:queued", name))
                assert answer.status_code == 200, answer.text
                assert client.get("/api/rag-status").status_code == 200


def test_while_redis_is_away_hubs_show_what_they_know_and_say_how_old_it_is(tmp_path: Path) -> None:
    with redis(tmp_path / "redis") as port:
        pass
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.ExitStack())
        first.enter_context(redis(tmp_path / "redis", port))
        one, other, _ = stack.enter_context(two(tmp_path, port))
        at = one.report("docs", ONLINE, event("file:queued", {"name": "a.pdf"}))
        wait_until("the other knows it", lambda: "a.pdf" in other.client().get("/api/pipelines/docs/files").text)
        first.close()
        for each in (one, other):
            with each.client() as client:
                until_ready_says(each, 503)
                assert client.get("/health").status_code == 200
                status = client.get("/api/rag-status")
                assert (status.status_code, int(status.headers["ragpulse-stale"]) >= 0) == (200, True)
                refused = client.post("/api/pipelines/docs/events", json=event("file:queued", {"name": "b.pdf"}))
                assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
                assert refused.json()["retryable"] is True
                assert "retry-after" in refused.headers
        stack.enter_context(redis(tmp_path / "redis", port))
        for each in (one, other):
            until_ready_says(each, 200)
        # Each write was on the disk: the epoch is the same, and the count goes on.
        receipt = other.report("docs", event("file:queued", {"name": "b.pdf"}))
        assert (receipt["epoch"], receipt["seq"]) == (at["epoch"], at["seq"] + 1)
        assert "ragpulse-stale" not in one.client().get("/api/rag-status").headers

"""ops/nginx before a live hub: `ragpulse doctor` finds nothing wrong, and with a naive configuration names what is."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import requests
import socketio

from support.hub import Hub, hub, make_keys
from support.nginx import Proxy, nginx
from support.programs import ragpulse, wait_until
from support.traffic import event

ONLINE = {"event": "pipeline:online", "data": {"pipeline_type": "local_files"}}


def doctor(proxy: Proxy, live: Hub) -> dict[str, Any]:
    """What it finds on the way through nginx."""
    command = [ragpulse(), "doctor", proxy.url, "--ca", str(proxy.certificate), "--json"]
    token = ["--token", live.token] if live.token else []
    done = subprocess.run([*command, *token], text=True, capture_output=True, timeout=60)
    findings: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (findings["verdict"] == "failed"), done.stderr
    return findings


def test_all_is_well_through_the_committed_configuration(tmp_path: Path) -> None:
    with hub(tmp_path, keys=make_keys(tmp_path)) as live:
        live.report("docs", ONLINE)
        with nginx(tmp_path, live) as proxy:
            found = doctor(proxy, live)
            wrong = [one for one in found["findings"] if one["verdict"] not in {"passed", "skipped"}]
            assert found["verdict"] == "passed", wrong
            assert {one["check"] for one in found["findings"] if one["verdict"] == "skipped"} == set()


def test_what_comes_through_comes_at_once(tmp_path: Path) -> None:
    with hub(tmp_path, keys=make_keys(tmp_path)) as live, nginx(tmp_path, live) as proxy:
        first = live.report("docs", ONLINE)
        headers = {"Authorization": f"Bearer {live.token}"}
        with httpx.Client(base_url=proxy.url, headers=headers, verify=proxy.trust, http2=False, timeout=20) as client:
            # A stream stays open, and nothing but the event is written after it: what was kept back would never come.
            with client.stream("GET", "/api/pipelines/docs/stream") as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                lines = stream.iter_lines()
                assert any("pipeline:status" in line for line in lines)
                live.report("docs", event("file:queued", {"name": "a.pdf"}))
                assert any("file:queued" in line for line in lines)
            # A poll is answered by the event that it waited for.
            position = {"epoch": first["epoch"], "seq": first["seq"] + 1, "wait": 25}
            reporter = subprocess.Popen(
                [ragpulse(), "publish", "--url", live.url, "--pipeline", "docs", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={"RAGPULSE_TOKEN": live.token or ""},
                text=True,
            )
            assert reporter.stdin
            reporter.stdin.write(json.dumps(event("file:processing", {"name": "a.pdf"})) + "\n")
            reporter.stdin.close()
            events = client.get("/api/pipelines/docs/events", params=position).json()["events"]
            assert [one["event"] for one in events] == ["file:processing"]
            assert reporter.wait(20) == 0
            # The hub's own refusal gets through, with its code.
            large = client.post(
                "/api/pipelines/docs/events", content=b" " * 1_100_000, headers={"content-type": "application/json"}
            )
            assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
            assert client.get("/metrics").status_code == 404
        plain = httpx.get(f"http://localhost:{proxy.plain}/api/rag-status", trust_env=False)
        assert (plain.status_code, plain.headers["location"]) == (308, "https://localhost/api/rag-status")


def test_a_socket_goes_through(tmp_path: Path) -> None:
    with hub(tmp_path, keys=make_keys(tmp_path)) as live, nginx(tmp_path, live) as proxy:
        live.report("docs", ONLINE)
        session = requests.Session()
        session.verify = str(proxy.certificate)
        session.trust_env = False
        client = socketio.Client(reconnection=False, http_session=session)
        seen: list[str] = []
        client.on("*", lambda name, *_: seen.append(name))
        client.connect(proxy.url, transports=["websocket"], auth={"token": live.token})
        assert client.transport() == "websocket"
        client.call("subscribe", {"pipeline_id": "docs"}, timeout=20)
        live.report("docs", event("file:queued", {"name": "a.pdf"}))
        wait_until("the event came", lambda: "file:queued" in seen)
        client.disconnect()


def test_doctor_names_what_a_naive_configuration_lacks(tmp_path: Path) -> None:
    with hub(tmp_path) as live, nginx(tmp_path, live, well=False) as proxy:
        # Something to stream.
        live.report("docs", ONLINE)
        found = doctor(proxy, live)
        failed = {one["check"]: (one["code"], one["fault"]) for one in found["findings"] if one["verdict"] == "failed"}
        assert found["verdict"] == "failed"
        assert failed["stream"] == ("stream_buffered", "proxy")
        assert failed["upgrade"] == ("upgrade_headers_stripped", "proxy")
        advice = " ".join(one["advice"] for one in found["findings"] if one["verdict"] == "failed")
        assert "proxy_buffering off" in advice

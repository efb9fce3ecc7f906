"""The drop-in status dict as a process has it: its server, and a pipeline that changes only its import."""

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import httpx

from ragpulse.compat import status_server
from ragpulse.compat.status_server import start_status_server
from support import Hub, free_port, fresh


def test_the_server_serves_the_dict_and_its_health() -> None:
    server = start_status_server(port=0)
    own = status_server.pipeline_status.data
    before = dict(own)
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        own["next_check_time"] = (datetime.now(timezone.utc) + timedelta(seconds=90)).isoformat()
        own["odd"] = object()
        with httpx.Client(trust_env=False) as client:
            answer = client.get(f"{url}/status")
            assert answer.headers["content-type"].startswith("application/json")
            served = answer.json()
            health = client.get(f"{url}/health")
            assert client.get(f"{url}/other").status_code == 404
        assert 0 < served["seconds_until_next_check"] <= 90
        assert served.keys() - {"seconds_until_next_check"} == own.keys()
        assert (health.status_code, health.text) == (200, "OK")
        assert health.headers["content-type"].startswith("text/plain")
    finally:
        own.clear()
        own.update(before)
        server.shutdown()
        server.server_close()
    assert "seconds_until_next_check" not in status_server.as_served(before)


LEGACY = """
import os, sys, threading, time
from datetime import datetime
from IMPORT import pipeline_status, start_status_server

server = start_status_server(port=int(sys.argv[1]))
pipeline_status.update(status="initializing", pipeline_type="local_files", check_interval=60, folder_id="docs")
pipeline_status.update(status="running", is_checking=True, last_check_time=datetime.now().isoformat())

def process(name):
    if name == "bad.txt":
        raise ValueError("no text layer")
    if name == "lost.txt":
        return
    pipeline_status.complete_file(name, True, {"chunks": 2, "embeddings": 2, "duration": 0.5, "content_length": 40})

for name, id in [("a.txt", "1"), ("bad.txt", "2"), ("lost.txt", "3"), ("a.txt", "4")]:
    pipeline_status.add_processing_file(name, id)
    try:
        process(name)
    except ValueError as error:
        pipeline_status.complete_file(name, False)
threads = [threading.Thread(target=lambda: (pipeline_status.add_processing_file("same.txt"),
           pipeline_status.complete_file("same.txt"))) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
pipeline_status.update(is_checking=False, next_check_time=datetime.now().isoformat(),
                       total_processed=pipeline_status.data.get("total_processed", 0) + 6)
print(pipeline_status.data.get("total_processed", 0), pipeline_status.data.get("total_failed", 0))
"""


def run(script: str, url: str, pipeline: str) -> str:
    environment = {**os.environ, "RAGPULSE_URL": url, "RAG_PIPELINE_ID": pipeline, "TZ": "EST+5"}
    command = [sys.executable, "-W", "error", "-c", script, str(free_port())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pipeline_that_changes_only_its_import_is_seen_by_the_hub(live: Hub) -> None:
    pipeline = fresh("compat")
    script = LEGACY.replace("IMPORT", "ragpulse.compat.status_server")
    assert run(script, live.url, pipeline) == "6 2\n"
    state = live.state(pipeline)
    assert (state["pipeline_type"], state["status"], state["offline_reason"]) == (
        "local_files",
        "offline",
        "normal_shutdown",
    )
    assert (state["total_processed"], state["total_failed"]) == (6, 2)
    assert (state["counts"]["completed"], state["counts"]["failed"], state["counts"]["processing"]) == (6, 2, 0)
    assert (state["watch_location"], state["check_interval"]) == ("docs", 60)
    files = {file["id"]: file for file in state["files"]}
    assert files["2"]["error"] == {"type": "ValueError", "message": "no text layer", "retryable": False}
    assert files["3"]["error"]["type"] == "Interrupted"
    assert files["1"]["results"] == {
        "chunks_created": 2,
        "embeddings_generated": 2,
        "processing_duration": 0.5,
        "content_length": 40,
    }
    assert len([file for file in files.values() if file["name"] == "same.txt"]) == 4
    checked = datetime.fromisoformat(state["last_check_time"].replace("Z", "+00:00"))
    heard = datetime.fromisoformat(state["last_activity"].replace("Z", "+00:00"))
    assert abs((checked - heard).total_seconds()) < 600, "a time of five hours west was taken for UTC"


def test_a_dead_hub_does_not_disturb() -> None:
    script = LEGACY.replace("IMPORT", "ragpulse.compat.status_server")
    assert run(script, f"http://127.0.0.1:{free_port()}", "dead") == "6 2\n"

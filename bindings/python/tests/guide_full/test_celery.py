"""`celery_tasks.py` of the guide, with real workers of Celery: what they report, and how they leave."""

import signal
import subprocess
import sys
from pathlib import Path

from guide_support import environment, examples, told, write
from support import Hub, until

_BROKER = """
from celery_tasks import app, ingest

folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
app.conf.update(broker_transport_options=folders)
"""


def test_forked_workers_report_and_leave(live: Hub, tmp_path: Path) -> None:
    write(tmp_path, [one for one in examples() if one.file == "celery_tasks.py"])
    (tmp_path / "broker.py").write_text(_BROKER)
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text("three words here")
    given = {**environment(live, tmp_path), "BROKER": "filesystem://"}
    celery = [sys.executable, "-m", "celery", "-A", "broker"]
    worker = subprocess.Popen(
        [*celery, "worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"],
        cwd=tmp_path,
        env=given,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        send = (
            "from broker import ingest\nfor number in range(4): ingest.delay(f'{number}.txt')\ningest.delay('none.txt')"
        )
        subprocess.run([sys.executable, "-c", send], cwd=tmp_path, env=given, check=True, timeout=60)

        def ended() -> bool:
            names = live.names("uploads") if _is_known(live) else []
            return names.count("file:completed") == 4 and names.count("file:failed") == 1

        until(ended, "five ends")
        assert live.state("uploads")["status"] != "offline"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait(30)
    events = told(live, "uploads")
    assert events[-1] == "pipeline:offline"
    assert events.count("pipeline:offline") == 1
    state = live.state("uploads")
    files = {file["name"]: file for file in state["files"]}
    assert files["0.txt"]["results"]["chunks_created"] == 3
    assert files["none.txt"]["error"]["type"] == "FileNotFoundError"
    assert (state["status"], state["offline_reason"]) == ("offline", "normal_shutdown")


def _is_known(live: Hub) -> bool:
    pipelines = live.get("/api/rag-status")["pipelines"]
    return any(one["pipeline_id"] == "uploads" for one in pipelines)

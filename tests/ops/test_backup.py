"""The backup that docs/operations.md tells of: taken while the hub writes, put back, and gone on from."""

import re
import threading
from pathlib import Path

from support.hub import Hub, hub
from support.programs import DOCS, run, system
from support.traffic import event

ONLINE = {"event": "pipeline:online", "data": {"pipeline_type": "local_files"}}


def told(mark: str, **places: Path) -> str:
    """The command in docs/operations.md after a mark, with these places in it."""
    page = (DOCS / "operations.md").read_text()
    found = re.search(rf"<!-- test: {mark} -->\n```sh\n(.+?)```", page, re.DOTALL)
    assert found, f"docs/operations.md has no command for {mark}"
    command = found.group(1)
    for place, path in places.items():
        stands = {"store": "/var/lib/ragpulse/ragpulse.db", "backup": "/backup/ragpulse.db"}[place]
        assert stands in command, f"{mark}: {stands}"
        command = command.replace(stands, str(path))
    return command


def state(live: Hub) -> dict[str, object]:
    """What the hub shows of the pipeline, without what only tells where and when."""
    with live.client() as client:
        shown: dict[str, object] = client.get("/api/pipelines/docs/events").json()["snapshot"]
    return {key: shown[key] for key in ("counts", "seq", "total_files", "files") if key in shown}


def test_a_backup_taken_while_the_hub_writes_is_whole_and_can_be_gone_on_from(tmp_path: Path) -> None:
    system("sqlite3", "sqlite3")
    store, backup = tmp_path / "ragpulse.db", tmp_path / "backup.db"
    with hub(tmp_path, store=f"sqlite:{store}") as live:
        first = live.report("docs", ONLINE)
        # Why a copy of the bare file is no backup: the newest events are beside it.
        assert store.with_name("ragpulse.db-wal").stat().st_size > 0
        ended = threading.Event()
        last = [0]

        def writes() -> None:
            while not ended.is_set():
                number = last[0]
                live.report("docs", *(event("file:queued", {"name": f"{number + n}.pdf"}) for n in range(50)))
                last[0] += 50

        thread = threading.Thread(target=writes)
        thread.start()
        try:
            while last[0] < 500:
                assert thread.is_alive()
            before = last[0]
            run(["sh", "-ec", told("backup", store=store, backup=backup)])
            after = last[0]
        finally:
            ended.set()
            thread.join(20)
        position = {
            "epoch": first["epoch"],
            "seq": live.report("docs", event("file:queued", {"name": "last.pdf"}))["seq"],
        }
        live.stop()

    for page in run(["sh", "-ec", told("check", backup=backup)]).splitlines():
        assert page == "ok"
    run(["sh", "-ec", told("restore", store=store, backup=backup)])
    with hub(tmp_path, "--new-epochs", store=f"sqlite:{store}") as live:
        shown = state(live)
        queued = shown["counts"]["queued"]  # type: ignore[index]
        # Every file that was acknowledged before the backup began is in it, and none that came after its end.
        assert before <= queued <= after + 50
        assert shown["seq"] == queued + 1
        # Who has seen more than the backup has gets the state anew, and is told why.
        with live.client() as client:
            answer = client.get("/api/pipelines/docs/events", params=position).json()
        assert answer["reason"] == "epoch_changed"
        assert answer["epoch"] != position["epoch"]
        assert live.report("docs", event("file:queued", {"name": "new.pdf"}))["seq"] == queued + 2
        live.stop()
    # From then on it starts as always.
    with hub(tmp_path, store=f"sqlite:{store}") as live:
        assert state(live)["seq"] == queued + 2
        live.stop()
    # Nor is it another one by being made smaller.
    run(["sh", "-ec", told("shrink", store=store)])
    assert not store.with_name("ragpulse.db-wal").exists()
    with hub(tmp_path, store=f"sqlite:{store}") as live:
        assert state(live)["seq"] == queued + 2

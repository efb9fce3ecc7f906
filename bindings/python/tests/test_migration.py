"""docs/migration.md, walked: bridge and push side by side, flag and percentage, cut-over, and back."""

import re
import shutil
import subprocess
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from legacy_support import fill, write_migrated
from migration_support import DOCUMENT, Bridge, Page, Steps, command, commands, taken
from ragpulse import file_id
from support import Hub, binary, free_port, hub, until

OWN = "local-files-pipeline"
TRIAL = "local-files-trial"
Event = dict[str, Any]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Hub]:
    """A hub as a person has one: it can be restarted."""
    with hub(store=f"sqlite:{tmp_path}/hub.db") as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "documents").mkdir()
    return tmp_path / "documents"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return write_migrated(tmp_path / "migrated")


def drop(folder: Path, batch: str, *names: str) -> None:
    """Puts files into a folder that is watched, all at once."""
    staging = folder.parent / f"{batch}.new"
    staging.mkdir()
    for name in names:
        (staging / name).write_text(f"the words of {name}", encoding="utf-8")
    staging.rename(folder / batch)


def files(events: list[Event]) -> list[Event]:
    return [event for event in events if event["event"].startswith("file:")]


def ended(hub: Hub, pipeline: str) -> int:
    """How many files of a pipeline have ended, however."""
    counts = hub.state(pipeline).get("counts", {})
    return int(counts.get("completed", 0)) + int(counts.get("failed", 0))


def checks(hub: Hub, pipeline: str) -> bool:
    return hub.state(pipeline).get("is_checking") is True


def until_begun(hub: Hub, pipeline: str, count: int) -> None:
    until(lambda: hub.state(pipeline)["counts"]["processing"] >= count, f"{count} begins of {pipeline}")


def until_ended(hub: Hub, pipeline: str, count: int) -> None:
    until(lambda: ended(hub, pipeline) >= count, f"{count} ends of {pipeline}")


def until_completed(hub: Hub, pipeline: str, count: int) -> None:
    until(lambda: hub.state(pipeline)["total_processed"] >= count, f"{count} files of {pipeline}")


# Step 1


def test_bridge_and_push_are_the_same_event_by_event(own: Hub, folder: Path, script: Path, tmp_path: Path) -> None:
    with (
        Steps.old(folder, tmp_path / "old", free_port()) as old,
        Bridge(own, old.url) as bridge,
        Steps.new(TRIAL, own, script, folder, free_port()) as new,
    ):
        until(lambda: own.state(OWN).get("status") == "running", "the bridge's first look")
        fill(tmp_path / "batch")
        (tmp_path / "batch").rename(folder / "batch")
        paths = sorted(path for path in (folder / "batch").rglob("*") if path.is_file())
        for number, path in enumerate(paths):
            assert [old.waits_for(), new.waits_for()] == [path.name] * 2
            if number == 0:
                # What a check began is seen while it goes on.
                until_begun(own, OWN, 7)
                until_begun(own, TRIAL, 7)
                until(lambda: checks(own, OWN), "the bridge sees the check")
            for one, name in ((old, OWN), (new, TRIAL)):
                has = ended(own, name)
                one.go_on()
                # One throws; and the second of a name is counted by the old server, but listed nowhere.
                if path.name != "empty.txt" and not (name == OWN and path.parent.name == "old"):
                    until_ended(own, name, has + 1)
        until_ended(own, OWN, 7)
        until_ended(own, TRIAL, 7)
        until(lambda: (own.state(OWN).get("reported") or {}).get("total_processed") == 8, "what the server counts")
        by_bridge, by_push = own.history(OWN), own.history(TRIAL)
        states = until(lambda: between_checks(own, OWN, TRIAL), "both between two checks")
        assert "somebody else" not in bridge.stop()
    ids = {file_id(path): str(path.relative_to(folder / "batch")) for path in paths}
    told, pushed = files(by_bridge), files(by_push)
    # The same files in the same order; and nothing else of files: no progress, as such a pipeline tells none.
    assert [about(event, ids) for event in told] == [about(event, ids) for event in pushed]
    assert [about(event, ids) for event in pushed] == [
        *(str(path.relative_to(folder / "batch")) for path in paths),
        *("a.txt", "broken.txt", "new/notes.md", "old/notes.md", "photo.jpg", "z.txt", "empty.txt"),
    ]
    differ = {
        (pushed["event"], about(pushed, ids)): differences(told, pushed)
        for told, pushed in zip(told, pushed, strict=True)
    }
    started, ended_at = {"file.started_at"}, {"file.started_at", "file.completed_at"}
    results = {f"results.{name}" for name in RESULTS}
    # All that a bridge cannot know, and the times, which it takes from the dict and tells apart.
    assert differ == {
        **{("file:processing", str(path.relative_to(folder / "batch"))): started for path in paths},
        **{("file:completed", name): ended_at | results for name in ("a.txt", "new/notes.md", "z.txt")},
        ("file:failed", "broken.txt"): ended_at | {"error.type", "error.message", "error.stage"},
        ("file:failed", "photo.jpg"): ended_at | {"error.message"},
        # Two of one name are one in the dict: it lists one end, and forgets the other file.
        ("file:completed", "old/notes.md"): {"event", "success", *ERROR, *results},
        ("file:failed", "empty.txt"): {"error.code", "error.message"},
    }
    merged = told[10]["data"]["error"]
    assert (merged["type"], merged["code"], merged["retryable"]) == ("Interrupted", "bridge_gave_up", True)
    bridged, direct = states
    counts = {"queued": 0, "processing": 0, "skipped": 0, "cancelled": 0}
    assert bridged["counts"] == {**counts, "completed": 3, "failed": 4}
    assert direct["counts"] == {**counts, "completed": 4, "failed": 3}
    for state in states:
        assert (state["total_processed"], state["total_failed"]) == (
            state["counts"]["completed"],
            state["counts"]["failed"],
        )
    unlike = {key for key in {**bridged, **direct} if key not in OF_ITS_TIME and bridged.get(key) != direct.get(key)}
    assert unlike == {"pipeline_id", "files", "counts", "total_processed", "total_failed", "reported"}
    # The server counts ends, and the pipeline adds them up once more.
    assert (bridged["reported"]["total_processed"], bridged["reported"]["total_failed"]) == (8, 4)
    assert bridged["watch_location"] == direct["watch_location"] == str(folder)


RESULTS = ("chunks_created", "content_length", "embeddings_generated", "processing_duration")
ERROR = ("error.type", "error.code", "error.message", "error.retryable")
OF_THE_SEQUENCE = ("pipeline_id", "epoch", "seq", "timestamp", "received_at")


OF_ITS_TIME = (
    *("epoch", "seq", "timestamp", "last_activity", "started_at", "last_check_time", "next_check_time"),
    "seconds_until_next_check",
)


def between_checks(hub: Hub, *pipelines: str) -> list[dict[str, Any]]:
    """The states, where none of the pipelines is checking; else none."""
    states = [hub.state(pipeline) for pipeline in pipelines]
    return [] if any(state["is_checking"] for state in states) else states


def about(event: Event, ids: dict[str, str]) -> str:
    return ids[event["data"]["file"]["id"]]


def differences(a: Event, b: Event) -> set[str]:
    """The names of what is not the same in two events, but for their places in the sequences and their times."""
    flat = [{"event": event["event"], **flattened(event["data"])} for event in (a, b)]
    return {key for key in {**flat[0], **flat[1]} if flat[0].get(key) != flat[1].get(key)}


def flattened(data: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if key in OF_THE_SEQUENCE:
            continue
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": one for inner, one in value.items()}
        else:
            flat[key] = value
    return flat


# Steps 2 and 3


def part_of(client: str) -> int:
    """As the page says it, and as `partOf` of @ragpulse/client does it."""
    return zlib.crc32(client.encode()) % 100


def test_the_flag_and_the_percentage_are_told_and_who_is_in_stays_in(own: Hub) -> None:
    # What that package has for these two is in its own tests.
    assert [part_of(""), part_of("123456789")] == [0, 62]
    clients = [str(uuid.UUID(int=number * 0x9E3779B97F4A7C15)) for number in range(20_000)]
    polling = command("--transport polling", "ragpulse serve")
    ten = command("--rollout-percentage 10")
    fifty = [word.replace("10", "50") if word == "10" else word for word in ten]
    own.post(OWN, {"event": "pipeline:online", "data": {"pipeline_type": "local_files"}})
    own.post(OWN, {"event": "file:completed", "data": {"file": {"name": "a"}}})
    before, inside = own.state(OWN), []
    for words, transport, percentage in ((polling, "polling", 100), (ten, "auto", 10), (fifty, "auto", 50)):
        own.restart(*words[2:])
        answers = [own.get("/api/socket/info") for _ in range(3)]
        assert {(one["transport"], one["rollout_percentage"]) for one in answers} == {(transport, percentage)}
        assert own.get("/api/rag-status")["fallback_mode"] is (transport == "polling")
        told = answers[0]["rollout_percentage"]
        inside.append({client for client in clients if transport != "polling" and part_of(client) < told})
        # A restart costs nothing of what there is.
        after = own.state(OWN)
        assert (after["epoch"], after["seq"], after["total_processed"]) == (before["epoch"], before["seq"], 1)
    nobody, tenth, half = inside
    assert not nobody
    assert tenth < half
    assert (round(len(tenth) / 200), round(len(half) / 200)) == (10, 50)


# Step 4


@pytest.mark.parametrize("lease", [120, 3])
def test_the_cut_over_and_the_way_back_leave_pages_without_a_gap(
    own: Hub, folder: Path, script: Path, tmp_path: Path, lease: int
) -> None:
    """`lease`: of the bridge in seconds. With a short one it is over by the way back, as it is a day later."""
    port = free_port()
    with (
        Steps.old(folder, tmp_path / "old", port) as old,
        Bridge(own, old.url, "--lease", str(lease)) as bridge,
        Page(own, OWN) as page,
    ):
        drop(folder, "first", "a.txt", "b.txt", "c.txt")
        old.run(3)
        until_completed(own, OWN, 3)
        # The bridge ends, and the pipeline goes on for itself, on the old port.
        assert "somebody else" not in bridge.stop()
        old.stop()
        shutil.rmtree(folder / "first")
        with Steps.new(OWN, own, script, folder, port) as new:
            drop(folder, "second", "d.txt", "e.txt")
            new.run(2)
            until_completed(own, OWN, 5)
            until(lambda: new.status()["total_processed"] >= 2, "the old port has them too")
            served = new.status()
            assert [file["name"] for file in served["files_completed"]] == ["d.txt", "e.txt"]
            new.stop()
        if lease == 120:
            assert "pipeline:offline" not in own.names(OWN), "the lease of the bridge goes on"
        else:
            until(lambda: page.offline, "the end of the pipeline")
        shutil.rmtree(folder / "second")
        # And back.
        with Steps.old(folder, tmp_path / "old", port) as again, Bridge(own, again.url) as first:
            drop(folder, "third", "f.txt", "g.txt")
            again.run(1)
            until_completed(own, OWN, 6)
            assert "somebody else" not in first.stop()
            with Bridge(own, again.url) as second:
                again.run(1)
                until_completed(own, OWN, 7)
                assert "somebody else" not in second.stop()
        until(lambda: page.totals[-1] == 7, "the page has it")
        # It never saw less than before, and never that the pipeline were away.
        assert page.saw() == sorted(page.saw())
        assert (page.offline == 0) is (lease == 120)
    told = [(event["event"], event["data"]["file"]["name"]) for event in files(own.history(OWN))]
    if lease != 120:
        # A machine that is slow for three seconds makes the hub end a file, which is put right by its real end.
        told = [one for one in told if one[0] == "file:completed"]
    kinds = {kind for kind, _ in told}
    assert sorted(told) == sorted((kind, f"{name}.txt") for kind in kinds for name in "abcdefg")
    assert {"file:completed"} <= kinds <= {"file:completed", "file:processing"}
    state = own.state(OWN)
    assert (state["total_processed"], state["total_failed"], state["counts"]["processing"]) == (7, 0, 0)


def test_a_bridge_beside_a_pipeline_that_reports_under_its_id_says_so(own: Hub, folder: Path, script: Path) -> None:
    with Steps.new(OWN, own, script, folder, free_port()) as new, Bridge(own, new.url) as bridge:
        drop(folder, "first", *(f"{number}.txt" for number in range(3)))
        new.run(3)
        until(lambda: "somebody else reports" in bridge.said(), "the warning")
        assert bridge.stop().count("somebody else") == 1


# The page itself


def test_every_command_of_the_page_is_one(own: Hub) -> None:
    lines = commands()
    assert len(lines) >= 10
    blocks = re.findall(r"^```(\w*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(blocks) == {"sh", "diff", ""}, "a block of another kind would not be looked at"
    own.post(OWN, {"event": "pipeline:online", "data": {"pipeline_type": "local_files"}})
    for line in lines:
        words = line.split()
        if words[0] == "ragpulse":
            done = subprocess.run([binary(), *words[1:], "--help"], capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, f"{line}: {done.stderr}"
        elif words[0] == "curl":
            (address,) = taken(words[1:], {"http://127.0.0.1:8103": own.url})
            assert httpx.get(address, trust_env=False).status_code == 200, line
        else:
            # The pipeline is started by the tests above.
            assert line == "pip install ./bindings/python" or (
                words[0].startswith("RAGPULSE_URL=") and "python" in words
            ), line


def test_a_wrong_option_is_not_taken_for_one() -> None:
    wrong = subprocess.run([binary(), "serve", "--rollout-percent", "10", "--help"], capture_output=True, timeout=30)
    assert wrong.returncode == 2


def test_what_the_page_names_is_there(own: Hub) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    helps = {
        name: subprocess.run([binary(), name, "--help"], capture_output=True, text=True, timeout=30).stdout
        for name in ("serve", "bridge", "watch")
    }
    everything = "".join(helps.values())
    for option in set(re.findall(r"`(--[a-z-]+)", text)):
        assert re.search(rf"{option}\b", everything), option
    for variable in set(
        re.findall(r"\bRAGPULSE_[A-Z_]+|\bRAG_[A-Z_]+", text.replace("NEXT_PUBLIC_RAG_STATUS_TRANSPORT", ""))
    ):
        assert f"env: {variable}" in everything, variable
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (DOCUMENT.parent / target).exists(), target
    for title in re.findall(r"\]\(#([^)]+)\)", text):
        headings = [re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-") for line in text.splitlines()]
        assert title in headings, title
    with httpx.Client(base_url=own.url, trust_env=False) as client:
        assert client.post("/api/socket/test", json={}).json()["connections"] == 0
        own.post(OWN, {"event": "pipeline:online", "data": {"pipeline_type": "local_files"}})
        assert client.delete(f"/api/pipelines/{OWN}").status_code == 204
        assert own.state(OWN) == {}

"""Runs beside each other, and runs without a hub."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.vectorstores import InMemoryVectorStore

from adapters.langchain_support import Embeddings, Setup, documents, write
from ragpulse import AsyncReporter, Reporter
from ragpulse.adapters.langchain import _index, aindex, index
from support import Hub, free_port, fresh

OPTIONS: dict[str, Any] = {"source_id_key": "source", "key_encoder": "blake2b", "batch_size": 3}


def of_runs(setup: Setup, *letters: str) -> None:
    """Each run has begun and completed its own ten files, in order."""
    events = setup.events()
    assert setup.still_processing() == []
    for letter in letters:
        lines = [
            (event["event"], event["data"]["file"]["id"])
            for event in events
            if event["event"].startswith("file:") and event["data"]["file"]["id"].startswith(letter)
        ]
        for kind in ("file:processing", "file:completed"):
            assert [name for event, name in lines if event == kind] == [f"{letter}{number}" for number in range(10)]


def source(letter: str) -> Any:
    return documents(*(f"{letter}{number}:{text}" for number in range(10) for text in range(4)))


def test_two_runs_at_once_in_threads(live: Hub, tmp_path: Path) -> None:
    setup = Setup(tmp_path, live)
    barrier = threading.Barrier(2)

    def one(letter: str) -> None:
        barrier.wait()
        records, store = InMemoryRecordManager("docs"), InMemoryVectorStore(Embeddings())
        result = index(source(letter), records, store, cleanup="full", reporter=setup.reporter, **OPTIONS)
        assert result["num_added"] == 40

    threads = [threading.Thread(target=one, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    of_runs(setup, "a", "b")


def test_two_runs_at_once_in_tasks_into_one_index(live: Hub, tmp_path: Path) -> None:
    setup = Setup(tmp_path, live)

    async def slowly(letter: str) -> Any:
        for document in source(letter):
            await asyncio.sleep(0)
            yield document

    async def both() -> None:
        results = await asyncio.gather(
            *(
                aindex(
                    *(slowly(letter), setup.records, setup.store),
                    cleanup="incremental",
                    reporter=setup.reporter,
                    **OPTIONS,
                )
                for letter in "ab"
            )
        )
        assert [result["num_added"] for result in results] == [40, 40]

    asyncio.run(both())
    of_runs(setup, "a", "b")


def test_an_async_reporter_will_do(live: Hub, tmp_path: Path) -> None:
    setup = Setup(tmp_path, live)
    write(tmp_path, a="one")
    name = fresh("langchain")

    async def run() -> None:
        async with AsyncReporter(name, "local_files", url=live.url) as reporter:
            await aindex(setup.loader, setup.records, setup.store, reporter=reporter, **OPTIONS)

    asyncio.run(run())
    assert [one for one in live.names(name) if one != "file:progress"] == [
        *("pipeline:online", "file:processing", "file:completed", "x:langchain.indexed", "pipeline:offline")
    ]


@pytest.mark.parametrize("way", ["index", "aindex"])
def test_a_hub_that_is_away_changes_nothing(way: str, tmp_path: Path) -> None:
    reporter = Reporter(fresh("langchain"), "local_files", url=f"http://127.0.0.1:{free_port()}")
    setup = Setup(tmp_path, reporter=reporter)
    write(tmp_path, a="one two", b="three")
    for added, skipped in ((3, 0), (0, 3)):
        if way == "index":
            result = index(setup.loader, setup.records, setup.store, cleanup="full", reporter=reporter, **OPTIONS)
        else:
            run = aindex(setup.loader, setup.records, setup.store, cleanup="full", reporter=reporter, **OPTIONS)
            result = asyncio.run(run)
        assert (result["num_added"], result["num_skipped"]) == (added, skipped)
    assert reporter.status.accepted == 0
    assert reporter.status.queued > 0
    assert setup.texts == ["one", "three", "two"]


def test_without_a_reporter_it_is_that_of_the_environment(
    live: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(tmp_path, live)
    write(tmp_path, a="one")
    name = fresh("langchain")
    monkeypatch.setattr(_index, "_made", None)
    for key, value in {"RAGPULSE_URL": live.url, "RAG_PIPELINE_ID": name, "RAG_SERVICE": "local_files"}.items():
        monkeypatch.setenv(key, value)
    index(setup.loader, setup.records, setup.store, **OPTIONS)
    made = _index._made
    assert made is not None
    assert made.flush(30)
    assert [one for one in live.names(name) if one != "file:progress"] == [
        *("pipeline:online", "file:processing", "file:completed", "x:langchain.indexed")
    ]
    index(setup.loader, setup.records, setup.store, **OPTIONS)
    assert _index._made is made
    made.close()
    index(setup.loader, setup.records, setup.store, **OPTIONS)
    again: Any = _index._made
    assert again is not made


def test_without_any_name_it_indexes_and_says_once_that_nothing_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    setup = Setup(tmp_path)
    write(tmp_path, a="one")
    monkeypatch.setattr(_index, "_made", None)
    monkeypatch.setattr(_index, "_was_told", False)
    assert index(setup.loader, setup.records, setup.store, **OPTIONS)["num_added"] == 1
    assert asyncio.run(aindex(setup.loader, setup.records, setup.store, **OPTIONS))["num_skipped"] == 1
    told = [record for record in caplog.records if record.name == "ragpulse"]
    assert ["RAG_PIPELINE_ID" in record.getMessage() for record in told] == [True]

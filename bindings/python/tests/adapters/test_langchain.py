"""What the hub has of indexing runs that go well, event by event."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.indexes import SQLRecordManager
from langchain_core import indexing
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.indexing.in_memory import InMemoryDocumentIndex
from langchain_core.vectorstores import InMemoryVectorStore

from adapters.langchain_support import Embeddings, Recording, Setup, documents, write
from ragpulse.adapters.langchain import IndexingRun, aindex, index
from support import Hub

# Of the document index itself, which is new to LangChain.
pytestmark = pytest.mark.filterwarnings("ignore:Introduced in version 0.2.29")

MODES = (None, "incremental", "full", "scoped_full")


@pytest.fixture(params=["index", "aindex"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def setup(live: Hub, tmp_path: Path) -> Setup:
    return Setup(tmp_path, live)


def run(setup: Setup, way: str = "index", source: Any = None, **options: Any) -> dict[str, int]:
    """Indexes what the folder has, or a source."""
    options = {"source_id_key": "source", "key_encoder": "blake2b", "reporter": setup.reporter, **options}
    source = setup.loader if source is None else source
    if way == "index":
        return dict(index(source, setup.records, setup.store, **options))  # type: ignore[arg-type]
    return dict(asyncio.run(aindex(source, setup.records, setup.store, **options)))  # type: ignore[arg-type]


def counts(added: int = 0, updated: int = 0, skipped: int = 0, deleted: int = 0) -> dict[str, int]:
    return {"num_added": added, "num_updated": updated, "num_skipped": skipped, "num_deleted": deleted}


@pytest.mark.parametrize("cleanup", MODES)
def test_a_first_run_and_one_that_finds_nothing_new(setup: Setup, way: str, cleanup: str | None) -> None:
    write(setup.folder, a="one two three", b="four")
    assert run(setup, way, cleanup=cleanup) == counts(added=4)
    events = setup.events()
    assert [event["event"] for event in events] == [
        *("pipeline:online", "file:processing", "file:processing", "file:completed", "file:completed"),
        "x:langchain.indexed",
    ]
    assert events[1]["data"]["file"] == {"name": "a.txt", "id": "docs/a.txt", "path": "docs/a.txt"}
    assert events[1]["data"]["processing_stage"] == "extraction"
    results = events[3]["data"]["results"]
    assert results.pop("processing_duration") >= 0
    assert results == {
        "chunks_created": 3,
        "chunks_updated": 0,
        "chunks_skipped": 0,
        "chunks_deleted": 0,
        "embeddings_generated": 3,
        "content_length": 11,
    }
    assert events[5]["data"].items() >= {**counts(added=4), "num_deleted_of_unknown_source": 0}.items()

    assert run(setup, way, cleanup=cleanup) == counts(skipped=4)
    events = setup.events()
    assert [event["event"] for event in events] == [
        *("file:processing", "file:processing", "file:skipped", "file:skipped", "x:langchain.indexed")
    ]
    assert events[2]["data"]["reason"] == "unchanged"
    assert events[2]["data"]["message"] == "3 documents, there already"
    assert setup.still_processing() == []


@pytest.mark.parametrize(
    ("cleanup", "end", "texts"),
    [
        (None, "completed a.txt +1 =2", ["four", "one", "three", "two", "zwei"]),
        ("incremental", "completed a.txt +1 =2 -1", ["four", "one", "three", "zwei"]),
        ("full", "completed a.txt +1 =2 -1", ["four", "one", "three", "zwei"]),
        ("scoped_full", "completed a.txt +1 =2 -1", ["four", "one", "three", "zwei"]),
    ],
)
def test_a_changed_file(setup: Setup, way: str, cleanup: str | None, end: str, texts: list[str]) -> None:
    write(setup.folder, a="one two three", b="four")
    run(setup, way, cleanup=cleanup)
    setup.events()
    write(setup.folder, a="one zwei three")
    run(setup, way, cleanup=cleanup)
    told = setup.told()
    # In the modes that clean up at the end, a file with something outdated waits for that.
    ends = [end, "skipped b.txt unchanged"]
    assert told == ["processing a.txt", "processing b.txt", *(reversed(ends) if "full" in (cleanup or "") else ends)]
    assert setup.texts == texts


@pytest.mark.parametrize("cleanup", MODES)
def test_a_file_that_only_lost_a_part(setup: Setup, way: str, cleanup: str | None) -> None:
    write(setup.folder, a="one two three")
    run(setup, way, cleanup=cleanup)
    setup.events()
    write(setup.folder, a="one two")
    run(setup, way, cleanup=cleanup)
    end = "completed a.txt =2 -1" if cleanup else "skipped a.txt unchanged"
    assert setup.told() == ["processing a.txt", end]


@pytest.mark.parametrize("cleanup", MODES)
def test_a_removed_file(setup: Setup, way: str, cleanup: str | None) -> None:
    write(setup.folder, a="one two", b="three four five", c="six")
    run(setup, way, cleanup=cleanup)
    setup.events()
    (setup.folder / "b.txt").unlink()
    # In parts, of which no one has all of a file.
    result = run(setup, way, cleanup=cleanup, cleanup_batch_size=2)
    told = setup.told()
    assert told[:4] == [*("processing a.txt", "processing c.txt", "skipped a.txt unchanged", "skipped c.txt unchanged")]
    # Only this mode looks for what the source has no more.
    assert told[4:] == (["deleted b.txt -3"] if cleanup == "full" else [])
    assert result["num_deleted"] == (3 if cleanup == "full" else 0)
    assert ("four" in setup.texts) == (cleanup != "full")


def test_what_is_forced_is_updated(setup: Setup, way: str) -> None:
    write(setup.folder, a="one two")
    run(setup, way)
    write(setup.folder, a="one two three")
    setup.events()
    assert run(setup, way, force_update=True) == counts(added=1, updated=2)
    event = setup.events()[1]
    assert event["event"] == "file:completed"
    assert event["data"]["results"].items() >= {"chunks_created": 1, "chunks_updated": 2, "chunks_skipped": 0}.items()
    assert event["data"]["results"]["embeddings_generated"] == 3


@pytest.mark.parametrize("cleanup", MODES)
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_files_that_span_batches_have_one_end(setup: Setup, way: str, cleanup: str | None, batch_size: int) -> None:
    write(setup.folder, a="one two three four five", b="six", c="seven eight")
    run(setup, way, cleanup=cleanup, batch_size=batch_size)
    told = setup.told()
    ends = ["completed a.txt +5", "completed b.txt +1", "completed c.txt +2"]
    assert [line for line in told if line.startswith("completed")] == ends
    assert sorted(told) == sorted([*ends, "processing a.txt", "processing b.txt", "processing c.txt"])
    if batch_size == 1:
        # Each as soon as it is known that no more of it comes.
        assert told.index("completed a.txt +5") < told.index("processing c.txt")
    assert setup.still_processing() == []


def test_an_incremental_clean_up_that_does_work_twice_tells_all_of_it(setup: Setup, way: str) -> None:
    write(setup.folder, a="one two three")
    run(setup, way, cleanup="incremental")
    setup.events()
    # With its first batch, all that is outdated of the file goes, also what the next batches have.
    assert run(setup, way, cleanup="incremental", batch_size=1) == counts(added=2, skipped=1, deleted=2)
    assert setup.told() == ["processing a.txt", "completed a.txt +2 =1 -2"]


@pytest.mark.parametrize("cleanup", MODES)
def test_a_file_whose_documents_come_again_later_has_another_end(way: str, cleanup: str | None, tmp_path: Path) -> None:
    reporter = Recording()
    setup = Setup(tmp_path, reporter=reporter)  # type: ignore[arg-type]
    run(setup, way, documents("a:1", "b:2", "c:3", "a:4", "d:5"), cleanup=cleanup, batch_size=2)
    assert reporter.told() == [
        *("processing a", "processing b", "completed a +1", "processing c", "completed b +1", "processing a"),
        # What the whole run did to it.
        *("completed c +1", "processing d", "completed a +2", "completed d +1"),
    ]


def test_documents_that_are_the_same_count_as_skipped(way: str, tmp_path: Path) -> None:
    reporter = Recording()
    setup = Setup(tmp_path, reporter=reporter)  # type: ignore[arg-type]
    twice = documents("a:1", "a:1", "b:2", "c:2")

    def by_text(document: Document) -> str:
        return document.page_content

    assert run(setup, way, twice, key_encoder=by_text) == counts(added=2, skipped=2)
    assert reporter.told()[3:] == ["completed a +1 =1", "completed b +1", "skipped c duplicate"]


def test_progress_goes_through_the_stages(way: str, tmp_path: Path) -> None:
    reporter = Recording()
    setup = Setup(tmp_path, reporter=reporter)  # type: ignore[arg-type]
    run(setup, way, documents("a:1", "a:2", "a:3", "b:4"), batch_size=2)
    assert reporter.stages("a") == [
        *(("extraction", 0.0, 1, None), ("extraction", 0.0, 2, None)),
        # How many there will be nobody knows before another file is read.
        *(("embedding", 0.0, 0, None), ("storing", 1.0, 2, None)),
        *(("extraction", 0.0, 3, None), ("embedding", 0.67, 2, 3), ("storing", 1.0, 3, 3)),
    ]


def test_a_document_index_is_a_destination_too(setup: Setup, way: str) -> None:
    setup.store = InMemoryDocumentIndex()
    write(setup.folder, a="one two", b="three")
    run(setup, way, cleanup="full")
    (setup.folder / "b.txt").unlink()
    write(setup.folder, a="one zwei")
    run(setup, way, cleanup="full")
    assert setup.told()[2:] == [
        *("completed a.txt +2", "completed b.txt +1", "processing a.txt", "completed a.txt +1 =1 -1"),
        "deleted b.txt -1",
    ]
    assert "embeddings_generated" not in setup.hub.history(setup.reporter.pipeline_id)[-3]["data"]["results"]  # type: ignore[union-attr]


def test_what_an_index_says_it_did_not_take_is_no_success(way: str, tmp_path: Path) -> None:
    class Picky(InMemoryDocumentIndex):
        def upsert(self, items: Sequence[Document], /, **kwargs: Any) -> Any:
            good = [item for item in items if item.page_content != "2"]
            super().upsert(good)
            failed = [item.id for item in items if item.page_content == "2"]
            return {"succeeded": [item.id for item in good], "failed": failed}

    reporter = Recording()
    setup = Setup(tmp_path, reporter=reporter)  # type: ignore[arg-type]
    setup.store = Picky()
    run(setup, way, documents("a:1", "a:2", "b:3"))
    assert reporter.told()[2:] == ["failed a NotStored in storing", "completed b +1"]
    assert reporter.last_ends()["a"][1]["error"]["message"] == "the store did not take 1 document of 2"


@pytest.mark.parametrize("cleanup", MODES)
def test_the_record_manager_of_sql(setup: Setup, way: str, cleanup: str | None, tmp_path: Path) -> None:
    database = f"sqlite{'' if way == 'index' else '+aiosqlite'}:///{tmp_path / 'records.db'}"
    if way == "index":
        setup.records = SQLRecordManager("docs", db_url=database)
        setup.records.create_schema()
    else:
        setup.records = SQLRecordManager("docs", db_url=database, async_mode=True)

    async def runs() -> None:
        if way == "aindex":
            await setup.records.acreate_schema()
        for text in ("one two three", "one zwei"):
            write(setup.folder, a=text, b="four")
            options: dict[str, Any] = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "blake2b"}
            if way == "aindex":
                # An iterable that is not async is watched with async questions all the same.
                source: Any = list(setup.loader.lazy_load())
                await aindex(source, setup.records, setup.store, reporter=setup.reporter, **options)
            else:
                index(setup.loader, setup.records, setup.store, reporter=setup.reporter, **options)
        if way == "aindex":
            await setup.records.engine.dispose()
        else:
            setup.records.engine.dispose()

    asyncio.run(runs())
    told = setup.told()
    assert told[2:4] == ["completed a.txt +3", "completed b.txt +1"]
    end = "completed a.txt +1 =1 -2" if cleanup else "completed a.txt +1 =1"
    assert sorted(told[6:]) == [end, "skipped b.txt unchanged"]


@pytest.mark.parametrize("cleanup", ["incremental", "full", "scoped_full"])
def test_of_a_store_that_gives_nothing_back_the_records_tell(way: str, cleanup: str, tmp_path: Path) -> None:
    class Mute(InMemoryVectorStore):
        def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
            raise NotImplementedError

        async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
            raise NotImplementedError

    reporter = Recording()
    setup = Setup(tmp_path, reporter=reporter)  # type: ignore[arg-type]
    setup.store = Mute(Embeddings())
    run(setup, way, documents("a:1", "b:2", "c:3"), cleanup=cleanup)
    reporter.events.clear()
    result = run(setup, way, documents("a:1", "b:4"), cleanup=cleanup)
    assert sorted(reporter.told())[:1] == ["completed b +1 -1"]
    summary = next(data for event, data in reporter.events if event == "x:langchain.indexed")
    # That documents of a file went that is not in this run, nobody can tell: neither is it told.
    unknown = 1 if cleanup == "full" else 0
    assert (summary["num_deleted"], summary["num_deleted_of_unknown_source"]) == (1 + unknown, unknown)
    assert result["num_deleted"] == 1 + unknown


def test_without_a_key_files_are_what_the_documents_say(setup: Setup, way: str) -> None:
    write(setup.folder, a="one two", b="three")
    run(setup, way, cleanup="full", source_id_key=None)
    (setup.folder / "b.txt").unlink()
    write(setup.folder, a="one zwei")
    run(setup, way, cleanup="full", source_id_key=None)
    assert setup.told()[2:] == [
        *("completed a.txt +2", "completed b.txt +1", "processing a.txt", "completed a.txt +1 =1 -1"),
        "deleted b.txt -1",
    ]
    assert {record["group_id"] for record in setup.records.records.values()} == {None}


def test_what_has_no_source_is_one_file(way: str, tmp_path: Path) -> None:
    reporter = Recording()
    setup = Setup(tmp_path, reporter=reporter)  # type: ignore[arg-type]
    run(setup, way, [Document("1"), Document("2")], source_id_key=None)
    assert reporter.told() == [*("processing documents without a source", "completed documents without a source +2")]


def test_a_function_for_a_key_sees_what_langchain_shows_it(way: str, tmp_path: Path) -> None:
    def taken_out(document: Document) -> str:
        return str(document.metadata.pop("source"))

    told, stores = Recording(), []
    for reporter in (told, None):
        setup = Setup(tmp_path, reporter=told)  # type: ignore[arg-type]
        if reporter is None:
            indexing.index(
                documents("x/a:1", "b:2"), setup.records, setup.store, source_id_key=taken_out, key_encoder="blake2b"
            )
        else:
            run(setup, way, documents("x/a:1", "b:2"), source_id_key=taken_out)
        stores.append(setup.store.store)
    assert told.told()[2:] == ["completed a +1", "completed b +1"]
    # What it does to the documents comes about as often as without a reporter.
    assert stores[0] == stores[1]


def test_sources_of_every_kind_are_taken(tmp_path: Path) -> None:
    async def later() -> AsyncIterator[Document]:
        for document in documents("a:1"):
            yield document

    def now() -> Iterator[Document]:
        yield from documents("a:1")

    for way, source in (("index", now()), ("aindex", now()), ("aindex", later()), ("aindex", documents("a:1"))):
        reporter = Recording()
        run(Setup(tmp_path, reporter=reporter), way, source)  # type: ignore[arg-type]
        assert reporter.told() == ["processing a", "completed a +1"]


def test_the_wrappers_may_be_used_by_oneself(setup: Setup) -> None:
    write(setup.folder, a="one two")
    for end in ("completed a.txt +2", "skipped a.txt unchanged"):
        with IndexingRun(setup.reporter, source_id_key="source", cleanup="full") as one:
            one.result = indexing.index(  # type: ignore[assignment]
                one.source(setup.loader),
                one.record_manager(setup.records),
                one.vector_store(setup.store),
                source_id_key=one.source_id_key,
                cleanup="full",
                key_encoder="sha256",
            )
        assert setup.told() == ["processing a.txt", end]


def test_wrappers_do_what_else_the_wrapped_do(tmp_path: Path) -> None:
    setup = Setup(tmp_path, reporter=Recording())  # type: ignore[arg-type]
    one = IndexingRun(setup.reporter)
    records: Any = one.record_manager(setup.records)
    store: Any = one.vector_store(setup.store)
    records.create_schema()
    asyncio.run(records.acreate_schema())
    assert (records.namespace, records.records) == ("docs", setup.records.records)
    setup.store.add_documents(documents("a:1"), ids=["x"])
    assert store.embeddings is setup.store.embeddings
    assert store.embedding is setup.store.embedding
    assert store.get_by_ids(["x"]) == asyncio.run(store.aget_by_ids(["x"])) == setup.store.get_by_ids(["x"])
    with pytest.raises(NotImplementedError):
        type(store).from_texts(["a"], setup.store.embeddings)
    loader: Any = one.source(setup.loader)
    assert loader._path == setup.folder

    inner = InMemoryDocumentIndex()
    inner.upsert([Document("one", id="x")])
    outer: Any = one.vector_store(inner)
    assert outer.get(["x"]) == asyncio.run(outer.aget(["x"])) == inner.get(["x"])
    assert [found.page_content for found in outer.invoke("one")] == ["one"]
    assert InMemoryRecordManager("docs").exists(["x"]) == [False]

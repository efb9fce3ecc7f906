"""What the hub has of indexing runs that fail: who it was about, and that the rest ends truthfully.

Each is compared with langchain-core's own function: the same exception, and the same store and records afterwards.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core import indexing
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from langchain_text_splitters import CharacterTextSplitter

from adapters.langchain_support import Embeddings, Recording, Setup, documents, write
from ragpulse.adapters.langchain import aindex, index
from support import Hub

Make = Callable[[], Any]


class Run:
    """Makes the same run twice, by langchain-core alone and reporting; `told` is what was reported."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.reporter = Recording()

    def __call__(self, source: Make, records: Make = lambda: None, store: Make = lambda: None, **options: Any) -> Any:
        before = options.pop("before", None)
        options = {"source_id_key": "source", "key_encoder": "blake2b", **options}
        outcomes, ends = [], []
        for reporter in (None, self.reporter):
            record_manager = records() or InMemoryRecordManager("docs")
            vector_store = store() or InMemoryVectorStore(Embeddings())
            if before is not None:
                kept = {name: options[name] for name in ("source_id_key", "key_encoder")}
                indexing.index(before, record_manager, vector_store, **kept)
            if isinstance(vector_store, Broken):
                vector_store.is_broken = True
            try:
                self._call(reporter, source(), record_manager, vector_store, options)
                outcomes.append("nothing raised")
            except BaseException as error:
                outcomes.append(f"{type(error)} {error}")
            ends.append((set(getattr(vector_store, "store", ())), set(getattr(record_manager, "records", ()))))
        assert outcomes[0] == outcomes[1]
        assert ends[0] == ends[1]
        processing: set[str] = set()
        for event, data in self.reporter.events:
            if event.startswith("file:"):
                begins = event in ("file:processing", "file:progress")
                (processing.add if begins else processing.discard)(data["file"]["name"])
        assert processing == set(), "left open"
        return outcomes[1]

    def _call(self, reporter: Any, source: Any, record_manager: Any, vector_store: Any, options: Any) -> None:
        if self.way == "index":
            function: Any = index if reporter else indexing.index
            function(source, record_manager, vector_store, **options, **({"reporter": reporter} if reporter else {}))
        else:
            function = aindex if reporter else indexing.aindex
            more = {"reporter": reporter} if reporter else {}
            asyncio.run(function(source, record_manager, vector_store, **options, **more))

    @property
    def told(self) -> list[str]:
        return [line for line in self.reporter.told() if not line.startswith("processing")]

    def error(self, name: str) -> dict[str, Any]:
        error: dict[str, Any] = self.reporter.last_ends()[name][1]["error"]
        return error


class Broken(InMemoryVectorStore):
    """Fails once it is said to be broken."""

    is_broken = False


@pytest.fixture(params=["index", "aindex"])
def run(request: pytest.FixtureRequest) -> Run:
    return Run(request.param)


def then(error: BaseException, *named: str) -> Make:
    """Gives documents, and then fails."""

    def source() -> Iterator[Document]:
        yield from documents(*named)
        raise error

    return source


def test_a_loader_that_fails_in_the_middle(run: Run) -> None:
    run(then(RuntimeError("no more"), "a:1", "b:2", "c:3", "c:4"), batch_size=3)
    # Of c it is not known whether that was all, and one of its documents was never stored.
    assert run.told == ["completed a +1", "completed b +1", "failed c RuntimeError in extraction"]
    assert run.error("c") == {"type": "RuntimeError", "message": "no more", "stage": "extraction", "retryable": False}


def test_what_was_read_but_not_stored_before_a_failure_was_interrupted(run: Run) -> None:
    run(then(TimeoutError("too slow"), "a:1", "b:2", "c:3"))
    assert run.told == [
        *("failed c TimeoutError in extraction", "failed a Interrupted in extraction"),
        "failed b Interrupted in extraction",
    ]
    assert run.error("c")["retryable"] is True
    assert run.error("a").items() >= {"retryable": True}.items()
    assert run.error("a")["message"] == "the run ended before this file was done: TimeoutError"


def test_a_source_that_fails_at_once_is_about_no_file(run: Run) -> None:
    run(then(RuntimeError("nothing there")))
    assert run.told == []
    run(lambda: 7)
    assert run.told == []


class Files(BaseLoader):
    """Reads each file by a loader of its own, as those of folders do."""

    def __init__(self, *paths: Path) -> None:
        self.paths = paths

    def lazy_load(self) -> Iterator[Document]:
        for path in self.paths:
            yield from OneFile(path).lazy_load()


class OneFile(BaseLoader):
    def __init__(self, path: Path) -> None:
        self.file_path = path

    def lazy_load(self) -> Iterator[Document]:
        try:
            yield Document(Blob.from_path(self.file_path).as_string(), metadata={"source": str(self.file_path)})
        except ValueError as error:
            raise RuntimeError(f"Error loading {self.file_path}") from error


@pytest.mark.parametrize("batch_size", [1, 100])
def test_the_file_that_a_loader_had_open_is_the_one_that_failed(run: Run, tmp_path: Path, batch_size: int) -> None:
    write(tmp_path, a="one", c="three")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xff")
    paths = [tmp_path / f"{name}.txt" for name in "abc"]
    run(lambda: Files(*paths), batch_size=batch_size)
    end = "completed a.txt +1" if batch_size == 1 else "failed a.txt Interrupted in extraction"
    assert sorted(run.told) == sorted([end, "failed b.txt RuntimeError in extraction"])
    assert run.error(str(paths[1]))["message"].startswith("Error loading")


def test_the_file_that_an_error_of_the_system_names_is_the_one_that_failed(run: Run, tmp_path: Path) -> None:
    def source() -> Iterator[Document]:
        yield from documents("a:1")
        (tmp_path / "gone.txt").read_text()

    run(source, batch_size=1)
    assert run.told == ["failed gone.txt FileNotFoundError in extraction", "completed a +1"]


def test_a_splitter_that_fails_is_a_failure_of_chunking(run: Run) -> None:
    def length(text: str) -> int:
        if "bad" in text:
            raise ValueError("cannot count this")
        return len(text)

    splitter = CharacterTextSplitter(separator=" ", chunk_size=3, chunk_overlap=0, length_function=length)

    def source() -> Iterator[Document]:
        for document in documents("a:one two", "a:bad one"):
            yield from splitter.split_documents([document])

    run(source)
    assert run.told == ["failed a ValueError in chunking"]


@pytest.mark.parametrize(("batch_size", "b"), [(2, "completed b +2"), (100, "failed b ConnectionError in embedding")])
def test_embeddings_that_fail(run: Run, batch_size: int, b: str) -> None:
    named = ["b:1", "b:2", "c:poison", "c:3", "d:4"]
    run(lambda: documents(*named), batch_size=batch_size)
    rest = ["failed d ConnectionError in embedding"] if batch_size == 100 else []
    assert sorted(run.told) == sorted([b, "failed c ConnectionError in embedding", *rest])
    assert run.error("c")["message"] == "the embedding service is away"
    assert run.error("c")["retryable"] is True


@pytest.mark.parametrize(
    ("cleanup", "a"),
    [
        # Its documents are there, and nothing is to be removed.
        (None, "skipped a unchanged"),
        # What is outdated of it was not removed.
        *(("incremental", "failed a Interrupted in extraction"), ("full", "failed a Interrupted in extraction")),
    ],
)
def test_files_that_a_failing_store_was_not_asked_for_are_not_what_failed(run: Run, cleanup: str, a: str) -> None:
    class Full(Broken):
        def add_documents(self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any) -> list[str]:
            if self.is_broken:
                raise OSError(28, "no space left")
            return super().add_documents(documents, ids, **kwargs)

        async def aadd_documents(
            self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any
        ) -> list[str]:
            return self.add_documents(documents, ids, **kwargs)

    source = documents("a:1", "b:2", "c:3")
    run(lambda: source, store=lambda: Full(Embeddings()), before=documents("a:1"), cleanup=cleanup)
    assert sorted(run.told) == sorted([a, "failed b OSError in storing", "failed c OSError in storing"])


@pytest.mark.parametrize("method", ["exists", "update", "list_keys", "delete_keys", "get_time"])
@pytest.mark.parametrize("cleanup", [None, "incremental", "full", "scoped_full"])
def test_a_record_manager_that_fails(run: Run, method: str, cleanup: str | None) -> None:
    class Failing(InMemoryRecordManager):
        fails = False

    def fail(*_: Any, **__: Any) -> Any:
        raise ConnectionError("the database is away")

    async def afail(*_: Any, **__: Any) -> Any:
        raise ConnectionError("the database is away")

    def records() -> Any:
        manager = InMemoryRecordManager("docs")
        manager.update(["old"], group_ids=["a"])
        name = method if run.way == "index" else f"a{method}"
        setattr(manager, name, fail if run.way == "index" else afail)
        return manager

    raised = run(lambda: documents("a:1", "b:2"), records=records, cleanup=cleanup)
    told = sorted(run.told)
    if method == "get_time":
        assert told == []
    elif method in ("exists", "update"):
        assert told == ["failed a ConnectionError in storing", "failed b ConnectionError in storing"]
    elif cleanup is None:
        assert told == ["completed a +1", "completed b +1"]
    elif method == "list_keys":
        assert told == ["failed a ConnectionError in cleanup", "failed b ConnectionError in cleanup"]
    else:
        # Nothing of b is outdated, which was known before.
        assert told == ["completed b +1", "failed a ConnectionError in cleanup"]
    assert ("nothing raised" in raised) == (cleanup is None and method in ("list_keys", "delete_keys"))


@pytest.mark.parametrize("cleanup", ["incremental", "full", "scoped_full"])
def test_a_store_that_does_not_delete(run: Run, cleanup: str) -> None:
    class Stubborn(Broken):
        def delete(self, ids: Any = None, **kwargs: Any) -> Any:
            return False

        async def adelete(self, ids: Any = None, **kwargs: Any) -> Any:
            return False

    before = documents("a:1", "b:2", "c:3", "gone:4")
    raised = run(
        lambda: documents("a:5", "b:6", "c:3"),
        store=lambda: Stubborn(Embeddings()),
        before=before,
        cleanup=cleanup,
        cleanup_batch_size=100,
    )
    assert "The delete operation to VectorStore failed" in raised
    told = sorted(run.told)
    assert [line for line in told if "gone" not in line] == [
        *("failed a IndexingException in cleanup", "failed b IndexingException in cleanup", "skipped c unchanged")
    ]
    assert [line for line in told if "gone" in line] == (
        ["failed gone IndexingException in cleanup"] if cleanup == "full" else []
    )


def test_a_clean_up_that_breaks_off(run: Run) -> None:
    class Tired(Broken):
        deletions = 0

        def delete(self, ids: Any = None, **kwargs: Any) -> None:
            self.deletions += 1
            if self.deletions > 2:
                raise RuntimeError("enough")
            super().delete(ids, **kwargs)

        async def adelete(self, ids: Any = None, **kwargs: Any) -> None:
            self.delete(ids)

    before = documents("old:1", "old:2", "a:1", "b:2")
    run(
        lambda: documents("a:3", "b:4"),
        store=lambda: Tired(Embeddings()),
        before=before,
        cleanup="full",
        cleanup_batch_size=1,
    )
    assert run.told == [
        *("failed a RuntimeError in cleanup", "failed b Interrupted in cleanup"),
        # Whether that was all of it nobody knows.
        "failed old Interrupted in cleanup",
    ]
    message = run.error("old")["message"]
    assert message == "2 of its documents were removed before the run ended: RuntimeError"


@pytest.mark.parametrize("cleanup", [None, "incremental", "scoped_full"])
def test_a_document_without_the_key(run: Run, cleanup: str | None) -> None:
    source = [*documents("a:1"), Document("2", metadata={"path": "x"})]
    run(lambda: source, cleanup=cleanup)
    assert run.told == [
        *("failed documents without a source KeyError in indexing", "failed a Interrupted in extraction")
    ]
    again = Run(run.way)
    again(lambda: source, cleanup=cleanup, source_id_key=lambda document: document.metadata.get("source"))
    if cleanup:
        assert again.told[0] == "failed documents without a source ValueError in indexing"
    else:
        assert again.told == ["completed a +1", "completed documents without a source +1"]


def test_a_document_that_cannot_be_hashed(run: Run) -> None:
    source = [*documents("a:1"), Document("2", metadata={"source": "b", "x": object()}), *documents("c:3")]
    run(lambda: source)
    assert run.told == [
        *("failed b ValueError in indexing", "failed a Interrupted in extraction"),
        "failed c Interrupted in extraction",
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError(), SystemExit(3)])
def test_what_ends_the_program_or_task_interrupts_all(error: BaseException) -> None:
    run = Run("index")
    run(then(error, "a:1", "b:2"), batch_size=1)
    assert run.told == ["completed a +1", "failed b Interrupted in extraction"]
    assert type(error).__name__ in run.error("b")["message"]


def test_a_task_that_is_cancelled_in_the_middle() -> None:
    reporter = Recording()

    waits = asyncio.Event()

    async def slow() -> Any:
        yield documents("a:1")[0]
        yield documents("b:2")[0]
        waits.set()
        await asyncio.Event().wait()

    async def cancelled() -> None:
        records, store = InMemoryRecordManager("docs"), InMemoryVectorStore(Embeddings())
        options: Any = {"source_id_key": "source", "key_encoder": "blake2b", "batch_size": 1, "reporter": reporter}
        task = asyncio.create_task(aindex(slow(), records, store, **options))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert reporter.told()[2:] == ["completed a +1", "failed b Interrupted in extraction"]


class Nothing(VectorStore):
    """Cannot even delete."""

    @classmethod
    def from_texts(cls, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def similarity_search(self, *_: Any, **__: Any) -> list[Document]:
        return []


class Later(Nothing):
    """Deletes in an async way only."""

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        return True

    async def aadd_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        return []


@pytest.mark.parametrize(
    "options",
    [
        {"cleanup": "incremental", "source_id_key": None},
        {"cleanup": "no such mode"},
        {"source_id_key": 7},
        {"batch_size": 0},
        {"store": Nothing},
        {"store": Later},
        {"store": lambda: 7},
        {"upsert_kwargs": {"no": "such"}, "store": lambda: 7},
        {"key_encoder": "md5"},
    ],
    ids=str,
)
def test_what_langchain_refuses_is_refused_the_same(run: Run, options: dict[str, Any]) -> None:
    raised = run(lambda: documents("a:1"), **options)
    assert ("nothing raised" in raised) == (options.get("store") is Later and run.way == "aindex")


def test_a_loader_that_only_loads(run: Run) -> None:
    class Whole(BaseLoader):
        def load(self) -> list[Document]:
            return list(documents("a:1", "b:2"))

        def lazy_load(self) -> Iterator[Document]:
            raise NotImplementedError

        def alazy_load(self) -> Any:
            raise NotImplementedError

    run(Whole, batch_size=1, cleanup="full")
    assert sorted(run.told) == ["completed a +1", "completed b +1"]


@pytest.mark.parametrize("hook", ["has_read", "known", "adding", "added", "recorded", "assigned", "settle", "cleaning"])
def test_an_error_of_its_own_reaches_nobody(run: Run, hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragpulse.adapters.langchain._account import Account
    from ragpulse.adapters.langchain._ask import quietly

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    def steps(*_: Any) -> Any:
        yield from ()
        raise ZeroDivisionError

    monkeypatch.setattr(
        Account, hook, steps if hook in ("settle", "cleaning") else broken if hook == "assigned" else quietly(broken)
    )
    raised = run(lambda: documents("a:1", "b:2"), batch_size=1, cleanup="full")
    assert raised == "nothing raised"


def test_failures_reach_the_hub(live: Hub, tmp_path: Path) -> None:
    setup = Setup(tmp_path, live)
    write(tmp_path, a="one two", b="three poison", c="four")
    options: Any = {"source_id_key": "source", "key_encoder": "blake2b", "reporter": setup.reporter, "batch_size": 2}
    with pytest.raises(ConnectionError):
        index(setup.loader, setup.records, setup.store, cleanup="full", **options)
    assert setup.told() == [
        *("processing a.txt", "processing b.txt", "completed a.txt +2", "failed b.txt ConnectionError in embedding"),
    ]
    assert setup.still_processing() == []
    write(tmp_path, b="three")
    index(setup.loader, setup.records, setup.store, cleanup="full", **options)
    assert setup.told()[-2:] == ["completed b.txt +1", "completed c.txt +1"]

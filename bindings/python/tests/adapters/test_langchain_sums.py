"""For any documents and any kind of run: what was reported adds up to what langchain-core says that it did."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import indexing
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.vectorstores import InMemoryVectorStore

from adapters.langchain_support import Embeddings, Recording, documents
from ragpulse.adapters.langchain import aindex, index

named = st.builds("{}:{}".format, st.sampled_from("abcd"), st.integers(0, 4))
modes = st.sampled_from([None, "incremental", "full", "scoped_full"])
sizes = st.integers(1, 5)


class Store(InMemoryVectorStore):
    """Fails with a document of its choice."""

    fails_at = 0

    def add_documents(self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any) -> list[str]:
        self.fails_at -= len(documents)
        if self.fails_at <= 0 < self.fails_at + len(documents):
            raise OSError("full")
        return super().add_documents(documents, ids, **kwargs)

    async def aadd_documents(self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any) -> list[str]:
        return self.add_documents(documents, ids, **kwargs)


def sums(reporter: Recording) -> dict[str, int]:
    """What the last ends of the files say, together."""
    found = {"num_added": 0, "num_updated": 0, "num_skipped": 0, "num_deleted": 0}
    for event, data in reporter.last_ends().values():
        results = data.get("results", {})
        found["num_added"] += results.get("chunks_created", 0)
        found["num_updated"] += results.get("chunks_updated", 0)
        found["num_skipped"] += results.get("chunks_skipped", 0)
        found["num_deleted"] += results.get("chunks_deleted", 0)
        if event == "file:skipped":
            number = re.match(r"(\d+) documents?, ", data["message"])
            assert number
            found["num_skipped"] += int(number[1])
        elif event == "file:deleted":
            found["num_deleted"] += data["chunks_deleted"]
    return found


def open_files(reporter: Recording) -> set[str]:
    found: set[str] = set()
    for event, data in reporter.events:
        if event in ("file:processing", "file:progress"):
            if event == "file:progress":
                assert data["file"]["id"] in found, "progress of a file that is not open"
            found.add(data["file"]["id"])
        elif event.startswith("file:"):
            found.discard(data["file"]["id"])
    return found


@settings(max_examples=400)
@given(
    st.lists(st.lists(named, max_size=8), min_size=1, max_size=3),
    modes,
    *(sizes, sizes),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_sums_are_those_of_the_result(
    runs: list[list[str]], cleanup: Any, size: int, cleanup_size: int, force: bool, has_key: bool, is_async: bool
) -> None:
    records, store = InMemoryRecordManager("docs"), InMemoryVectorStore(Embeddings())
    alone = InMemoryRecordManager("docs"), InMemoryVectorStore(Embeddings())
    key = "source" if has_key or cleanup in ("incremental", "scoped_full") else None
    options: dict[str, Any] = {"cleanup": cleanup, "source_id_key": key, "key_encoder": "blake2b"}
    options |= {"batch_size": size, "cleanup_batch_size": cleanup_size, "force_update": force}
    for run in runs:
        reporter: Any = Recording()
        if is_async:
            result = asyncio.run(aindex(documents(*run), records, store, reporter=reporter, **options))
            same = asyncio.run(indexing.aindex(documents(*run), *alone, **options))
        else:
            result = index(documents(*run), records, store, reporter=reporter, **options)
            same = indexing.index(documents(*run), *alone, **options)
        assert result == same
        assert set(store.store) == set(alone[1].store)
        assert sums(reporter) == result
        assert open_files(reporter) == set()
        # Nothing is told of a file that is neither in this run nor removed by it.
        removed = {data["file"]["id"] for event, data in reporter.events if event == "file:deleted"}
        assert set(reporter.last_ends()) - removed == {one[0] for one in run}


@settings(max_examples=200)
@given(st.lists(named, min_size=1, max_size=12), modes, sizes, st.integers(1, 12))
def test_what_is_told_as_completed_or_skipped_is_in_the_store(
    run: list[str], cleanup: Any, size: int, fails_at: int
) -> None:
    reporter: Any = Recording()
    records, store = InMemoryRecordManager("docs"), Store(Embeddings())
    options: dict[str, Any] = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "blake2b"}
    before = run[: len(run) // 3]
    store.fails_at = 10_000
    indexing.index(documents(*before), records, store, **options)
    store.fails_at = fails_at
    failed = False
    read: list[tuple[str, str]] = []

    def source() -> Iterator[Document]:
        for document in documents(*run):
            read.append((document.metadata["source"], document.page_content))
            yield document

    try:
        index(source(), records, store, reporter=reporter, batch_size=size, **options)
    except OSError:
        failed = True
    assert open_files(reporter) == set()
    stored = {(one["metadata"]["source"], one["text"]) for one in store.store.values()}
    ends = reporter.last_ends()
    for name, (event, _) in ends.items():
        if event in ("file:completed", "file:skipped"):
            assert {(source, text) for source, text in read if source == name} <= stored
    assert failed == any(event == "file:failed" for event, _ in ends.values())
    if failed:
        assert any(data.get("error", {}).get("type") == "OSError" for _, data in ends.values())

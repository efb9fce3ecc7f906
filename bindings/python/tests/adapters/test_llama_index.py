"""The LlamaIndex adapter beside the real library and a real hub: what becomes of documents, run after run."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_index.core
import pytest
from llama_index.core import Document
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore

from adapters.llama_index_support import (
    Calling,
    Hashed,
    Kept,
    document,
    events,
    nothing_is_open,
    outline,
    pdf,
    pipeline,
    progress,
    read,
    reporter,
    splitter,
    text,
)
from ragpulse import Reporter, file_id
from ragpulse.adapters.llama_index import observe
from support import Hub


@pytest.fixture
def to(live: Hub) -> Iterator[Reporter]:
    """A reporter; whatever the test did, nothing is left open at the hub."""
    made = reporter(live)
    yield made
    assert nothing_is_open(live, made)
    assert made.status.rejected == 0
    made.close()


@pytest.fixture(params=["run", "arun"])
def ways(request: pytest.FixtureRequest) -> Any:
    """Both ways to run a pipeline."""
    if request.param == "run":
        return lambda one, **options: one.run(**options)
    return lambda one, **options: asyncio.run(one.arun(**options))


def test_a_folder_is_ingested_file_by_file(live: Hub, to: Reporter, tmp_path: Path, ways: Any) -> None:
    (tmp_path / "a.txt").write_text(text("a", 100))
    (tmp_path / "b.md").write_text(text("b"))
    pdf(tmp_path / "c.pdf", "The first page", "The second page", "The third page")
    documents = read(tmp_path)
    assert len(documents) == 5
    plain = pipeline(strategy="upserts")
    expected = ways(plain, documents=[one.model_copy(deep=True) for one in documents])
    one = pipeline(strategy="upserts")
    with observe(one, to):
        nodes = ways(one, documents=documents)
    assert [(node.text, node.embedding, node.ref_doc_id) for node in nodes] == [
        (node.text, node.embedding, node.ref_doc_id) for node in expected
    ]
    assert outline(live, to) == [
        "file:processing a.txt",
        "file:processing b.md",
        "file:processing c.pdf",
        "file:completed a.txt",
        "file:completed b.md",
        "file:completed c.pdf",
    ]
    told = events(live, to)
    begun = {name: data for event, name, data in told if event == "file:processing"}
    path = str(tmp_path / "c.pdf")
    size, kind = Path(path).stat().st_size, "application/pdf"
    assert begun["c.pdf"]["file"] == {
        "id": file_id(path),
        "name": "c.pdf",
        "path": path,
        "size": size,
        "mime_type": kind,
    }
    assert begun["a.txt"]["processing_stage"] == "chunking"
    results = {name: data["results"] for event, name, data in told if event == "file:completed"}
    assert all(result.pop("processing_duration") >= 0 for result in results.values())
    chunks = len([node for node in nodes if node.metadata["file_name"] == "a.txt"])
    assert chunks > 3
    assert results["a.txt"] == {
        "chunks_created": chunks,
        "embeddings_generated": chunks,
        "content_length": len(text("a", 100)),
    }
    pages = sum(len(page) for page in ("The first page", "The second page", "The third page"))
    assert results["c.pdf"] == {"chunks_created": 3, "embeddings_generated": 3, "content_length": pages}


def test_what_is_unchanged_is_skipped_what_changed_is_done_again_and_what_is_gone_is_deleted(
    live: Hub, to: Reporter, tmp_path: Path, ways: Any
) -> None:
    (tmp_path / "a.txt").write_text(text("a"))
    (tmp_path / "b.txt").write_text(text("b"))
    pdf(tmp_path / "c.pdf", "One", "Two", "Three")
    pdf(tmp_path / "d.pdf", "One", "Two", "Three")
    one = pipeline(strategy="upserts_and_delete")
    with observe(one, to):
        ways(one, documents=read(tmp_path))
        first = len(events(live, to))
        assert ways(one, documents=read(tmp_path)) == []
        assert outline(live, to, first) == [f"file:skipped {name}" for name in ("a.txt", "b.txt", "c.pdf", "d.pdf")]
        assert {data["reason"] for _, _, data in events(live, to, first)} == {"unchanged"}
        second = len(events(live, to))
        (tmp_path / "a.txt").write_text(text("another a"))
        (tmp_path / "b.txt").unlink()
        pdf(tmp_path / "c.pdf", "One", "Two")
        (tmp_path / "d.pdf").unlink()
        ways(one, documents=read(tmp_path))
        # All metadata count for the hash, and so the size: the remaining pages of c.pdf are new ones, too.
        told = outline(live, to, second)
        assert sorted(told[:2]) == ["file:processing a.txt", "file:processing c.pdf"]
        assert sorted(told[2:4]) == ["file:deleted b.txt", "file:deleted d.pdf"]
        assert sorted(told[4:]) == ["file:completed a.txt", "file:completed c.pdf"]
    state = {file["name"]: file["state"] for file in live.state(to.pipeline_id)["files"]}
    assert (state["a.txt"], state["c.pdf"]) == ("completed", "completed")
    assert not {"b.txt", "d.pdf"} & {name for name, what in state.items() if what != "deleted"}


def test_of_pages_that_are_the_same_and_pages_that_are_new_one_file_is_made(live: Hub, to: Reporter, ways: Any) -> None:
    def pages(last: str) -> list[Document]:
        return [
            document(f"p{n}", content, file_path="/books/x.pdf", page_label=str(n))
            for n, content in enumerate(("first", "second", last))
        ]

    one = pipeline(strategy="upserts")
    with observe(one, to):
        ways(one, documents=pages("third"))
        first = len(events(live, to))
        ways(one, documents=pages("another third"))
    assert outline(live, to, first) == ["file:processing x.pdf", "file:completed x.pdf"]
    results = events(live, to)[-1][2]["results"]
    assert (results["chunks_created"], results["documents_skipped"]) == (1, 2)
    assert results["content_length"] == len("first" + "second" + "another third")


@pytest.mark.parametrize("vectors", [True, False])
def test_duplicates_are_told_from_what_is_unchanged(live: Hub, to: Reporter, ways: Any, vectors: bool) -> None:
    store = SimpleVectorStore() if vectors else None
    one = pipeline(strategy="duplicates_only", vector_store=store)
    with observe(one, to):
        ways(
            one,
            documents=[document("a"), document("b"), document("a again", text("a")), document("f", "", file_name="f")],
        )
        first = len(events(live, to))
        assert outline(live, to) == [
            "file:processing a",
            "file:processing b",
            "file:skipped a again",
            "file:processing f",
            "file:completed a",
            "file:completed b",
            "file:completed f",
        ]
        ways(one, documents=[document("a"), document("other b", text("b")), document("made anew", "", file_name="f")])
    told = {name: data for _, name, data in events(live, to, first)}
    assert (told["a"]["reason"], "duplicate_of" in told["a"]) == ("unchanged", False)
    assert (told["other b"]["reason"], told["other b"]["duplicate_of"]) == ("duplicate", "b")
    # Its hash covers the name that its metadata gives.
    assert told["f"]["reason"] == "unchanged"
    again = next(data for event, name, data in events(live, to) if name == "a again")
    assert (again["reason"], again["duplicate_of"]) == ("duplicate", "a")


def test_upserts_without_a_vector_store_are_duplicates_only(live: Hub, to: Reporter) -> None:
    one = pipeline(strategy="upserts", vector_store=None)
    with observe(one, to):
        for _ in range(2):
            with pytest.warns(UserWarning, match="falling back"):
                one.run(documents=[document("a")])
    assert outline(live, to) == ["file:processing a", "file:completed a", "file:skipped a"]


def test_the_hub_has_progress_of_each_stage(live: Hub, to: Reporter) -> None:
    def look(_: Any) -> None:
        # Between two stages, all that was told so far is brought to the hub; a change of stage is never held back.
        assert to.flush(30)

    one = pipeline(splitter(), Calling().calling(look), Hashed().calling(look), strategy="upserts")
    with observe(one, to):
        one.run(documents=[document("a", text("a", 100)), document("b")])
    stages = [stage for stage, *_ in progress(live, to, "a")]
    assert {"chunking", "embedding"} <= set(stages)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_of_every_batch_it_is_told_how_many_chunks_of_which_file_are_embedded(asynchronous: bool) -> None:
    kept = Kept()
    one = pipeline(splitter(), Hashed(embed_batch_size=4), strategy="upserts")
    with observe(one, kept.reporter):
        documents = [document("a", text("a", 100)), document("b")]
        asyncio.run(one.arun(documents=documents)) if asynchronous else one.run(documents=documents)
    assert kept.progress("a") == [
        ("chunking", None, None),
        ("chunking", 6, 6),
        ("embedding", 0, 6),
        ("embedding", 4, 6),
        ("embedding", 6, 6),
        ("embedding", 6, 6),
        ("storing", 0, 6),
        ("storing", 6, 6),
    ]
    assert kept.progress("b")[2:5] == [("embedding", 0, 1), ("embedding", 1, 1), ("embedding", 1, 1)]


def test_a_transformation_that_fails_fails_every_file_in_its_stage(live: Hub, to: Reporter, ways: Any) -> None:
    def burst(nodes: Any) -> None:
        raise OSError("the disk is full")

    one = pipeline(splitter(), Calling().calling(burst), Hashed())
    with observe(one, to), pytest.raises(OSError, match="the disk is full"):
        ways(one, documents=[document("a"), document("b")])
    assert outline(live, to) == ["file:processing a", "file:processing b", "file:failed a", "file:failed b"]
    for event, _, data in events(live, to):
        if event == "file:failed":
            error = {key: data["error"][key] for key in ("type", "message", "stage", "retryable")}
            assert error == {
                "type": "OSError",
                "message": "the disk is full",
                "stage": "chunking",
                "retryable": False,
            }


def test_embedding_that_fails_in_the_middle_leaves_nothing_open_and_the_next_run_goes_on(
    live: Hub, to: Reporter, ways: Any
) -> None:
    calls = []

    def third(chunk: str) -> None:
        assert to.flush(30)
        calls.append(chunk)
        if len(calls) == 3:
            raise ConnectionError("the model is away")

    one = pipeline(splitter(), Hashed(embed_batch_size=1).calling(third), strategy="upserts")
    documents = [document(name) for name in "abcd"]
    with observe(one, to):
        with pytest.raises(ConnectionError):
            ways(one, documents=documents)
        told = events(live, to)
        failed = {name: data["error"] for event, name, data in told if event == "file:failed"}
        assert set(failed) == set("abcd")
        assert all((one["stage"], one["retryable"]) == ("embedding", True) for one in failed.values())
        assert nothing_is_open(live, to)
        ways(one, documents=documents)
    assert outline(live, to, len(told)) == [
        *(f"file:processing {name}" for name in "abcd"),
        *(f"file:completed {name}" for name in "abcd"),
    ]


def test_duplicates_only_takes_what_failed_for_known_and_so_it_is_told(live: Hub, to: Reporter, ways: Any) -> None:
    def burst(nodes: Any) -> None:
        if nodes:
            raise OSError

    one = pipeline(Calling().calling(burst), strategy="duplicates_only")
    with observe(one, to):
        with pytest.raises(OSError):  # noqa: PT011
            ways(one, documents=[document("a")])
        ways(one, documents=[document("a")])
    assert outline(live, to) == ["file:processing a", "file:failed a", "file:skipped a"]


class _Failing(SimpleVectorStore):
    """A store that is full."""

    def add(self, nodes: Any, **kwargs: Any) -> list[str]:
        raise RuntimeError("no room")

    def delete(self, ref_doc_id: str, **kwargs: Any) -> None:
        raise RuntimeError("not allowed")


def test_a_store_that_fails_is_the_stage_storing(live: Hub, to: Reporter, ways: Any) -> None:
    one = pipeline(strategy="upserts", vector_store=_Failing())
    with observe(one, to), pytest.raises(RuntimeError, match="no room"):
        ways(one, documents=[document("a")])
    assert events(live, to)[-1][2]["error"]["stage"] == "storing"


class _Docstore(SimpleDocumentStore):
    """A document store that fails when it is asked of one document, or to keep any."""

    def get_document_hash(self, doc_id: str) -> str | None:
        if doc_id == "c":
            raise TimeoutError("no answer")
        return super().get_document_hash(doc_id)

    async def aget_document_hash(self, doc_id: str) -> str | None:
        return self.get_document_hash(doc_id)

    def set_document_hashes(self, doc_hashes: dict[str, str]) -> None:
        raise RuntimeError("read only")

    async def aset_document_hashes(self, doc_hashes: dict[str, str]) -> None:
        self.set_document_hashes(doc_hashes)


def test_a_document_store_that_fails_fails_what_was_asked_and_what_was_not(live: Hub, to: Reporter, ways: Any) -> None:
    one = pipeline(strategy="upserts", docstore=_Docstore())
    with observe(one, to):
        with pytest.raises(TimeoutError):
            ways(one, documents=[document("a"), document("b"), document("c"), document("d")])
        begun, failed = ["file:processing a", "file:processing b"], [f"file:failed {name}" for name in "abcd"]
        assert outline(live, to) == begun + failed
        stages = {data["error"]["stage"] for event, _, data in events(live, to) if event == "file:failed"}
        assert stages == {"deduplication"}
        # Stored, but not known to be: the next run would do it again.
        with pytest.raises(RuntimeError, match="read only"):
            ways(one, documents=[document("e")])
    assert events(live, to)[-1][2]["error"]["stage"] == "storing"


def test_a_document_that_cannot_be_deleted_fails(live: Hub, to: Reporter, ways: Any) -> None:
    one = pipeline(strategy="upserts_and_delete")
    with observe(one, to):
        ways(one, documents=[document("a"), document("b", file_path="/x/b.txt")])
        first = len(events(live, to))
        one.vector_store = _Failing()
        with pytest.raises(RuntimeError, match="not allowed"):
            ways(one, documents=[document("a")])
    assert outline(live, to, first) == ["file:skipped a", "file:failed b.txt"]
    assert events(live, to)[-1][2]["error"]["stage"] == "deleting"


def test_what_the_cache_has_counts_as_done(live: Hub, to: Reporter, ways: Any) -> None:
    one = pipeline()
    with observe(one, to):
        ways(one, documents=[document("a"), document("b")])
        first = len(events(live, to))
        ways(one, documents=[document("a"), document("b")])
    assert outline(live, to, first) == [
        *("file:processing a", "file:processing b", "file:completed a", "file:completed b")
    ]
    results = [data["results"]["chunks_created"] for event, _, data in events(live, to) if event == "file:completed"]
    assert results == [1, 1, 1, 1]


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """LlamaIndex may use two worker processes, on whatever machine."""
    monkeypatch.setattr("multiprocessing.cpu_count", lambda: 2)
    # A splitter that comes out of a pickle looks for its tokenizer before LlamaIndex has said that it ships it; without
    # a network the worker would die of that, and the pool wait for it for ever.
    shipped = Path(llama_index.core.__file__).parent / "_static" / "tiktoken_cache"
    assert shipped.is_dir()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(shipped))


@pytest.mark.usefixtures("two_workers")
@pytest.mark.parametrize("strategy", [None, "upserts"])
def test_workers_of_their_own_process_give_ends_without_progress(
    live: Hub, to: Reporter, ways: Any, strategy: str | None
) -> None:
    one = pipeline(splitter(), strategy=strategy)
    with observe(one, to):
        nodes = ways(one, documents=[document("a", text("a", 100)), document("b")], num_workers=2)
    assert outline(live, to) == [*("file:processing a", "file:processing b", "file:completed a", "file:completed b")]
    told = events(live, to)
    assert "processing_stage" not in told[0][2]
    assert told[-2][2]["results"]["chunks_created"] == len([node for node in nodes if node.ref_doc_id == "a"]) > 3


@pytest.mark.usefixtures("two_workers")
def test_a_worker_that_fails_fails_every_file_in_no_stage(live: Hub, to: Reporter, ways: Any) -> None:
    one = pipeline(splitter(), _Unable())
    with observe(one, to), pytest.raises(ArithmeticError):
        ways(one, documents=[document("a"), document("b")], num_workers=2)
    ends = [data["error"] for event, _, data in events(live, to) if event == "file:failed"]
    assert len(ends) == 2
    assert all(end["type"] == "ArithmeticError" and "stage" not in end for end in ends)


class _Unable(Calling):
    """Fails, in whatever process."""

    def __call__(self, nodes: Any, **kwargs: Any) -> Any:
        raise ArithmeticError("by nothing")


def test_an_empty_run_reports_nothing(live: Hub, to: Reporter) -> None:
    to.online()
    one = IngestionPipeline(transformations=[splitter()])
    with observe(one, to):
        assert one.run() == []
    assert events(live, to) == []

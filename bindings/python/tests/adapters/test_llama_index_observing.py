"""Observing itself: threads, readers, ends, dead hubs, handlers that are gone; and the guide, whose examples run."""

import contextlib
import copy
import gc
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, SimpleDirectoryReader
from llama_index.core.extractors import BaseExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.readers.base import ReaderConfig
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
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
    reporter,
    splitter,
)
from ragpulse import Reporter, file_id
from ragpulse.adapters.llama_index import FileIdentity, _taps, identify, observe
from ragpulse.adapters.llama_index._stages import stages_of
from support import Hub, free_port, fresh

GUIDE = Path(__file__).resolve().parents[4] / "docs/guides/adapters/llama-index.md"


def handlers() -> tuple[int, int]:
    runs = get_dispatcher(IngestionPipeline.__module__)
    return len(runs.span_handlers), len(get_dispatcher().event_handlers)


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    before = handlers()
    yield
    gc.collect()
    assert handlers() == before
    assert not _taps.runs
    assert not _taps._attached


@pytest.fixture
def to(live: Hub) -> Iterator[Reporter]:
    made = reporter(live)
    made.online()
    yield made
    assert nothing_is_open(live, made)
    made.close()


def test_two_runs_of_one_pipeline_and_one_of_another_at_once_in_threads(live: Hub, to: Reporter) -> None:
    other_to = reporter(live)
    meet = threading.Barrier(3)

    def all_there(_: Any) -> None:
        meet.wait(30)

    wait = Calling().calling(all_there)
    one, other = pipeline(splitter(), wait, Hashed()), pipeline(splitter(), wait, Hashed())
    made: dict[str, Any] = {}

    def run(which: IngestionPipeline, name: str) -> None:
        made[name] = which.run(documents=[document(name), document(f"{name}2")])

    before = list(one.transformations)
    with observe(one, to), observe(other, other_to):
        threads = [threading.Thread(target=run, args=pair) for pair in ((one, "a"), (one, "b"), (other, "c"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert one.transformations == before
    assert not any(isinstance(step, _taps._Tap) for step in one.transformations)
    assert all(len(nodes) == 2 and nodes[0].embedding for nodes in made.values())
    ended = [f"file:completed {name}" for name in ("a", "a2", "b", "b2")]
    assert sorted(line for line in outline(live, to) if line.startswith("file:completed")) == ended
    assert outline(live, other_to)[-2:] == ["file:completed c", "file:completed c2"]
    assert nothing_is_open(live, other_to)


def test_a_hub_that_is_down_changes_nothing_and_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = Reporter(fresh("llama"), "local_files", url=f"http://127.0.0.1:{free_port()}", exit_timeout=0)
    one, plain = pipeline(strategy="upserts"), pipeline(strategy="upserts")
    expected = plain.run(documents=[document("a"), document("b")])
    with observe(one, nowhere):
        nodes = one.run(documents=[document("a"), document("b")])
    assert [(node.hash, node.embedding) for node in nodes] == [(node.hash, node.embedding) for node in expected]
    nowhere.close(0)


def test_what_goes_wrong_in_reporting_is_logged_and_stays_there(caplog: pytest.LogCaptureFixture) -> None:
    def unable(node: Any) -> FileIdentity:
        raise LookupError("no idea")

    one = pipeline(strategy="upserts_and_delete")
    with observe(one, Kept().reporter, identify=unable), caplog.at_level(logging.ERROR, "ragpulse"):
        assert len(one.run(documents=[document("a")])) == 1
    assert "not reported" in caplog.text


def test_closing_in_the_middle_of_a_run_ends_its_files(live: Hub, to: Reporter) -> None:
    kept: list[Any] = []
    one = pipeline(splitter(), Calling().calling(lambda nodes: kept[0].close()), Hashed(), strategy="upserts")
    kept.append(observe(one, to))
    assert len(one.run(documents=[document("a")])) == 1
    assert outline(live, to) == ["file:processing a", "file:failed a"]
    error = events(live, to)[-1][2]["error"]
    assert (error["type"], error["retryable"]) == ("Interrupted", True)
    # Nothing is observed any more.
    one.run(documents=[document("b")])
    assert len(outline(live, to)) == 2


def test_a_pipeline_that_is_gone_takes_its_handlers_with_it() -> None:
    one, before = pipeline(), handlers()
    observe(one, Kept().reporter)
    assert handlers() == (before[0] + 1, before[1] + 1)
    del one
    gc.collect()
    assert handlers() == before


def test_ctrl_c_is_an_interruption(live: Hub, to: Reporter) -> None:
    def interrupt(nodes: Any) -> None:
        raise KeyboardInterrupt

    one = pipeline(Calling().calling(interrupt))
    with observe(one, to), pytest.raises(KeyboardInterrupt):
        one.run(documents=[document("a")])
    assert events(live, to)[-1][2]["error"]["type"] == "Interrupted"


@pytest.mark.parametrize("strategy", [None, "upserts"])
def test_readers_and_documents_of_the_pipeline_and_nodes_are_inputs_too(
    live: Hub, to: Reporter, tmp_path: Path, strategy: str | None
) -> None:
    pdf(tmp_path / "r.pdf", "One", "Two")
    # The reader of folders is none of the kind that the configuration asks for, but reads as they do.
    folder: Any = SimpleDirectoryReader(str(tmp_path))
    reader = ReaderConfig.model_construct(reader=folder, reader_args=[], reader_kwargs={})
    node = TextNode(text="a piece", id_="piece")
    node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id="book")
    one = pipeline(strategy=strategy, documents=[document("held")])
    one.readers = [reader]
    with observe(one, to):
        one.run(documents=[document("given")], nodes=[node])
        assert one.readers == [reader]
        names = ["given", "book", "held", "r.pdf"]
        assert outline(live, to) == [f"file:{what} {name}" for what in ("processing", "completed") for name in names]
        vars(reader)["reader"] = None
        with pytest.raises(AttributeError):
            one.run(documents=[document("next")])
    assert events(live, to)[-1][2]["error"]["stage"] == "extraction"


def test_documents_out_of_an_iterator_are_left_to_the_pipeline(live: Hub, to: Reporter) -> None:
    one = pipeline()
    with observe(one, to):
        assert len(one.run(documents=(document(name) for name in "ab"))) == 2
    assert outline(live, to)[-2:] == ["file:completed a", "file:completed b"]


def test_chunks_that_do_not_say_where_they_are_from_are_not_counted() -> None:
    kept = Kept()

    class Forgetting(Calling):
        def __call__(self, nodes: Any, **kwargs: Any) -> Any:
            return [TextNode(text="whose?")]

    one = pipeline(Forgetting())
    with observe(one, kept.reporter):
        one.run(documents=[document("a")])
    event, data = kept.told[-1]
    assert (event, "chunks_created" in data["results"]) == ("file:completed", False)


def test_a_model_with_an_order_of_its_own_is_not_counted_wrongly() -> None:
    class Backwards(Hashed):
        def __call__(self, nodes: Any, **kwargs: Any) -> Any:
            return super().__call__(list(reversed(nodes)), **kwargs)

    kept = Kept()
    one = pipeline(splitter(), Backwards(embed_batch_size=1))
    with observe(one, kept.reporter):
        one.run(documents=[document("a"), document("b")])
    assert [done for stage, done, _ in kept.progress("a") if stage == "embedding"] == [0, 1]


def test_taps_are_pickled_and_copied_as_what_they_stand_before() -> None:
    store = SimpleVectorStore()
    tap = _taps._VectorStore(store)
    assert isinstance(tap, SimpleVectorStore)
    for other in (pickle.loads(pickle.dumps(tap)), copy.copy(tap), copy.deepcopy(tap)):
        assert type(other) is SimpleVectorStore


def test_stages_follow_from_what_a_transformation_is() -> None:
    class Own(Calling):
        pass

    class Titles(BaseExtractor):
        async def aextract(self, nodes: Any) -> list[dict[str, Any]]:
            return [{} for _ in nodes]

    steps = [Calling(), splitter(), Titles(), Calling(), Own(), Hashed()]
    stages = stages_of(steps, {Own: "cleaning"})
    named = [stages[id(step)] for step in steps]
    assert named == ["extraction", "chunking", "extraction", "chunking", "cleaning", "embedding"]


def test_which_file_a_node_is_of() -> None:
    def known(id_: str, **metadata: Any) -> tuple[str, str]:
        found = identify(Document(text="", id_=id_, metadata=metadata))
        return found.id, found.name

    made_up = "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert known("x_part_0", file_path="docs/a.pdf", file_name="a.pdf") == (file_id("docs/a.pdf"), "a.pdf")
    assert known("x", file_path="s3://bucket/a.pdf") == ("s3://bucket/a.pdf", "a.pdf")
    assert known("drive-1", file_name="a.pdf") == ("drive-1", "a.pdf")
    assert known(made_up, file_name="a.pdf") == ("a.pdf", "a.pdf")
    assert known(made_up) == (made_up, made_up)


def test_an_own_reporter_is_named_by_the_environment(live: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="RAG_PIPELINE_ID"):
        observe(pipeline())
    name = fresh("llama")
    for key, value in (("RAG_PIPELINE_ID", name), ("RAG_SERVICE", "local_files"), ("RAGPULSE_URL", live.url)):
        monkeypatch.setenv(key, value)
    one = pipeline()
    with observe(one):
        one.run(documents=[document("a")])
    assert live.names(name)[-2:] == ["file:completed", "pipeline:offline"]


def test_the_examples_of_the_guide_run_as_they_are_written(live: Hub, tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 3
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("one sentence")
    pdf(tmp_path / "docs/b.pdf", "One", "Two")
    environment = {**os.environ, "RAGPULSE_URL": live.url}
    for number, example in enumerate(examples):
        with contextlib.suppress(Exception):
            live.forget("my-docs")
        done = subprocess.run(
            [sys.executable, "-c", example], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        told = [(event["event"], event["data"]) for event in live.history("my-docs")]
        ended = sorted(data["file"]["name"] for event, data in told if event == "file:completed")
        assert ended == (["a.txt", "b.pdf"] if number < 2 else ["handbook"])
        assert told[-1][0] == "pipeline:offline"

"""What the hub has of indexing runs that go well, event by event."""

from pathlib import Path

import pytest

from adapters.langchain_support import Setup, write
from ragpulse.adapters.langchain import index
from support import Hub


@pytest.fixture
def setup(live: Hub, tmp_path: Path) -> Setup:
    return Setup(tmp_path, live)


@pytest.mark.parametrize("cleanup", [None, "incremental", "full", "scoped_full"])
def test_a_first_run_and_one_that_finds_nothing_new(setup: Setup, cleanup: object) -> None:
    write(setup.folder, a="one two three", b="four")
    def run():
        return index(setup.loader, setup.records, setup.store, cleanup=cleanup, source_id_key="source", reporter=setup.reporter, key_encoder="blake2b")
    print(run())
    for e in setup.events(): print(e)
    print(run())
    for e in setup.events(): print(e)
    print(setup.still_processing())
    assert 0

"""llama_index_pipeline.py against a hub: it must come to the same ends as pipeline.py."""

from pathlib import Path
from typing import Any

from support import Hub, run

Ends = dict[str, tuple[str, Any]]


def passes(hub: Hub, folder: Path, name: str, script: str, *arguments: str) -> Ends:
    run(hub.url, script, *arguments, folder, "--store", folder.parent / f"{name}.sqlite3", "--pipeline-id", name)
    return {
        file["name"]: (file["state"], file.get("reason") or file.get("error", {}).get("type"))
        for file in hub.files(name).values()
    }


def both(hub: Hub, folder: Path) -> tuple[Ends, Ends]:
    return (
        passes(hub, folder, "plain", "pipeline.py", "ingest", "--once"),
        passes(hub, folder, "llama", "llama_index_pipeline.py"),
    )


def test_both_pipelines_end_alike_at_every_pass(hub: Hub, folder: Path) -> None:
    plain, llama = both(hub, folder)
    assert len(plain) == 8
    assert llama == plain
    ids = [{file["name"]: file["id"] for file in hub.files(name).values()} for name in ("plain", "llama")]
    assert ids[0] == ids[1]

    (folder / "pets.md").write_text("# Pets\n\nThe dog sleeps.\n")
    (folder / "plants.pdf").unlink()
    plain, llama = both(hub, folder)
    assert plain["pets.md"] == ("completed", None)
    assert plain["more/money.html"] == ("skipped", "unchanged")
    assert "plants.pdf" not in plain
    assert llama == plain

    said = run(hub.url, "pipeline.py", "query", "puppy", "--store", folder.parent / "llama.sqlite3", "--count", "1")
    assert "dog" in said

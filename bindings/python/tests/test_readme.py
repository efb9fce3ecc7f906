"""The examples of the README run as they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support import Hub, fresh

README = Path(__file__).resolve().parent.parent / "README.md"


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_first_example_reports_the_files_of_a_folder(live: Hub, tmp_path: Path) -> None:
    example = examples()[0]
    assert len(example.splitlines()) == 10
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("three words here")
    (tmp_path / "docs" / "b.txt").write_bytes(b"\xff is no UTF-8")
    environment = {**os.environ, "RAGPULSE_URL": live.url, "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "UnicodeDecodeError" in done.stderr, done.stderr
    state = live.state("my-docs")
    files = {file["name"]: file for file in state["files"]}
    assert files["a.txt"]["results"]["chunks_created"] == 3
    assert files["b.txt"]["error"]["type"] == "UnicodeDecodeError"
    assert files["b.txt"]["error"]["stage"] == "extraction"
    assert (state["status"], state["offline_reason"]) == ("offline", "error")


def test_the_second_example_follows_a_pipeline(live: Hub) -> None:
    name = fresh("readme")
    live.post(name, {"event": "pipeline:online", "data": {"pipeline_type": "t"}})
    example = examples()[1].replace("my-docs", name)
    environment = {**os.environ, "RAGPULSE_URL": live.url, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", example], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith("pipeline:status {'")
            live.post(name, {"event": "file:completed", "data": {"file": {"name": "a"}}})
            line = process.stdout.readline()
            assert line.startswith("file:completed {'")
            assert "'completed': 1" in line
        finally:
            process.kill()

"""The examples of the guide run as they are written, one after another."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support import Hub

GUIDE = Path(__file__).resolve().parents[4] / "docs/guides/adapters/langchain.md"


def test_the_examples_report_what_the_guide_says(live: Hub, tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 2
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(" ".join(f"Sentence {number}." for number in range(40)))
    (tmp_path / "docs" / "b.txt").write_text("a short text")
    environment = {**os.environ, "RAGPULSE_URL": live.url, "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(examples)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{'num_added': 4, 'num_updated': 0, 'num_skipped': 0, 'num_deleted': 0}\n"
    assert [one for one in live.names("my-docs") if one != "file:progress"] == [
        *("pipeline:online", "file:processing", "file:processing", "file:completed", "file:completed"),
        *("x:langchain.indexed", "pipeline:offline"),
        *("pipeline:online", "file:processing", "file:processing", "file:skipped", "file:skipped"),
        *("x:langchain.indexed", "pipeline:offline"),
    ]

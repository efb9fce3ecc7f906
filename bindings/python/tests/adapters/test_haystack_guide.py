"""The examples of the guide run as they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support import Hub

GUIDE = Path(__file__).resolve().parents[4] / "docs/guides/adapters/haystack.md"


def test_the_examples_of_the_guide_report(live: Hub, tmp_path: Path) -> None:
    first, second = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("three words here")
    (tmp_path / "docs" / "b.txt").write_bytes(b"\xff is no UTF-8")
    run = first[first.index("    pipeline.run(") :].strip()
    environment = {**os.environ, "RAGPULSE_URL": live.url, "HAYSTACK_TELEMETRY_ENABLED": "False", "PYTHONUTF8": "1"}
    for program in (first, f"{first.split('with observe')[0]}{second}{run}\n"):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        state = live.state("my-docs")
        files = {file["name"]: file for file in state["files"]}
        assert files["a.txt"]["results"]["chunks_created"] == 1
        assert files["b.txt"]["error"]["type"] == "UnicodeDecodeError"
        assert (state["status"], state["counts"]["processing"]) == ("offline", 0)
        live.forget("my-docs")

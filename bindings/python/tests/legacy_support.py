"""Runs the pipeline of `tests/legacy` as it is, and with its two imports changed; see there.

What may come in: a folder with anything in it. What it never does: change more of the script than its imports.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from support import free_port, until

LEGACY = Path(__file__).resolve().parent / "legacy"
MODULES = ("status_server", "supabase_status")


def migrated(script: str) -> str:
    """The script with its imports of the status modules changed."""
    for module in MODULES:
        script, changes = re.subn(
            rf"^from {module} import", f"from ragpulse.compat.{module} import", script, flags=re.M
        )
        assert changes == 1, f"the script imports {module} {changes} times"
    return script


def write_migrated(folder: Path) -> Path:
    """Writes the changed script where none of the legacy modules can be found."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pipeline.py"
    path.write_text(migrated((LEGACY / "pipeline.py").read_text(encoding="utf-8")), encoding="utf-8")
    return path


def fill(folder: Path) -> None:
    """A folder in which everything happens that happens to pipelines.

    Two files are fine and two of one name too; one is no text, one has a type that is not known, and one throws.
    """
    (folder / "old").mkdir(parents=True)
    (folder / "new").mkdir()
    (folder / "a.txt").write_text("word " * 50, encoding="utf-8")
    (folder / "broken.txt").write_bytes(b"\xff\xfe is no UTF-8")
    (folder / "empty.txt").write_text("", encoding="utf-8")
    (folder / "new" / "notes.md").write_text("what was written later", encoding="utf-8")
    (folder / "old" / "notes.md").write_text("word " * 30, encoding="utf-8")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "z.txt").write_text("the last one", encoding="utf-8")


class Pipeline:
    """The script as a process, and what its status server serves. Ends with the `with` block, if not before."""

    def __init__(
        self,
        script: Path,
        folder: Path,
        work: Path,
        *,
        interval: float = 60,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.database = work / "status.db"
        command = [sys.executable, str(script), str(folder), "--port", str(port), "--interval", str(interval)]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "STATUS_DATABASE": str(self.database), **(environment or {})},
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def get(self, path: str) -> httpx.Response | None:
        """What it serves; None while it does not."""
        assert self.process.poll() is None, f"the pipeline ended: {self.process.stdout and self.process.stdout.read()}"
        try:
            return httpx.get(self.url + path, trust_env=False, timeout=10)
        except httpx.TransportError:
            return None

    def status(self) -> dict[str, Any]:
        """The dict of `GET /status`; empty while there is none."""
        answer = self.get("/status")
        served: dict[str, Any] = answer.json() if answer is not None else {}
        return served

    def checked(self) -> dict[str, Any]:
        """The dict once a check is over."""

        def over() -> dict[str, Any] | None:
            served = self.status()
            return served if served.get("next_check_time") and not served["is_checking"] else None

        return until(over, "the end of a check") or {}

    def stop(self, number: int = signal.SIGINT) -> str:
        """Ends it by a signal; gives what it wrote."""
        self.process.send_signal(number)
        try:
            return self.process.communicate(timeout=30)[0] or ""
        finally:
            self.process.kill()

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(30)
        if self.process.stdout:
            self.process.stdout.close()

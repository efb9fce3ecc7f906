"""What walks docs/migration.md: its commands, a bridge, a pipeline that goes on file by file, and a page that polls.

What may come in: commands as the page has them. What it never does: use an address or a port of the page.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from legacy_support import LEGACY
from support import Hub, binary, until

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/migration.md"


def commands() -> list[str]:
    """Every line of every shell block of the page."""
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def command(*parts: str) -> list[str]:
    """The words of the one command of the page that has these parts."""
    found = {line for line in commands() if all(part in line for part in parts)}
    assert len(found) == 1, f"{parts}: {found}"
    return shlex.split(found.pop())


def taken(words: list[str], places: Mapping[str, str]) -> list[str]:
    """A command with the test's own places in it; each has to be there."""
    for place, own in places.items():
        assert any(place in word for word in words), f"{place} is not in {words}"
        words = [word.replace(place, own) for word in words]
    return words


class Bridge:
    """`ragpulse bridge`, as the page starts it. Ends with the `with` block, if not before."""

    def __init__(self, hub: Hub, status_url: str, *options: str) -> None:
        words = taken(
            command("ragpulse bridge"),
            {"http://127.0.0.1:8003": status_url, "http://127.0.0.1:8103": hub.url},
        )
        self._errors: list[str] = []
        self.process = subprocess.Popen(
            [binary(), *words[1:], "--interval", "100ms", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(lambda: "bridging" in self.said(), "the bridge's first word")

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._errors.append(line)

    def said(self) -> str:
        return "".join(self._errors)

    def stop(self) -> str:
        """Ends it as the page says; gives what it said on standard error."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.said()
        self._reader.join(10)
        return self.said()

    def __enter__(self) -> "Bridge":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(30)
        self._reader.join(10)
        if self.process.stderr:
            self.process.stderr.close()


class Steps:
    """A reference-style pipeline that processes a file each time it is told to. Ends with the `with` block."""

    def __init__(self, words: list[str], script: Path, folder: Path, work: Path) -> None:
        """`words`: a command of the page, with the test's own places in it."""
        work.mkdir(parents=True, exist_ok=True)
        start = words.index("python")
        environment = dict(word.split("=", 1) for word in words[:start])
        assert words[start:-1] == ["python", "pipeline.py", "documents", "--port"], words
        self.url = f"http://127.0.0.1:{words[-1]}"
        options = [str(script), str(folder), *words[-2:], "--interval", "0.1"]
        self.process = subprocess.Popen(
            [sys.executable, str(LEGACY / "stepwise.py"), *options],
            env={**os.environ, "STATUS_DATABASE": str(work / "status.db"), **environment},
            cwd=work,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        until(lambda: self.status().get("next_check_time"), "the first check, of a folder with nothing new")

    @classmethod
    def old(cls, folder: Path, work: Path, port: int) -> "Steps":
        """The pipeline as it was."""
        words = ["python", "pipeline.py", "documents", "--port", str(port)]
        return cls(words, LEGACY / "pipeline.py", folder, work)

    @classmethod
    def new(cls, pipeline: str, hub: Hub, script: Path, folder: Path, port: int) -> "Steps":
        """The pipeline with its imports changed, as the page starts it."""
        words = command("python pipeline.py", f"RAG_PIPELINE_ID={pipeline}")
        words = taken(words, {"http://127.0.0.1:8103": hub.url, words[-1]: str(port)})
        return cls(words, script, folder, script.parent)

    def status(self) -> dict[str, Any]:
        """The dict of `GET /status`; empty while there is none."""
        assert self.process.poll() is None, "the pipeline ended"
        try:
            answer: dict[str, Any] = httpx.get(f"{self.url}/status", trust_env=False, timeout=10).json()
        except httpx.TransportError:
            return {}
        return answer

    def waits_for(self) -> str:
        """Waits until it has come to a file; gives its name."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """Lets it process the file that it has come to."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def run(self, count: int) -> None:
        """Lets it process so many files."""
        for _ in range(count):
            assert self.waits_for()
            self.go_on()

    def stop(self) -> None:
        """Ends it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 0

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(30)
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


class Page:
    """A page that polls `GET /api/rag-status`, and what it saw."""

    def __init__(self, hub: Hub, pipeline: str) -> None:
        self._hub, self._pipeline = hub, pipeline
        self._ends = threading.Event()
        self.totals: list[int] = []
        self.gaps: list[str] = []
        self.offline = 0
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def _poll(self) -> None:
        while not self._ends.wait(0.02):
            try:
                answer = self._hub.get("/api/rag-status", pipeline_id=self._pipeline)
                (one,) = answer["pipelines"]
                self.totals.append(one["status_details"]["total_processed"])
                self.offline += not one["is_active"]
            except (httpx.TransportError, ValueError) as error:
                self.gaps.append(repr(error))

    def saw(self) -> list[int]:
        """The totals, each as long as it stood, in order. Nothing was missing."""
        assert not self.gaps, self.gaps
        return [total for at, total in enumerate(self.totals) if at == 0 or self.totals[at - 1] != total]

    def __enter__(self) -> "Page":
        until(lambda: self._hub.state(self._pipeline), "the pipeline at the hub")
        self._thread.start()
        until(lambda: self.totals or self.gaps, "the page's first answer")
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(30)

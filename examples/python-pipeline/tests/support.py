"""A hub of the real program, documents to ingest, and the two pipelines as processes."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

HERE = Path(__file__).resolve().parent.parent
T = TypeVar("T")


def until(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Waits until a condition gives something true, and gives it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)
    return found


class Hub:
    """A hub in memory on a free port."""

    def __init__(self) -> None:
        program = os.environ.get("RAGPULSE_BIN", "")
        assert Path(program).is_file(), (
            f"RAGPULSE_BIN names {program!r}, which is not there: cargo build -p ragpulse-cli"
        )
        command = [program, "serve", "--listen", "127.0.0.1:0", "--store", "memory:"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout
        for line in self._process.stdout:
            if match := re.match(r"RagPulse is at (http://\S+)", line):
                self.url = match[1]
                return
        raise AssertionError("the hub did not start")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def state(self, pipeline: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/pipelines/{pipeline}/events", trust_env=False).json()
        return dict(answer.get("snapshot") or {})

    def files(self, pipeline: str) -> dict[str, dict[str, Any]]:
        return {file["name"]: file for file in self.state(pipeline).get("files", [])}

    def history(self, pipeline: str) -> list[dict[str, Any]]:
        url = f"{self.url}/api/pipelines/{pipeline}/history"
        return list(httpx.get(url, params={"limit": 1000}, trust_env=False).json()["events"])


def start(hub_url: str, script: str, *arguments: str | Path) -> "subprocess.Popen[str]":
    """Starts one of the programs of the example. Whatever would download a model fails."""
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env={**os.environ, "RAGPULSE_URL": hub_url, "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(hub_url: str, script: str, *arguments: str | Path) -> str:
    """Runs one to its end, and gives what it wrote."""
    with start(hub_url, script, *arguments) as process:
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out + errors


def pdf(*pages: str) -> bytes:
    """A PDF with one line of text on each page."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{4 + 2 * i} 0 R' for i in range(len(pages)))}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    body, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{end}".encode()

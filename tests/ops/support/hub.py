"""A live hub on a free port, with keys or without.

What may come in: arguments of `ragpulse serve`. What it never does: listen beyond loopback.
"""

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from support.programs import alive, ragpulse, running, wait_until


@dataclass(frozen=True)
class Keys:
    """A key file, and the tokens that it knows."""

    file: Path
    admin: str
    metrics: str


@dataclass(frozen=True)
class Hub:
    """A hub that serves."""

    address: str
    process: subprocess.Popen[bytes]
    keys: Keys | None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.address}"

    @property
    def token(self) -> str | None:
        """A token that may do everything."""
        return self.keys.admin if self.keys else None

    def client(self, **headers: str) -> httpx.Client:
        """A client that may do everything."""
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return httpx.Client(base_url=self.url, headers=headers, timeout=35, trust_env=False)

    def report(self, pipeline: str, *events: dict[str, Any]) -> dict[str, Any]:
        """Reports events, and gives the receipt."""
        with self.client() as client:
            answer = client.post(f"/api/pipelines/{pipeline}/events", json=list(events))
        answer.raise_for_status()
        receipt: dict[str, Any] = answer.json()
        return receipt

    def stop(self) -> None:
        """Ends it in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)


def make_keys(folder: Path) -> Keys:
    """Makes a key file by `ragpulse token new`: one key for everything, one for the metrics alone."""
    tokens, entries = {}, []
    for name, grant in (("admin", ["--role", "admin", "--pipelines", "*"]), ("prometheus", ["--acts", "metrics"])):
        made = subprocess.run(
            [ragpulse(), "token", "new", "--name", name, *grant], check=True, text=True, capture_output=True, timeout=20
        )
        tokens[name] = made.stdout.strip()
        entries.append(made.stderr[made.stderr.index("[[key]]") :])
    file = folder / "keys.toml"
    file.write_text("\n".join(entries))
    return Keys(file, tokens["admin"], tokens["prometheus"])


@contextlib.contextmanager
def hub(
    folder: Path, *arguments: str, keys: Keys | None = None, listen: str = "127.0.0.1:0", store: str = "memory:"
) -> Iterator[Hub]:
    """A hub that runs as long as the block does."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "hub.log"
    log.unlink(missing_ok=True)
    command = [ragpulse(), "serve", "--listen", listen, "--store", store, *arguments]
    if keys:
        command += ["--keys", str(keys.file)]
    # Whatever is set where the tests run is none of this hub's business.
    quiet = dict.fromkeys(("RAGPULSE_JWT_SECRET", "RAGPULSE_URL", "RAGPULSE_TOKEN"), "")
    with running(["env", *(f"-u{name}" for name in quiet), *command], log) as process:

        def address() -> str | None:
            alive(process, log)
            found = re.search(r"RagPulse is at http://(\S+)", log.read_text(errors="replace"))
            return found.group(1) if found else None

        yield Hub(wait_until("the hub serves", address), process, keys)

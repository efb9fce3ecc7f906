"""A real Prometheus beside a hub, by the configuration of ops/prometheus, only faster.

What may come in: a hub, and the token for its metrics. What it never does: leave its data behind.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from support.hub import Hub
from support.programs import OPS, alive, free_port, running, system, wait_until

SCRAPE_SECONDS = 1


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    client: httpx.Client

    def get(self, path: str, **parameters: str | float) -> Any:
        """What it answers under `data`."""
        answer = self.client.get(f"/api/v1/{path}", params=parameters)
        body = answer.json()
        assert body["status"] == "success", f"{path} {parameters}: {body}"
        return body["data"]


def configuration(hub: Hub, folder: Path) -> Path:
    """The committed one, for this hub: its address, its token, and one second in place of fifteen."""
    config = yaml.safe_load((OPS / "prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"}
    config["rule_files"] = [str(OPS / "prometheus" / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "ragpulse"
    job["static_configs"] = [{"targets": [hub.address]}]
    job.pop("authorization", None)
    if hub.keys:
        token = folder / "metrics.token"
        token.write_text(hub.keys.metrics)
        job["authorization"] = {"credentials_file": str(token)}
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config))
    return file


@contextlib.contextmanager
def prometheus(hub: Hub, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes this hub as long as the block lasts."""
    program, log = system("prometheus", "prometheus"), folder / "prometheus.log"
    port = free_port()
    command = [
        program,
        f"--config.file={configuration(hub, folder)}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (
        running(command, log) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client,
    ):

        def ready() -> bool:
            alive(process, log)
            with contextlib.suppress(httpx.TransportError):
                return client.get("/-/ready").status_code == 200
            return False

        wait_until("Prometheus is ready", ready, 30)
        yield Prometheus(client)

"""The HTTP routes of a live hub against bindings/openapi.yaml: schemathesis, and what it cannot ask.

What may come in: a seed, and how many requests a route gets. What it never does: pass over a status, a content type or
a body that is not in the document.
"""

from __future__ import annotations

import copy
import http.client
import random
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

import yaml

from hub import Hub, running

DOCUMENT = Path(__file__).resolve().parents[2] / "bindings/openapi.yaml"
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "use_after_free",
]
SHORT = 10
"""Requests by chance of a route in a short run."""
OF_TOKENS = ["ignored_auth", "missing_required_header"]
"""With keys. Not asked are positive_data_acceptance, as good events of a pipeline that is not known are refused, and
negative_data_rejection, as unknown parameters are ignored, and empty ones count as left out."""


def asked(document: dict[str, Any]) -> dict[str, Any]:
    """What schemathesis asks: all but the stream, which has no end, and `wait`, which holds an answer."""
    document = copy.deepcopy(document)
    document["paths"].pop("/api/pipelines/{id}/stream")
    poll = document["paths"]["/api/pipelines/{id}/events"]["get"]
    poll["parameters"] = [one for one in poll["parameters"] if one["name"] != "wait"]
    # What `data` has to be depends on `event`. Of `if` and `then` nothing is made, but of one form for each event.
    event = document["components"]["schemas"]["ReportedEvent"]
    event["anyOf"] = [form(event, rule) for rule in event.pop("allOf")]
    for key in ("properties", "required", "type", "additionalProperties"):
        event.pop(key)
    return document


def form(event: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
    """A reported event of one name."""
    then = rule["then"]
    properties = {**event["properties"], **rule["if"]["properties"], **then["properties"]}
    required = [*event["required"], *then.get("required", [])]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def of_known(document: dict[str, Any]) -> dict[str, Any]:
    """The same, of a pipeline that there is, so that its data is in the answers; it is not forgotten."""
    document = copy.deepcopy(document)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and "pipelines" in path:
                    parameter["schema"] = {"type": "string", "enum": ["known"]}
    document["paths"].pop("/api/pipelines/{id}")
    return document


def run(hub: Hub, document: dict[str, Any], seed: int, examples: int, mode: str, phases: str, *more: str) -> None:
    """One run of schemathesis."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "openapi.yaml"
        path.write_text(yaml.safe_dump(document))
        command = [sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", hub.url, "--no-color"]
        command += ["--mode", mode, "--seed", str(seed), "--max-examples", str(examples)]
        command += ["--phases", phases, "--workers", "2", "--generation-database", "none", "--warnings", "off"]
        command += ["--request-timeout", "20", "--suppress-health-check", "all", "--continue-on-failure", *more]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    told = done.stdout + done.stderr
    summary = [line.strip() for line in told.splitlines() if "generated" in line]
    took = time.monotonic() - begun
    print(f"http: {phases}, {mode} data: {'; '.join(summary)}; {took:.0f} s", flush=True)
    if done.returncode:
        raise SystemExit(f"seed {seed}: schemathesis found something\n{told[-12_000:]}\n{hub.told()}")


def check_waits(hub: Hub) -> None:
    """`wait`, at and beyond its bounds."""
    documented = {200, 400, 429}
    for wait, status in [("0", 200), ("0.01", 200), ("-0", 200), ("", 200), ("30", 200)]:
        answer = hub.ask("GET", f"/api/pipelines/known/events?wait={wait}")
        assert answer.status == status, (wait, answer)
    for wait in ["-1", "30.01", "nan", "inf", "-inf", "1e309", "1e-400", "0x1", "1,5", "\u0661", "x" * 5_000]:
        answer = hub.ask("GET", f"/api/pipelines/known/events?wait={urllib.parse.quote(wait)}")
        assert answer.status in documented, (wait, answer)


def check_streams(hub: Hub, seed: int, examples: int) -> None:
    """The stream: what it begins with, whatever the cursor."""
    documented = {200: "text/event-stream", 400: "application/problem+json"}
    for number in range(examples):
        chance = random.Random(f"{seed}:{number}")
        letters = "e:0123456789abcdefXYZ\u00e9 \u202e%,;{}[]\"'"
        cursor = chance.choice(["", "e:1", "e:18446744073709551615", "e:-1", ":", "e", "e:1:2"])
        if chance.random() < 0.6:
            cursor = "".join(chance.choice(letters) for _ in range(chance.randint(1, 60)))
        connection = http.client.HTTPConnection(hub.host, hub.port, timeout=20)
        own = {"Authorization": f"Bearer {hub.token}"} if hub.token else {}
        if chance.random() < 0.5 and cursor.isascii():
            own["Last-Event-ID"] = cursor
        path = f"/api/pipelines/{chance.choice(['known', 'nobody'])}/stream?cursor={urllib.parse.quote(cursor)}"
        connection.request("GET", path, headers=own)
        answer = connection.getresponse()
        kind = answer.headers.get("Content-Type", "")
        assert documented.get(answer.status) == kind, (
            f"seed {seed}, stream {number}: {path} {own}: {answer.status} {kind}"
        )
        connection.close()


def check(seed: int, examples: int) -> None:
    """All of it, with keys and without."""
    print(f"http: seed {seed}", flush=True)
    document = yaml.safe_load(DOCUMENT.read_text())
    for with_keys in (False, True):
        with running(with_keys=with_keys) as hub:
            hub.open("known")
            more = ["--checks", ",".join(CHECKS)]
            if with_keys:
                more = ["--checks", ",".join([*CHECKS, *OF_TOKENS]), "--header", f"Authorization: Bearer {hub.token}"]
            # By chance, and what each parameter can be at its bounds.
            thorough = with_keys or examples > SHORT
            run(hub, asked(document), seed, examples, "all", "coverage,fuzzing" if thorough else "fuzzing", *more)
            if thorough:
                hub.open("known")
                run(hub, of_known(asked(document)), seed, examples, "positive", "fuzzing", *more)
            hub.open("known")
            check_waits(hub)
            check_streams(hub, seed, examples * 10)
            if not hub.lives() or "panicked" in hub.told():
                raise SystemExit(f"seed {seed}: the hub did not survive\n{hub.told()}")

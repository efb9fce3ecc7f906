"""Reporters for tests, and what a hub has of them.

What may come in: a hub of the tests. What it never does: report anything by itself.
"""

from typing import Any

from ragpulse import AsyncReporter, Reporter
from support import Hub, fresh


def reporter(live: Hub, name: str = "reporter", **options: Any) -> Reporter:
    return Reporter(fresh(name), "local_files", url=live.url, **options)


def told(live: Hub, pipeline: Reporter | AsyncReporter) -> list[tuple[str, dict[str, Any]]]:
    return [(event["event"], event["data"]) for event in live.history(pipeline.pipeline_id)]

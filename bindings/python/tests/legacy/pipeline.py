"""A pipeline as people run it today: it watches a folder, and tells its status by a dict on a port and by a table.

    python pipeline.py FOLDER --port 8003 --interval 60

Only its last two imports are to be changed for RagPulse; `tests/legacy_support.py` does that, and nothing else.

It has what such pipelines have: the files of a check are listed as processing first; one whose processing throws is
logged and never completed; a type that it does not know counts as failed; and at the end of a check it adds to the
totals what the status server has counted already.
"""

import argparse
import hashlib
import logging
import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from status_server import pipeline_status, start_status_server
from supabase_status import init_status_tracker

PIPELINE_ID = os.environ.get("RAG_PIPELINE_ID", "local-files-pipeline")
SUPPORTED = {".txt", ".md"}
log = logging.getLogger("pipeline")


class ExtractionError(Exception):
    """There is no text to be had."""


def extract(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ExtractionError("not a text in UTF-8") from error


def chunk(text: str) -> list[str]:
    words = text.split()
    size = min(20, len(words))
    # An empty file makes this throw.
    return [" ".join(words[at : at + size]) for at in range(0, len(words), size)]


def embed(text: str) -> list[float]:
    return [byte / 255 for byte in hashlib.sha256(text.encode()).digest()]


class FolderPipeline:
    def __init__(self, folder: Path, interval: float) -> None:
        self.folder = folder
        self.interval = interval
        self.known: dict[Path, float] = {}
        self.store: dict[str, list[list[float]]] = {}
        self.tracker = init_status_tracker(PIPELINE_ID, "local_files")

    def changed(self) -> list[Path]:
        found = []
        for path in sorted(self.folder.rglob("*")):
            modified = path.stat().st_mtime
            if path.is_file() and self.known.get(path) != modified:
                self.known[path] = modified
                found.append(path)
        return found

    def process(self, path: Path, file_id: str) -> bool:
        begun = time.monotonic()
        if path.suffix not in SUPPORTED:
            pipeline_status.complete_file(path.name, False)
            return False
        try:
            text = extract(path)
        except ExtractionError as error:
            stats = {"error": str(error), "error_type": type(error).__name__, "stage": "extraction"}
            pipeline_status.complete_file(path.name, False, stats)
            return False
        chunks = chunk(text)
        self.store[file_id] = [embed(one) for one in chunks]
        pipeline_status.complete_file(
            path.name,
            success=True,
            stats={
                "chunks": len(chunks),
                "embeddings": len(chunks),
                "duration": time.monotonic() - begun,
                "content_length": len(text),
            },
        )
        return True

    def check(self) -> None:
        pipeline_status.update(is_checking=True, last_check_time=datetime.now().isoformat())
        files = [(path, hashlib.md5(str(path.absolute()).encode()).hexdigest()) for path in self.changed()]
        for path, file_id in files:
            pipeline_status.add_processing_file(path.name, file_id)
        self.tell_lists()
        good = bad = 0
        for path, file_id in files:
            try:
                if self.process(path, file_id):
                    good += 1
                else:
                    bad += 1
            except Exception:
                log.exception("could not process %s", path)
        pipeline_status.update(
            is_checking=False,
            next_check_time=(datetime.now(timezone.utc) + timedelta(seconds=self.interval)).isoformat(),
            total_processed=pipeline_status.data.get("total_processed", 0) + good,
            total_failed=pipeline_status.data.get("total_failed", 0) + bad,
        )
        self.tell_lists()

    def tell_lists(self) -> None:
        with pipeline_status.lock:
            data = pipeline_status.data
            self.tracker.update_processing_status(
                files_processing=list(data["files_processing"]),
                files_completed=list(data["files_completed"]),
                files_failed=list(data["files_failed"]),
                is_checking=data["is_checking"],
                next_check_time=data["next_check_time"],
            )

    def watch(self) -> None:
        pipeline_status.update(
            status="initializing",
            pipeline_type="local_files",
            check_interval=self.interval,
            watch_directory=str(self.folder),
        )
        self.tracker.start({"check_interval": self.interval})
        pipeline_status.update(status="running")
        self.tracker.update_status({"status": "running"})
        try:
            while True:
                self.check()
                time.sleep(self.interval)
        except KeyboardInterrupt:
            log.info("stopped")
        finally:
            self.tracker.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8003)
    parser.add_argument("--interval", type=float, default=60)
    arguments = parser.parse_args()
    start_status_server(port=arguments.port)
    FolderPipeline(arguments.folder, arguments.interval).watch()

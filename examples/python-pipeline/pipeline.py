"""A small RAG ingestion that reports what it does to a RagPulse hub.

python pipeline.py ingest FOLDER            # watches the folder until Ctrl-C or SIGTERM
python pipeline.py ingest FOLDER --once     # one pass
python pipeline.py query "a question"       # the chunks that answer it best
"""

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path

from ragpulse import Reporter

from ingest.embedding import MODELS, Embedder, ModelMissing
from ingest.ingestion import Ingestion
from ingest.stopping import Stop
from ingest.store import Store

log = logging.getLogger("pipeline")


def main() -> int:
    """Does what the command line asks for."""
    arguments = parse()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    try:
        embedder = MODELS[arguments.model]()
    except ModelMissing as error:
        print(error, file=sys.stderr)
        return 2
    with contextlib.closing(Store(arguments.store)) as store:
        return query(arguments, embedder, store) if arguments.command == "query" else ingest(arguments, embedder, store)


def ingest(arguments: argparse.Namespace, embedder: Embedder, store: Store) -> int:
    """Ingests a folder: once, or again and again."""
    stop = Stop()
    stop.on_signals()
    reporter = Reporter(
        arguments.pipeline_id,
        "local_files",
        check_interval=None if arguments.once else arguments.interval,
        watch_location=arguments.folder,
        lease_seconds=arguments.lease_seconds,
    )
    with reporter:
        ingestion = Ingestion(arguments.folder, store, embedder, reporter, stop)
        while True:
            try:
                outcomes = ingestion.run()
            except OSError as error:
                # The folder is not there, perhaps for a moment only. Nothing is deleted for that.
                if arguments.once:
                    raise
                log.warning("the folder cannot be read: %s", error)
            else:
                if outcomes or arguments.once:
                    log.info("done: %s", ", ".join(f"{n} {how}" for how, n in sorted(outcomes.items())) or "nothing")
            if arguments.once:
                return 0
            stop.wait(arguments.interval)


def query(arguments: argparse.Namespace, embedder: Embedder, store: Store) -> int:
    """Prints the chunks that answer a question best."""
    hits = store.nearest(embedder.embed([arguments.question])[0], embedder.name, arguments.count)
    for hit in hits:
        page = f", page {hit.page}" if hit.page else ""
        print(f"{hit.score:.2f}  {os.path.relpath(hit.path)}{page}\n      {' '.join(hit.text.split())[:200]}")
    if not hits:
        print(f"{arguments.store} has nothing that {embedder.name} has embedded", file=sys.stderr)
    return 0 if hits else 1


def parse() -> argparse.Namespace:
    """Reads the command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--store", type=Path, default=Path("rag.sqlite3"), help="default: %(default)s")
    shared.add_argument("--model", choices=MODELS, default="wordllama", help="default: %(default)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    ingests = commands.add_parser("ingest", parents=[shared], help="ingest a folder")
    ingests.add_argument("folder", type=Path)
    ingests.add_argument("--once", action="store_true", help="one pass, then end")
    ingests.add_argument("--interval", type=float, default=5, metavar="SECONDS", help="between two passes; default 5")
    ingests.add_argument("--pipeline-id", default="python-pipeline", help="default: %(default)s")
    ingests.add_argument(
        "--lease-seconds", type=int, default=120, help="after how long a silence it counts as dead; default 120"
    )

    asks = commands.add_parser("query", parents=[shared], help="ask a question")
    asks.add_argument("question")
    asks.add_argument("--count", type=int, default=3, help="how many chunks; default %(default)s")

    arguments = parser.parse_args()
    if arguments.command == "ingest":
        arguments.folder = arguments.folder.resolve()
        if not arguments.folder.is_dir():
            parser.error(f"{arguments.folder} is no folder")
        if arguments.store.resolve().is_relative_to(arguments.folder):
            parser.error(f"the store {arguments.store} is in the folder that it is made from; name another by --store")
    return arguments


if __name__ == "__main__":
    sys.exit(main())

"""An outage of the hub, at full length: every end of a file arrives once.

    RAGPULSE_BIN=target/debug/ragpulse python benches/outage.py [--seconds 60] [--rate 100]

Starts a hub on a SQLite store, reports at the rate (a file's begin, three times progress, its end), kills the hub for
so many seconds in the middle, and asks it afterwards what it has. Fails where an end is missing or there twice.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from ragpulse import Reporter
from support import Hub


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=100, help="events a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hub = Hub(store=f"sqlite:{Path(folder) / 'hub.db'}")
        try:
            pipeline = Reporter("outage", "local_files", url=hub.url)
            pipeline.online()
            begun, files, down, longest = time.monotonic(), 0, False, 0
            while (now := time.monotonic() - begun) < options.seconds + 10:
                if not down and now > 5 and hub.process.poll() is None and now < options.seconds + 5:
                    hub.kill()
                    down = True
                if down and now > options.seconds + 5:
                    hub.start()
                    down = False
                with pipeline.file("a.pdf", id=str(files)) as f:
                    for part in (0.2, 0.6, 0.9):
                        f.progress("embedding", part)
                files += 1
                longest = max(longest, pipeline.status.queued)
                # Five events for each file.
                time.sleep(max(0.0, begun + files * 5 / options.rate - time.monotonic()))
            sent = pipeline.close(60)
            ends = Counter(event["data"]["file"]["id"] for event in hub.history("outage", event="file:completed"))
            lost = [str(number) for number in range(files) if str(number) not in ends]
            doubled = [file for file, count in ends.items() if count > 1]
            print(
                f"{files} files, {files * 5} events in {options.seconds + 10:.0f} s; away for {options.seconds:.0f} s;"
            )
            print(f"at most {longest} events waited; sent: {sent}; lost: {len(lost)}; doubled: {len(doubled)}")
            print(pipeline.status)
            return 1 if lost or doubled or not sent else 0
        finally:
            hub.stop()


if __name__ == "__main__":
    sys.exit(main())

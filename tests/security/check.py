"""What a hub holds against hostile clients: the HTTP routes by schemathesis, the socket by a fuzzer of frames.

    RAGPULSE_BIN=target/debug/ragpulse python3 tests/security/check.py [--long] [--seed N] [--only http|frames]

Short, it takes a minute or two, and is part of `cargo xtask test --full`; `--long` takes half an hour or more. What may
come in: any Python from 3.10 on. What it never does: install outside of `.venv`, which it makes, and brings up to date
when requirements.txt changes. Ends with 1 when anything fails, and says by which seed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings/python/scripts"))

from environment import make, run

HERE = Path(__file__).resolve().parent
FOLDER = HERE / ".venv"
SEED = 20_260_301
"""Short runs are the same each time; long ones take one that is new."""


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="many more requests and attacks")
    parser.add_argument("--seed", type=int, help="what a failure names")
    parser.add_argument("--only", choices=["http", "frames"])
    parser.add_argument("--attack", type=int, help="only this attack of the frames")
    arguments = parser.parse_args()
    python = str(make(FOLDER, HERE / "requirements.txt"))
    if Path(sys.prefix).resolve() != FOLDER.resolve():
        return subprocess.run([python, str(Path(__file__).resolve()), *sys.argv[1:]]).returncode

    import frames
    import routes

    if not arguments.long and not arguments.only:
        steps = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy", "."])
        if run([[python, "-m", *step] for step in steps], HERE):
            return 1
    seed = arguments.seed
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "big") if arguments.long else SEED
    if arguments.only != "http":
        frames.check(seed, frames.LONG if arguments.long else frames.SHORT, arguments.attack)
    if arguments.only != "frames":
        routes.check(seed, 400 if arguments.long else routes.SHORT)
    print("security: nothing was found")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Checks ops/: that every file there is right, and works with the real programs against live hubs.

    RAGPULSE_BIN=target/debug/ragpulse python3 tests/ops/check.py
    RAGPULSE_BIN=target/debug/ragpulse python3 tests/ops/check.py --capture    # writes docs/dashboard.md anew

What may come in: any Python from 3.10 on, and Debian's packages prometheus, nginx-light and sqlite3. What it never
does: install outside of `.venv`, which it makes, and brings up to date when the requirements change. Ends with 1 when
anything fails.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings/python/scripts"))

from environment import make, run

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Runs all steps."""
    if "--capture" in sys.argv[1:]:
        os.environ["RAGPULSE_CAPTURE"] = "1"
    python = str(make(HERE / ".venv", HERE / "requirements.txt"))
    steps = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy", "."], ["pytest", "--quiet"])
    failed = run([[python, "-m", *step] for step in steps], HERE)
    if failed:
        print("failed:", "; ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Checks the package: lint, types, and the tests with their coverage.

    RAGPULSE_BIN=target/debug/ragpulse python bindings/python/scripts/check.py

Makes ``bindings/python/.venv`` when it is missing or not as ``requirements-dev.txt`` says. Ends with 1 when anything
fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
LEAST_COVERAGE = 90


def main() -> int:
    # Also when it is called with a path that is relative to where it is called from.
    program = os.environ.get("RAGPULSE_BIN")
    environment = {**os.environ, **({"RAGPULSE_BIN": str(Path(program).resolve())} if program else {})}
    python = sys.executable
    steps = [
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
        [python, "-m", "pytest", "--quiet", "--cov", "--cov-report=term", f"--cov-fail-under={LEAST_COVERAGE}"],
    ]
    failed = []
    for step in steps:
        print("$", *step[1:], flush=True)
        if subprocess.run(step, cwd=PACKAGE, env=environment).returncode:
            failed.append(" ".join(step[2:4]))
    if failed:
        print("failed:", "; ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    from environment import inside

    inside()
    sys.exit(main())

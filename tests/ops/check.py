"""Checks ops/: that every file there is right, and works with the real programs against live hubs.

    RAGPULSE_BIN=target/debug/ragpulse python3 tests/ops/check.py
    RAGPULSE_BIN=target/debug/ragpulse python3 tests/ops/check.py --capture    # writes docs/dashboard.md anew

What may come in: any Python from 3.10 on, and Debian's packages prometheus, nginx-light and sqlite3. What it never
does: install outside of `.venv`, which it makes, and brings up to date when the requirements change. Ends with 1 when
anything fails.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE / ".venv"
PYTHON = FOLDER / "bin/python"


def make_environment() -> None:
    """Makes `.venv`, unless it is as the requirements say."""
    requirements = HERE / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    mark = FOLDER / "requirements.sha256"
    if PYTHON.exists() and mark.exists() and mark.read_text() == wanted:
        return
    print("making .venv", file=sys.stderr)
    venv.create(FOLDER, with_pip=True, clear=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(requirements)], check=True)
    mark.write_text(wanted)


def main() -> int:
    """Runs all steps."""
    environment = dict(os.environ)
    if program := os.environ.get("RAGPULSE_BIN"):
        # Also when it is called with a path that is relative to where it is called from.
        environment["RAGPULSE_BIN"] = str(Path(program).resolve())
    if "--capture" in sys.argv[1:]:
        environment["RAGPULSE_CAPTURE"] = "1"
    make_environment()
    steps = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy", "."], ["pytest", "--quiet"])
    failed = []
    for step in steps:
        print("$", *step, flush=True)
        if subprocess.run([str(PYTHON), "-m", *step], cwd=HERE, env=environment).returncode:
            failed.append(step[0])
    if failed:
        print("failed:", ", ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

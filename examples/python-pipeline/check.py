"""Checks the example: lint, types, and tests against a real hub.

    RAGPULSE_BIN=target/debug/ragpulse python3 examples/python-pipeline/check.py

What may come in: any Python from 3.10 on. What it never does: install outside of `.venv`, which it makes, and brings up
to date when the requirements change. Ends with 1 when anything fails.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "bindings/python"
FOLDER = HERE / ".venv"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_environment() -> None:
    """Makes `.venv`, unless it is as the requirements say."""
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(HERE.glob("requirements*.txt")))).hexdigest()
    mark = FOLDER / "requirements.sha256"
    if PYTHON.exists() and mark.exists() and mark.read_text() == wanted:
        return
    print("making .venv", file=sys.stderr)
    venv.create(FOLDER, with_pip=True, clear=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(HERE / "requirements-dev.txt")], check=True)
    # Editable, so that what is tested is what stands here; its dependencies are pinned above.
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(PACKAGE)], check=True)
    mark.write_text(wanted)


def main() -> int:
    """Runs all steps."""
    # Also when it is called with a path that is relative to where it is called from.
    program = os.environ.get("RAGPULSE_BIN")
    environment = {**os.environ, **({"RAGPULSE_BIN": str(Path(program).resolve())} if program else {})}
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

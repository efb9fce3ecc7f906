"""The virtual environment in which the checks of this package run.

What may come in: any Python from 3.10 on. What it never does: install outside of ``bindings/python/.venv``.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
FOLDER = PACKAGE / ".venv"
REQUIREMENTS = PACKAGE / "requirements-dev.txt"


def _python() -> Path:
    return FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ready() -> Path:
    """The Python of the environment, made or brought up to date where it is not as the requirements say."""
    mark = FOLDER / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not _python().exists() or not mark.exists() or mark.read_text() != wanted:
        if sys.version_info < (3, 10):  # noqa: UP036
            raise SystemExit("Python 3.10 or later is needed; run this by such a one, as by python3.12")
        print(f"making {FOLDER}", file=sys.stderr)
        venv.create(FOLDER, with_pip=True, clear=True)
        pip = [str(_python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        # Editable, so that what is tested is what stands here; its dependencies are pinned above.
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(PACKAGE)], check=True)
        mark.write_text(wanted)
    return _python()


def inside() -> None:
    """Goes on in the environment: runs the program again there, unless it is there already."""
    python = ready()
    if Path(sys.prefix).resolve() != FOLDER.resolve():
        sys.exit(subprocess.run([str(python), *sys.argv]).returncode)

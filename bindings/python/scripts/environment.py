"""The virtual environments in which the checks of this package run.

The package itself is checked in ``.venv`` (``requirements-dev.txt``); each adapter in one of its own, ``.venv-NAME``
(``requirements/NAME.txt``), so that no framework bends the versions that another one, or the package, is tested with.

``make`` and ``run`` are also for the checks of other folders, with requirements of their own.

What may come in: any Python from 3.10 on. What it never does: install outside of these folders.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
GUIDE = "guide"
"""The environment of those examples of the guide that need more than the package; it is none of an adapter."""


def _folder(adapter: str | None) -> Path:
    return PACKAGE / (f".venv-{adapter}" if adapter else ".venv")


def _requirements(adapter: str | None) -> Path:
    return PACKAGE / (f"requirements/{adapter}.txt" if adapter else "requirements-dev.txt")


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def adapters() -> list[str]:
    """The names of all adapters that have an environment."""
    return sorted({path.stem for path in (PACKAGE / "requirements").glob("*.txt")} - {GUIDE})


def make(folder: Path, requirements: Path, package: Path | None = None) -> Path:
    """The Python of an environment, made or brought up to date where it is not as its requirements say.

    With a package, that is installed too: editable, so that what is tested is what stands there. Its dependencies are
    pinned by the requirements.
    """
    mark = folder / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not _python(folder).exists() or not mark.exists() or mark.read_text() != wanted:
        if sys.version_info < (3, 10):  # noqa: UP036
            raise SystemExit("Python 3.10 or later is needed; run this by such a one, as by python3.12")
        print(f"making {folder.parent.name}/{folder.name}", file=sys.stderr)
        try:
            venv.create(folder, with_pip=True, clear=True)
        except subprocess.CalledProcessError:
            # Debian splits this part of Python off.
            raise SystemExit(
                "this Python cannot make virtual environments; on Debian run: apt-get install -y python3-venv"
            ) from None
        pip = [str(_python(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(requirements)], check=True)
        if package is not None:
            subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(package)], check=True)
        mark.write_text(wanted)
    return _python(folder)


def run(steps: list[list[str]], folder: Path) -> list[str]:
    """Runs all steps, each a command of some Python, in a folder; gives those that failed."""
    # Also when it is called with a path that is relative to where it is called from.
    program = os.environ.get("RAGPULSE_BIN")
    environment = {**os.environ, **({"RAGPULSE_BIN": str(Path(program).resolve())} if program else {})}
    failed = []
    for step in steps:
        print("$", *step[1:], flush=True)
        if subprocess.run(step, cwd=folder, env=environment).returncode:
            failed.append(" ".join(step[2:4]))
    return failed


def ready(adapter: str | None = None) -> Path:
    """The Python of the environment of the package, or of an adapter."""
    return make(_folder(adapter), _requirements(adapter), PACKAGE)


def inside(adapter: str | None = None) -> None:
    """Goes on in an environment: runs the program again there, unless it is there already."""
    python = ready(adapter)
    if Path(sys.prefix).resolve() != _folder(adapter).resolve():
        sys.exit(subprocess.run([str(python), *sys.argv]).returncode)

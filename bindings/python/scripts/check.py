"""Checks the package: lint, types, and the tests with their coverage.

    RAGPULSE_BIN=target/debug/ragpulse python bindings/python/scripts/check.py
    RAGPULSE_BIN=target/debug/ragpulse python bindings/python/scripts/check.py --adapters [NAME …]
    RAGPULSE_BIN=target/debug/ragpulse python bindings/python/scripts/check.py --guide

Without ``--adapters`` it needs no framework. With it, each adapter (or those that are named) is checked in an
environment of its own, which has the real framework: its types, and the tests in ``tests/adapters``. With ``--guide``
those examples of docs/guides/pipeline are run that need more than the package, such as Celery.

Makes the environments when they are missing or not as their requirements say. Ends with 1 when anything fails.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from environment import GUIDE, adapters, ready, run

PACKAGE = Path(__file__).resolve().parent.parent
LEAST_COVERAGE = 90


def package() -> list[list[str]]:
    """The steps of the package itself."""
    python = str(ready())
    return [
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
        [python, "-m", "pytest", "--quiet", "--cov", "--cov-report=term", f"--cov-fail-under={LEAST_COVERAGE}"],
    ]


def adapter(name: str) -> list[list[str]]:
    """The steps of one adapter."""
    python, module = str(ready(name)), name.replace("-", "_")
    tests = sorted(path.stem for path in (PACKAGE / "tests/adapters").glob(f"test_{module}*.py"))
    if not tests:
        raise SystemExit(f"there are no tests/adapters/test_{module}*.py")
    return [
        # Each by its name: what is only found in a folder is left out, as pyproject.toml has it for the package.
        [python, "-m", "mypy", *(f"-m{name}" for name in [*modules(module), *(f"adapters.{test}" for test in tests)])],
        [
            *(python, "-m", "pytest", "--quiet", f"--cov=ragpulse.adapters.{module}", "--cov-report=term"),
            *("--cov-config=coverage-adapters.toml", f"--cov-fail-under={LEAST_COVERAGE}"),
            *(f"tests/adapters/{test}.py" for test in tests),
        ],
    ]


def modules(adapter: str) -> list[str]:
    """The modules of an adapter, whether it is one file or a folder."""
    source = PACKAGE / "src"
    place = source / "ragpulse/adapters" / adapter
    found = [place.with_suffix(".py"), *sorted(place.rglob("*.py"))]
    names = [".".join(path.relative_to(source).with_suffix("").parts) for path in found if path.is_file()]
    return [name.removesuffix(".__init__") for name in names]


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", nargs="*", metavar="NAME", help="check the adapters in place of the package")
    parser.add_argument("--guide", action="store_true", help="run the examples that need more than the package")
    arguments = parser.parse_args()
    names = arguments.adapters
    if arguments.guide:
        failed = run([[str(ready(GUIDE)), "-m", "pytest", "--quiet", "tests/guide_full"]], PACKAGE)
    else:
        failed = run(package(), PACKAGE) if names is None else []
    for name in [] if names is None else names or adapters():
        failed += [f"{name}: {step}" for step in run(adapter(name), PACKAGE)]
    if failed:
        print("failed:", "; ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

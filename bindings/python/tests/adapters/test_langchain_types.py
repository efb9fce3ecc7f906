"""The types of all modules of the adapter hold.

`exclude` in pyproject.toml, which is there for the package's own check, also hides the modules of an adapter that is a
package from `mypy -p`: they are named one by one here.
"""

import subprocess
import sys
from pathlib import Path

import ragpulse.adapters.langchain

ROOT = Path(__file__).resolve().parents[2]


def test_the_types_hold_in_every_module() -> None:
    folder = Path(ragpulse.adapters.langchain.__file__).parent
    modules = sorted(path.stem for path in folder.glob("_*.py") if path.stem != "__init__")
    assert len(modules) > 5
    names = [f"ragpulse.adapters.langchain.{module}" for module in modules]
    command = [sys.executable, "-m", "mypy", *(f"-m{name}" for name in [*names, "adapters.langchain_support"])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"no issues found in {len(modules) + 1} source files" in done.stdout

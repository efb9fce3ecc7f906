"""`pip install ./bindings/python` in an environment of its own, and the example of the README at the root run with it.

What may come in: the folder as it stands. It asks the package registry of this machine's pip for what the package
needs, in the versions of `requirements-dev.txt`. What it never does: install into the environment that it runs in.
"""

import os
import re
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import hub

PACKAGE = Path(__file__).resolve().parents[2]
ROOT = PACKAGE.parents[1]
INSTALL = "pip install ./bindings/python"

Done = subprocess.CompletedProcess[str]


def section() -> str:
    """The part of the README at the root that is for those who come from Python."""
    found = re.search(r"^### From Python\n(.*?)(?=^#)", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    assert found, "README.md has no section `### From Python`"
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def run(*command: "str | Path", cwd: Path = ROOT, more: Mapping[str, str] | None = None) -> "Done":
    # Nothing of the environment that runs this test is found from within the new one.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}
    return subprocess.run(command, cwd=cwd, env={**kept, **(more or {})}, capture_output=True, text=True, timeout=180)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment, after the command that the README names."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    assert INSTALL in "".join(blocks(section(), "sh"))
    limits = {"PIP_CONSTRAINT": str(PACKAGE / "requirements-dev.txt"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = run(python, "-m", *INSTALL.split(), more=limits)
    assert done.returncode == 0, done.stdout + done.stderr
    return python


def test_it_is_installed_whole_and_not_as_a_link(python: Path) -> None:
    code = "import ragpulse, pathlib; print(pathlib.Path(ragpulse.__file__).parent)"
    installed = Path(run(python, "-c", code, cwd=python.parent).stdout.strip())
    assert python.parents[1] in installed.parents
    source = PACKAGE / "src/ragpulse"
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.suffix in (".py", ".typed")}
    assert Path("py.typed") in wanted
    assert {path for path in wanted if not (installed / path).is_file()} == set()
    done = run(python, "-m", "pip", "check")
    assert done.returncode == 0, done.stdout


def test_the_example_of_both_readmes_is_one() -> None:
    (example,) = blocks(section(), "python")
    assert len(example.splitlines()) == 10
    assert example == blocks((PACKAGE / "README.md").read_text("utf-8"), "python")[0]


def test_the_example_runs_as_it_is_written(python: Path, tmp_path: Path) -> None:
    (example,) = blocks(section(), "python")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("three words here", encoding="utf-8")
    (tmp_path / "docs" / "b.txt").write_text("two words", encoding="utf-8")
    (tmp_path / "docs" / "c.pdf").write_bytes(b"not asked for")
    # One of its own: other tests report as `my-docs` too.
    with hub() as own:
        done = run(python, "-W", "error", "-c", example, cwd=tmp_path, more={"RAGPULSE_URL": own.url})
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        events = own.history("my-docs")
    # Of progress only the latest is kept, so some of it, or all, may never have been sent.
    told = [(one["event"], one["data"].get("file", {}).get("name")) for one in events]
    assert [one for one in told if one[0] != "file:progress"] == [
        ("pipeline:online", None),
        ("file:processing", "a.txt"),
        ("file:completed", "a.txt"),
        ("file:processing", "b.txt"),
        ("file:completed", "b.txt"),
        ("pipeline:offline", None),
    ]
    results = [one["data"]["results"] for one in events if one["event"] == "file:completed"]
    assert [one["chunks_created"] for one in results] == [3, 2]
    assert events[-1]["data"]["reason"] == "normal_shutdown"

"""docs/guides/pipeline: every example is run against a live hub; commands exist, and changes fit what they change.

The examples that need a package which the environment of this test has not are run by `guide_full`.
"""

import configparser
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guide_support import DEFAULT, GUIDE, ROOT, Example, environment, examples, examples_of, links, pages, told, write
from legacy_support import LEGACY, Pipeline, fill, migrated
from support import Hub, binary, free_port, hub

PACKAGE = ROOT / "bindings/python"
EXAMPLES = examples()
FULL = {"celery", "fastapi"}
RUN = [one for one in EXAMPLES if "run" in one.words]
SHELL = [one for one in EXAMPLES if one.language == "sh"]
# Kept from run to run: to read pydantic anew takes longer than all the rest.
CACHE = PACKAGE / ".mypy_cache/guide"
KNOWN = {
    # Run by tests/install.
    "pip install ./bindings/python",
}


@pytest.fixture(scope="module")
def own() -> Iterator[Hub]:
    """A hub of the guide's own: its pipelines have the names that stand there."""
    with hub() as running:
        yield running


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's project."""
    folder = tmp_path_factory.mktemp("project")
    write(folder, [one for one in EXAMPLES if one.language == "python" and not one.needs])
    return folder


def start(command: "list[str]", folder: Path, of: Hub, cwd: "Path | None" = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=cwd or folder, env=environment(of, folder), capture_output=True, text=True, timeout=120
    )


def test_the_pages_are_those_of_the_index() -> None:
    found = list(pages())
    assert found == [
        "01-dependencies.md",
        "02-server-setup.md",
        "03-event-handlers.md",
        "04-integration.md",
        "05-testing.md",
        "README.md",
    ]
    for page in found[:-1]:
        assert f"]({page})" in pages()["README.md"]


def test_the_python_examples_have_their_types(project: Path) -> None:
    files = sorted(path.name for path in project.glob("*.py"))
    assert len(files) >= 15
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(CACHE), *files],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def check(example: Example, done: "subprocess.CompletedProcess[str]", of: Hub) -> None:
    assert done.returncode == 0, f"{example.where}:\n{done.stdout}{done.stderr}"
    if example.output is not None:
        assert done.stdout == example.output, example.where
    if example.language == "python":
        assert bool(done.stderr) == ("logs" in example.words), f"{example.where}:\n{done.stderr}"
    for pipeline, events in example.events.items():
        assert told(of, pipeline) == events, example.where


def run(example: Example, project: Path, of: Hub) -> None:
    if example.language == "python":
        assert example.output is not None or example.events, f"{example.where}: it says of nothing what comes of it"
        done = start([sys.executable, "-W", "error", example.file], project, of)
    else:
        script = example.text.replace(DEFAULT, of.url).replace("curl ", "curl -sS --fail-with-body --max-time 20 ")
        done = start(["bash", "-euc", script], project, of)
        assert done.stdout, f"{example.where}: it prints nothing"
    check(example, done, of)


@pytest.mark.parametrize("page", sorted({one.page for one in RUN}))
def test_the_examples_of_a_page_run_one_after_the_other_and_do_what_it_says(own: Hub, project: Path, page: str) -> None:
    for example in RUN:
        if example.page == page:
            run(example, project, own)


def test_the_tests_of_the_guide_pass(own: Hub, project: Path) -> None:
    files = [one.file for one in EXAMPLES if "pytest" in one.words]
    assert len(files) == 5
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", "."]
    done = start([*command, *files], project, own)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(files)} passed" in done.stdout


def options_of(command: str) -> str:
    done = subprocess.run([binary(), command, "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"ragpulse {command}"
    return done.stdout


def check_ragpulse(words: list[str], where: str) -> None:
    text = options_of(words[0])
    for word in words[1:]:
        assert not word.startswith("--") or f"{word} " in text, f"{where}: ragpulse {words[0]} has no {word}"


def test_commands_exist_with_their_options(project: Path, own: Hub, tmp_path: Path) -> None:
    for one in SHELL:
        if "run" in one.words:
            continue
        for line in filter(None, one.text.splitlines()):
            words = shlex.split(line)
            if words[0].endswith("ragpulse"):
                check_ragpulse(words[1:], one.where)
            elif words[:2] == ["pip", "wheel"]:
                offline = [*words[1:], "--no-build-isolation", "--wheel-dir", str(tmp_path)]
                done = start(
                    [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *offline], project, own, ROOT
                )
                assert done.returncode == 0, done.stderr
                assert [path.name for path in tmp_path.glob("*")] == ["ragpulse-0.1.0-py3-none-any.whl"]
            elif words[:2] == ["cargo", "build"]:
                package = words[words.index("-p") + 1]
                manifests = (ROOT / "crates").glob("*/Cargo.toml")
                assert any(f'name = "{package}"' in path.read_text("utf-8") for path in manifests), one.where
            else:
                assert line in KNOWN, f"{one.where}: nobody has tried: {line}"


def test_units_say_what_there_is() -> None:
    units = [one for one in EXAMPLES if one.language == "ini"]
    assert len(units) == 2
    for one in units:
        parser = configparser.RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(one.text)
        assert set(parser.sections()) == {"Unit", "Service", "Install"}, one.where
        words = shlex.split(parser["Service"]["ExecStart"])
        if words[0].endswith("ragpulse"):
            check_ragpulse(words[1:], one.where)


def applied(text: str, change: Example) -> str:
    """A text after a change. Every line that is to go, or to stay, has to be there."""
    lines = change.text.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in "- ")
    after = "".join(line[1:] for line in lines if line[0] in "+ ")
    assert text.count(before) == 1, f"{change.where}: this is there {text.count(before)} times:\n{before}"
    return text.replace(before, after)


def test_the_changes_fit_and_the_changed_pipeline_runs(own: Hub, tmp_path: Path) -> None:
    changes = [one for one in EXAMPLES if one.language == "diff"]
    assert len(changes) == 2
    assert {ROOT / one.file for one in changes} == {LEGACY / "pipeline.py"}
    text = (LEGACY / "pipeline.py").read_text("utf-8")
    assert applied(text, changes[0]) == migrated(text)
    for change in changes:
        text = applied(text, change)
    script = tmp_path / "pipeline.py"
    script.write_text(text, encoding="utf-8")
    fill(tmp_path / "documents")
    given = {"RAGPULSE_URL": own.url, "RAG_PIPELINE_ID": "changed"}
    with Pipeline(script, tmp_path / "documents", tmp_path, environment=given) as running:
        served = running.checked()
        assert [file["name"] for file in served["files_failed"]] == ["broken.txt", "empty.txt"]
        running.stop()
    assert "file:skipped photo.jpg" in told(own, "changed")
    counts = own.state("changed")["counts"]
    assert (counts["completed"], counts["failed"], counts["skipped"]) == (4, 2, 1)


def test_without_a_hub_the_first_example_says_so(own: Hub, project: Path) -> None:
    example = next(one for one in RUN if one.file == "hello.py")
    code = example.text.replace("timeout=5", "timeout=2")
    assert code != example.text
    given = {**environment(own, project), "RAGPULSE_URL": f"http://127.0.0.1:{free_port()}"}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "taken: False retrying\n"), done.stderr


def test_what_needs_more_than_this_environment_is_run_elsewhere() -> None:
    needing = [one for one in EXAMPLES if one.needs]
    assert {one.needs for one in needing} == FULL
    for one in needing:
        compile(one.text, one.file, "exec")
        tests = (PACKAGE / f"tests/guide_full/test_{one.needs}.py").read_text("utf-8")
        assert one.file in tests, f"{one.where}: nothing runs it"


@pytest.mark.parametrize(
    "block",
    [
        "```python\nx\n```",
        "```\nx\n```",
        "```yaml file=x\nx\n```",
        "```python file=x.py\nx",
        "```text output\nx\n```",
        "```python file=x.py\nx\n```\n```text output\nx\n```",
        "```sh maybe\nx\n```",
        "```python file=x.py from=y\nx\n```",
    ],
)
def test_a_block_that_nobody_tries_does_not_pass(block: str) -> None:
    with pytest.raises(ValueError, match="page:"):
        examples_of("page", block)


def test_every_link_leads_somewhere() -> None:
    for page, text in pages().items():
        for target in links(text):
            path = GUIDE / target
            adapter = PACKAGE / "src/ragpulse/adapters" / f"{path.stem.replace('-', '_')}.py"
            if path.parent.name == "adapters" and not adapter.exists() and not adapter.with_suffix("").is_dir():
                # An adapter and its page come together; that there will be one says the package.
                assert f"{path.stem} = [" in (PACKAGE / "pyproject.toml").read_text("utf-8"), f"{page}: {target}"
            else:
                assert path.exists(), f"{page}: {target}"

"""The examples of a guide: the fenced blocks of its pages, and what each is.

| block | what it is |
|---|---|
| `python file=x.py` | a file of the reader's project; all of them are type-checked together |
| `python file=x.py run` | the same, and it is run against a live hub |
| `python file=x.py run logs` | the same, and it writes to standard error |
| `python file=test_x.py pytest` | the same, and it is run by pytest |
| `python file=x.py needs=celery` | the same, where that package is there: see `guide_full` |
| `text output` | what the block before it prints |
| `text events=ID` | what the hub then has of a pipeline, progress left out |
| `sh` | commands, the options of which are looked up; `sh run`: they are run |
| `diff file=x` | a change of a file of this repository |
| `ini file=x.service` | a unit of systemd |

What may come in: Markdown. What it never does: let a block pass that says neither where it belongs nor what it is.
"""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from support import Hub, binary

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs/guides/pipeline"
DEFAULT = "http://127.0.0.1:8103"
_LANGUAGES = {
    "python": {"run", "logs", "pytest"},
    "text": {"output"},
    "sh": {"run"},
    "diff": set(),
    "ini": set(),
}


@dataclass
class Example:
    """One fenced block."""

    where: str
    language: str
    text: str
    options: dict[str, str]
    words: set[str]
    output: str | None = None
    events: dict[str, list[str]] = field(default_factory=dict)

    @property
    def file(self) -> str:
        return self.options.get("file", "")

    @property
    def page(self) -> str:
        return self.where.split(":")[0]

    @property
    def needs(self) -> str:
        return self.options.get("needs", "")


def examples_of(page: str, markdown: str) -> list[Example]:
    """The blocks of a page, in order. Raises `ValueError` for one that says too little of itself."""
    found: list[Example] = []
    lines: list[str] | None = None
    for number, line in enumerate(markdown.splitlines(), start=1):
        if lines is not None and line == "```":
            found[-1].text = "".join(f"{one}\n" for one in lines)
            lines = None
            _settle(found)
        elif lines is not None:
            lines.append(line)
        elif line.startswith("```"):
            language, *words = line[3:].split() or [""]
            options = dict(word.split("=", 1) for word in words if "=" in word)
            plain = {word for word in words if "=" not in word}
            found.append(Example(f"{page}:{number}", language, "", options, plain))
            lines = []
    if lines is not None:
        raise ValueError(f"{found[-1].where}: a block that does not end")
    return found


def _settle(found: list[Example]) -> None:
    """Judges a block, and gives what it says of the one before to that."""
    one = found[-1]
    if one.language not in _LANGUAGES or one.words - _LANGUAGES[one.language]:
        raise ValueError(f"{one.where}: nobody tries a block of {one.language!r} that is {sorted(one.words)}")
    allowed = {"python": {"file", "needs"}, "text": {"events"}, "diff": {"file"}, "ini": {"file"}}
    if one.options.keys() - allowed.get(one.language, set()):
        raise ValueError(f"{one.where}: nobody knows {sorted(one.options)}")
    if one.language in ("python", "diff", "ini") and not one.file:
        raise ValueError(f"{one.where}: it says of no file that it is part of it")
    if one.language == "text":
        before = next((other for other in reversed(found[:-1]) if other.language != "text"), None)
        if before is None or "run" not in before.words or ("output" in one.words) == ("events" in one.options):
            raise ValueError(f"{one.where}: it says of nothing that runs what it prints or reports")
        if "output" in one.words:
            before.output = one.text
        else:
            before.events[one.options["events"]] = one.text.splitlines()


def pages() -> dict[str, str]:
    """All pages of the guide."""
    return {path.name: path.read_text("utf-8") for path in sorted(GUIDE.glob("*.md"))}


def examples() -> list[Example]:
    """The examples of all pages."""
    return [example for page, text in pages().items() for example in examples_of(page, text)]


def write(folder: Path, given: list[Example]) -> None:
    """Writes the files of the reader's project. No two have one name."""
    for example in given:
        path = folder / example.file
        if path.exists():
            raise ValueError(f"{example.where}: there is another {example.file} in this guide")
        path.write_text(example.text, encoding="utf-8")


def environment(hub: Hub, folder: Path) -> dict[str, str]:
    """What examples find in their environment: a hub, and `ragpulse` in the PATH."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    program = tools / "ragpulse"
    if not program.exists():
        try:
            program.symlink_to(binary())
        except OSError:
            shutil.copy2(binary(), program)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
    path = os.pathsep.join([str(tools), kept.get("PATH", "")])
    return {**kept, "PATH": path, "RAGPULSE_URL": hub.url, "PYTHONUTF8": "1", "PYTHONPATH": str(folder)}


def told(hub: Hub, pipeline: str) -> list[str]:
    """What a hub has of a pipeline, as the guide writes it."""
    return [
        " ".join(filter(None, [event["event"], event["data"].get("file", {}).get("name")]))
        for event in hub.history(pipeline)
        if event["event"] != "file:progress"
    ]


def links(markdown: str) -> list[str]:
    """The targets of a page's links within this repository."""
    return [one for one in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", markdown) if not re.match(r"https?:", one)]

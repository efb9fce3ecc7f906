"""The table of what every panel showed, printed by each run, and written into docs/dashboard.md when it is asked for.

What may come in: the values of one run. What it never does: write anything that was not measured in this run.
"""

import datetime
import os
import re
from pathlib import Path

from support.dashboard import Query, Value
from support.programs import DOCS, run, system

PAGE = DOCS / "dashboard.md"
BEGIN, END = "<!-- capture: begin -->", "<!-- capture: end -->"
HEAD = "| row | panel | query | series | the largest, at the end |\n|---|---|---|---|---|\n"
UNITS = {
    "eps": " events/s",
    "reqps": "/s",
    "ops": "/s",
    "cps": "/s",
    "Bps": " B/s",
    "bytes": " B",
    "s": " s",
    "short": "",
}


def short(expression: str) -> str:
    """A query as the table has it: without the selection of hubs, which all have."""
    return re.sub(r'job=~"\$job", instance=~"\$instance"(, )?', "", expression).replace("{}", "")


def shown(query: Query, value: Value) -> str:
    """A number with its unit, and of which series it is."""
    scale, unit = (100, " %") if query.unit == "percentunit" else (1, UNITS.get(query.unit, ""))
    number = f"{value.number * scale:.4g}{unit}"
    return f"{value.largest}: {number}" if value.series > 1 else number


def write(values: dict[Query, Value]) -> None:
    """Prints the table; with RAGPULSE_CAPTURE it goes into the page."""
    lines = [
        f"| {q.row} | {q.panel} | `{escape(short(q.expression))}` | {v.series} | {escape(shown(q, v))} |\n"
        for q, v in values.items()
    ]
    print(HEAD + "".join(lines))
    if not os.environ.get("RAGPULSE_CAPTURE"):
        return
    version = run([system("prometheus", "prometheus"), "--version"]).split()[2]
    said = f"Taken on {datetime.date.today():%-d %B %Y} from Prometheus {version}, with keys and a SQLite store:\n\n"
    page = PAGE.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    Path(PAGE).write_text(f"{before}{BEGIN}\n\n{said}{HEAD}{''.join(lines)}\n{END}{after}")


def rows() -> list[tuple[str, ...]]:
    """The rows of the table in the page."""
    table = PAGE.read_text().split(BEGIN)[1].split(END)[0].split("|---|---|---|---|---|\n")[1]
    cells = [
        re.split(r" (?<!\\)\| ", line.strip().removeprefix("| ").removesuffix(" |"))
        for line in table.strip().splitlines()
    ]
    return [tuple(cell.strip("`").replace("\\|", "|") for cell in row) for row in cells]


def escape(text: str) -> str:
    """For a cell of a table."""
    return text.replace("|", "\\|")

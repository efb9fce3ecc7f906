"""The dashboard as Grafana reads it: its panels, their queries, and what variables stand for.

What may come in: ops/grafana/dashboard.json, a Prometheus, and the span of time that is looked at. What it never does:
change either.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from support.programs import OPS
from support.prometheus import SCRAPE_SECONDS, Prometheus

FILE = OPS / "grafana/dashboard.json"


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    row: str
    panel: str
    expression: str
    legend: str
    unit: str


@dataclass(frozen=True)
class Value:
    """What a query came to: how many series there were, and the last number of the largest of them."""

    series: int
    largest: str
    number: float


def load() -> dict[str, Any]:
    """The dashboard."""
    dashboard: dict[str, Any] = json.loads(FILE.read_text())
    return dashboard


def queries(dashboard: dict[str, Any]) -> Iterator[Query]:
    """Every query of every panel, in order."""
    row = ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            continue
        unit = panel["fieldConfig"]["defaults"].get("unit", "")
        for target in panel["targets"]:
            yield Query(row, panel["title"], target["expr"], target["legendFormat"], unit)


def variables(dashboard: dict[str, Any], prometheus: Prometheus) -> dict[str, str]:
    """What the variables stand for when the dashboard is opened: the default, or all."""
    values: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert asked, f"{variable['name']}: only label_values is known here"
        series = prometheus.get("series", **{"match[]": replace(asked.group(1), values)})
        found = sorted({one[asked.group(2)] for one in series})
        assert found, f"the variable {variable['name']} has nothing to choose from"
        if variable["includeAll"]:
            values[variable["name"]] = variable["allValue"]
        else:
            default = variable["current"]["value"]
            assert default in found, f"the default of {variable['name']}, {default}, is not among {found}"
            values[variable["name"]] = default
    return values


def replace(expression: str, values: dict[str, str], span: int = 60, step: int = 1) -> str:
    """A query as Grafana sends it. $__rate_interval is four scrapes, or the step and one scrape where that is more."""
    known = {
        **values,
        "__rate_interval": f"{max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)}s",
        "__interval": f"{step}s",
        "__range": f"{span}s",
    }
    for name in sorted(known, key=len, reverse=True):
        expression = expression.replace(f"${{{name}}}", known[name]).replace(f"${name}", known[name])
    assert "$" not in expression, f"there is a variable that is not known: {expression}"
    return expression


def evaluate(prometheus: Prometheus, query: Query, values: dict[str, str], end: float, span: int = 60) -> Value | None:
    """What a panel shows over the last `span` seconds; None where it would be empty."""
    answer = prometheus.get("query_range", query=replace(query.expression, values), start=end - span, end=end, step=1)
    last = {}
    for series in answer["result"]:
        numbers = [float(number) for _, number in series["values"]]
        finite = [number for number in numbers if math.isfinite(number)]
        if finite:
            last[name(query.legend, series["metric"])] = finite[-1]
    if not last:
        return None
    largest = max(last, key=lambda one: last[one])
    return Value(len(last), largest, last[largest])


def name(legend: str, labels: dict[str, str]) -> str:
    """The legend of a series."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found.group(1), ""), legend)


def families(text: str) -> set[str]:
    """The names of RagPulse's metrics in a query, without what Prometheus adds to those of a histogram."""
    return {re.sub(r"_(bucket|count|sum)$", "", found) for found in re.findall(r"\bragpulse_\w+", text)}

"""The dashboard in itself: Grafana imports it, it asks only for what a hub exports, and leaves nothing out."""

import re

import yaml

from support import capture
from support import dashboard as grafana
from support.programs import DOCS, OPS

# Up to Grafana 12 this form is read; later ones are for later Grafanas.
SCHEMA = 39
UNITS = {
    *("short", "percentunit", "s", "bytes", "Bps"),
    # A second: events, requests, operations, counts.
    *("eps", "reqps", "ops", "cps"),
}


def documented() -> set[str]:
    """The metrics of docs/metrics.md."""
    table = (DOCS / "metrics.md").read_text().split("<!-- families: begin -->")[1].split("<!-- families: end -->")[0]
    return set(re.findall(r"^\| `(ragpulse_\w+)` \|", table, re.MULTILINE))


def test_what_dashboard_and_alerts_ask_for_is_documented_and_all_metrics_are_shown() -> None:
    shown = {family for query in grafana.queries(grafana.load()) for family in grafana.families(query.expression)}
    rules = yaml.safe_load((OPS / "prometheus/alerts.yml").read_text())
    judged = {
        family for group in rules["groups"] for rule in group["rules"] for family in grafana.families(rule["expr"])
    }
    assert shown, "the dashboard asks for nothing"
    assert judged, "the alerts ask for nothing"
    assert shown | judged <= documented()
    assert documented() <= shown, "metrics that no panel shows"


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    dashboard = grafana.load()
    assert (dashboard["uid"], dashboard["schemaVersion"], dashboard["id"]) == ("ragpulse", SCHEMA, None)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert {v["name"] for v in dashboard["templating"]["list"]} == {"datasource", "job", "instance"}
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit", "s") in UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs)), panel["title"]
        for target in [panel, *panel["targets"]]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        for target in panel["targets"]:
            assert "$instance" in target["expr"] or "ALERTS" in target["expr"], panel["title"]
            assert target["legendFormat"], panel["title"]


def test_a_rate_is_shown_as_a_rate() -> None:
    for query in grafana.queries(grafana.load()):
        a_rate = query.expression.startswith(("rate(", "sum(rate(")) or re.match(
            r"sum by \([\w, ]+\) \(rate\(", query.expression
        )
        if not a_rate or "/ sum(" in query.expression:
            continue
        seconds_a_second = "cpu_seconds" in query.expression
        assert query.unit == ("short" if seconds_a_second else query.unit)
        assert seconds_a_second or query.unit in {"eps", "reqps", "ops", "cps", "Bps"}, query
        assert ("bytes" in query.expression) == (query.unit == "Bps"), query


def test_the_capture_in_the_docs_is_of_this_dashboard() -> None:
    written = [row[:3] for row in capture.rows()]
    assert written == [
        (query.row, query.panel, capture.short(query.expression)) for query in grafana.queries(grafana.load())
    ], "docs/dashboard.md is of another dashboard; run: python3 tests/ops/check.py --capture"

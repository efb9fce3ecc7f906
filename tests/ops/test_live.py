"""A live hub, a real Prometheus beside it with the rules of ops/prometheus, and every panel of the dashboard."""

import time
from pathlib import Path

import pytest

from support import capture
from support import dashboard as grafana
from support.hub import hub, make_keys
from support.programs import run, system, wait_until
from support.prometheus import Prometheus, prometheus
from support.traffic import traffic


@pytest.mark.parametrize("with_keys", [True, False], ids=["with keys, SQLite", "without keys, in memory"])
def test_every_panel_has_a_value_at_a_live_hub(tmp_path: Path, with_keys: bool) -> None:
    keys = make_keys(tmp_path) if with_keys else None
    # In memory nothing is committed, so that there are no times of it.
    store = f"sqlite:{tmp_path / 'ragpulse.db'}" if with_keys else "memory:"
    dashboard = grafana.load()
    asked = [q for q in grafana.queries(dashboard) if with_keys or "log_sync_seconds_bucket" not in q.expression]
    with hub(tmp_path, keys=keys, store=store) as live, prometheus(live, tmp_path) as beside:
        with traffic(live) as going_on:
            wait_until(
                "Prometheus has scraped the hub", lambda: beside.get("query", query="ragpulse_build_info")["result"]
            )
            variables = grafana.variables(dashboard, beside)
            empty = list(asked)

            def every_query_has_a_value() -> bool:
                going_on.going()
                end = time.time()
                empty[:] = [query for query in empty if grafana.evaluate(beside, query, variables, end) is None]
                return not empty

            try:
                wait_until("every query has a value", every_query_has_a_value, 40)
            except pytest.fail.Exception:
                pytest.fail("these panels stay empty:\n" + "\n".join(f"{q.panel}: {q.expression}" for q in empty))
            # A reporter has fallen silent: the alert on it goes from the rules to Prometheus to the panel.
            wait_until("RagPulseReporterSilent fires", lambda: firing(beside) == {"RagPulseReporterSilent"}, 20)
            values = {}
            end = time.time()
            for query in asked:
                value = grafana.evaluate(beside, query, variables, end)
                assert value, query
                values[query] = value
        for annotation in dashboard["annotations"]["list"]:
            if "expr" in annotation:
                beside.get("query", query=grafana.replace(annotation["expr"], variables))
        for group in beside.get("rules")["groups"]:
            for rule in group["rules"]:
                assert rule["health"] == "ok", rule
        metrics = live.client().get("/metrics").text
    (tmp_path / "metrics.txt").write_text(metrics)
    run(["sh", "-c", f"{system('promtool', 'prometheus')} check metrics <{tmp_path / 'metrics.txt'}"])
    if with_keys:
        capture.write(values)


def firing(beside: Prometheus) -> set[str]:
    """The names of the alerts that fire."""
    return {one["labels"]["alertname"] for one in beside.get("alerts")["alerts"] if one["state"] == "firing"}

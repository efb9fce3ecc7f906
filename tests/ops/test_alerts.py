"""The alerts: sound, made to fire and not to fire, and each with its section in the runbook."""

import re

import yaml

from support.programs import DOCS, OPS, run, system

ALERTS = OPS / "prometheus/alerts.yml"


def test_the_alerts_are_sound_and_fire_when_they_should() -> None:
    promtool = system("promtool", "prometheus")
    run([promtool, "check", "rules", str(ALERTS)])
    run([promtool, "check", "config", "--syntax-only", str(OPS / "prometheus/prometheus.yml")])
    run([promtool, "test", "rules", "alerts_test.yml"], cwd=ALERTS.parent)


def test_each_alert_is_tested_told_and_in_the_runbook() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    names = [rule["alert"] for rule in rules]
    assert len(names) == len(set(names))
    tests = yaml.safe_load((ALERTS.parent / "alerts_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    quiet = {case["alertname"] for test in tests for case in test["alert_rule_test"] if not case["exp_alerts"]}
    assert fired == set(names), "each alert is made to fire"
    assert quiet == set(names), "each alert is made not to fire"
    headings = re.findall(r"^#+ (RagPulse\w+)$", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(names), "docs/operations.md has a section for each alert, and for no other"
    for rule in rules:
        notes = rule["annotations"]
        assert notes["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert notes["summary"].endswith("."), rule["alert"]
        assert len(notes["description"].split(". ")) > 1, f"{rule['alert']}: what it is, whose fault, what to do"

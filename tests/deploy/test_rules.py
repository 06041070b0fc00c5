"""Recording rules and alerts, by promtool's own checks and tests."""

import subprocess
from collections import defaultdict

import pytest
import yaml
from live import DEPLOY, tool

PROMETHEUS = DEPLOY / "prometheus"
CASES = sorted((PROMETHEUS / "tests").glob("*.yml"))


def promtool(*words):
    done = subprocess.run(
        (tool("promtool", "prometheus"), *words), cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_its_rules_are_valid():
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, (PROMETHEUS / "rules").glob("*.yml")))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_rules_come_to_what_their_cases_say(case):
    promtool("test", "rules", str(case))


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_does_not():
    rules = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    seen = defaultdict(set)
    for case in CASES:
        for test in yaml.safe_load(case.read_text())["tests"]:
            for expected in test.get("alert_rule_test", ()):
                seen[expected["alertname"]].add(bool(expected.get("exp_alerts")))
    assert dict(seen) == {alert: {True, False} for alert in alerts}


def test_every_recording_rule_has_a_case():
    rules = yaml.safe_load((PROMETHEUS / "rules" / "recording.yml").read_text())
    names = {rule["record"] for group in rules["groups"] for rule in group["rules"]}
    asked = {
        expected["expr"]
        for case in CASES
        for test in yaml.safe_load(case.read_text())["tests"]
        for expected in test.get("promql_expr_test", ())
    }
    assert {name for name in names if not any(name in expression for expression in asked)} == set()

"""Alerting rules and dashboard as they are delivered: read by promtool, each rule tried, each page there."""

import json
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.peers.debian import Peers
from tests.peers.exposed import Exposed

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "rules" / "muster.yaml"
TESTS = ROOT / "deploy" / "rules" / "tests" / "muster.yaml"
DASHBOARD = ROOT / "deploy" / "dashboards"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    """Of all rules and of all panels."""
    panels = json.loads((DASHBOARD / "muster.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [*(rule["expr"] for rule in rules()), *asked]


def _promtool(peers: Peers, *arguments: str | Path) -> None:
    command = [peers.prometheus.with_name("promtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules_and_each_fires_as_its_test_says(peers: Peers) -> None:
    _promtool(peers, "check", "rules", RULES)
    _promtool(peers, "test", "rules", TESTS)
    tried = {
        test["alertname"]
        for each in yaml.safe_load(TESTS.read_text())["tests"]
        for test in each["alert_rule_test"]
        if test["exp_alerts"]
    }
    assert tried == {rule["alert"] for rule in rules()}


def test_every_rule_says_what_is_wrong_and_leads_to_its_page() -> None:
    for rule in rules():
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_dashboard_is_what_its_script_makes() -> None:
    made = runpy.run_path(str(DASHBOARD / "make.py"))["dashboard"]()
    assert json.loads((DASHBOARD / "muster.json").read_text()) == made


def test_a_name_that_is_misspelt_is_missed() -> None:
    exposed = Exposed()
    exposed.add('# TYPE muster_a_total counter\nmuster_a_total{loop="x"} 1.0\n# TYPE muster_s histogram\n')
    assert exposed.missing("sum by (loop, instance) (rate(muster_a_total[5m]))") == []
    assert exposed.missing("rate(muster_s_bucket[5m])") == []
    assert exposed.missing("muster_b_total") == ["muster_b_total"]
    assert exposed.missing("muster_s") == ["muster_s"]
    assert exposed.missing('muster_a_total{lop="x"}') == ["lop"]
    assert exposed.missing("sum by (lop) (muster_a_total)") == ["lop"]

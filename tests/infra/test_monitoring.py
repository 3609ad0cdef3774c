"""Dashboard and alerts ask for metrics that exist, with labels that these have; promtool where it is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.telemetry import METRICS

INFRA = Path(__file__).parents[2] / "infra"
DASHBOARD = json.loads((INFRA / "grafana" / "dashboard.json").read_text())
ALERTS = yaml.safe_load((INFRA / "prometheus" / "alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
KNOWN = {metric.name: metric for metric in METRICS}
# what every series has besides its metric's own labels: ours, and the scraper's
COMMON = {"pipeline", "instance", "job"}


def expressions() -> dict[str, str]:
    found = {rule["alert"]: rule["expr"] for rule in RULES}
    for panel in DASHBOARD["panels"]:
        found |= {f"{panel['title']}/{target['refId']}": target["expr"] for target in panel["targets"]}
    return found


@pytest.mark.parametrize(("where", "expr"), expressions().items(), ids=expressions())
def test_metrics_and_labels_exist(where: str, expr: str) -> None:
    selectors = re.findall(r"(voicemill_\w+)(?:\{([^}]*)\})?", expr)
    assert selectors
    labels = set()
    for name, matchers in selectors:
        metric = KNOWN[name]
        labels |= set(metric.labels)
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert used <= {*metric.labels, *COMMON}, f"{where}: {name} has no such label"
        # a counter is looked at by how it grows, or as a share of another one
        if metric.kind == "gauge":
            assert not re.search(rf"(?:rate|increase)\({name}\b", expr)
    grouped = re.findall(r"(?:by|on|ignoring|without) \(([^)]*)\)", expr)
    for group in grouped:
        assert {label.strip() for label in group.split(",")} <= labels | COMMON


def test_every_metric_is_looked_at() -> None:
    everything = " ".join(expressions().values())
    assert {name for name in KNOWN if not re.search(rf"\b{name}\b", everything)} == set()


def test_legends_and_summaries_name_labels() -> None:
    labels = {label for metric in METRICS for label in metric.labels} | COMMON
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels
    for rule in RULES:
        assert set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))) <= labels
        assert rule["annotations"].keys() == {"summary", "action"}


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_is_tested() -> None:
    tests = yaml.safe_load((INFRA / "prometheus" / "alerts_test.yaml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in RULES}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool (Debian: prometheus)")
@pytest.mark.parametrize(
    "check",
    [
        ["check", "rules", "alerts.yaml"],
        ["test", "rules", "alerts_test.yaml"],
        ["check", "config", "prometheus.yaml"],
    ],
    ids=" ".join,
)
def test_prometheus_takes_them(check: list[str]) -> None:
    said = subprocess.run(
        ["promtool", *check], cwd=INFRA / "prometheus", capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool (Debian: prometheus)")
def test_prometheus_parses_the_dashboard(tmp_path: Path) -> None:
    """Each panel's expression as a recording rule, Grafana's variable replaced by a value."""
    rules = [
        {"record": f"panel:{i}", "expr": expr.replace("$pipeline", ".*")}
        for i, expr in enumerate(expressions().values())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    said = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr

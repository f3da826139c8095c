"""The dashboard and the alerts in contrib/: each metric that they name is there, and each alert is in the handbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from controller.store.keys import PARTITIONS
from tests.metrics import names

ROOT = Path(__file__).parents[2]
RULES = ROOT / "contrib" / "prometheus" / "switchroom.yml"
DASHBOARD = json.loads((ROOT / "contrib" / "grafana" / "switchroom.json").read_text())
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
# Of Prometheus itself.
ITS_OWN = {"up"}
# Between quotes are values of labels, in braces their names, and before a parenthesis a function's.
_NOT_NAMES = re.compile(r'"[^"]*"|\{[^{}]*\}|\[[^\]]*\]|\b\w+ by \([^)]*\)|\b[a-z_]+ ?(?=\()')
_NAME = re.compile(r"\b(?!or\b)[a-zA-Z_][a-zA-Z0-9_]*\b")


def named(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(_NAME.findall(_NOT_NAMES.sub(" ", expression)))


PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_an_expression_s_metrics_are_found() -> None:
    expression = (
        'histogram_quantile(0.9, sum by (le, a) (rate(one_bucket{b="two", c!="x"}[5m]))) / max(three > 0) > 0.8'
    )
    assert named(expression) == {"one_bucket", "three"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_names_what_is_there_and_says_what_is_wrong(alert: dict[str, Any]) -> None:
    assert named(alert["expr"])
    assert named(alert["expr"]) <= names() | ITS_OWN
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert alert["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_names_what_is_there(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert named(target["expr"])
        assert named(target["expr"]) <= names()


def test_the_dashboard_leaves_nothing_out_and_nothing_overlaps() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (column, line)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) == 23
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    metrics = {re.sub("_(bucket|sum|count)$", "", name) for name in names() if name.startswith("switchroom_")}
    assert {metric for metric in metrics if metric not in shown} <= LEFT_OUT


# What tells more of something that is shown already.
LEFT_OUT = {
    "switchroom_media_decodes_total",
    "switchroom_media_decodes_queued",
    "switchroom_media_fetches_total",
    "switchroom_media_fetched_bytes_total",
}


def test_the_variables_of_the_dashboard_ask_for_what_is_there() -> None:
    asked = [
        found[1]
        for variable in DASHBOARD["templating"]["list"]
        if (found := re.match(r"label_values\((\w+), \w+\)", variable.get("definition", "")))
    ]
    assert asked
    assert set(asked) <= names()


def test_every_alert_is_in_the_handbook_and_no_other() -> None:
    handbook = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(Switchroom\w+)` \| ([^|]+) \| ([^|]+) \|$", handbook, re.MULTILINE)
    assert [name for name, _, _ in rows] == [alert["alert"] for alert in ALERTS]


def test_every_metric_is_in_the_handbook_and_no_other() -> None:
    handbook = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| ((?:`switchroom_\w+`(?:, )?)+).* \|$", handbook, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"switchroom_\w+", row)]
    own = {name for name in names() if name.startswith("switchroom_") and not name.endswith("_created")}
    assert sorted(named) == sorted({re.sub("_(bucket|sum|count)$", "", name) for name in own})


def test_the_number_of_partitions_is_the_code_s() -> None:
    (alert,) = [alert for alert in ALERTS if alert["alert"] == "SwitchroomWebhooksUndelivered"]
    assert alert["expr"] == f"(sum(switchroom_webhook_partitions) or vector(0)) < {PARTITIONS}"


# The values of labels by which an alert tells series apart, where they are known from the start.
KNOWN_VALUES = {"on": {"node", "partition"}}
# Of nodes nothing is known at the start: an alert by node misses the first count, and must not wait for it.
KNOWN_LATER = {"node"}
# Prometheus adds it.
OF_TARGET = {"instance"}
_INCREASE = re.compile(r"by \(([^)]*)\) \(increase\((\w+)(?:\{([^}]*)\})?\[\w+\]\)\) > ([\d.]+)")


@pytest.fixture(scope="module")
def at_start() -> list[Sample]:
    """What a process shows before anything has happened."""
    start = (
        "import controller.media.relay, controller.metrics, controller.recordings.keeper, prometheus_client;"
        "print(prometheus_client.generate_latest().decode())"
    )
    shown = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return [sample for family in text_string_to_metric_families(shown) for sample in family.samples]


@pytest.mark.parametrize(
    "alert", [alert for alert in ALERTS if "increase(" in alert["expr"]], ids=lambda alert: str(alert["alert"])
)
def test_what_an_alert_sees_increase_is_there_from_the_start(alert: dict[str, Any], at_start: list[Sample]) -> None:
    """`increase` of a series that begins with its first count is 0."""
    found = _INCREASE.search(alert["expr"])
    assert found
    by, metric, selector, threshold = found.groups()
    chosen = dict(re.findall(r'(\w+)="([^"]*)"', selector or ""))
    labels = set(by.split(", ")) - OF_TARGET
    if labels & KNOWN_LATER:
        assert float(threshold) >= 1
        return
    shown = [sample for sample in at_start if sample.name == metric and chosen.items() <= sample.labels.items()]
    assert {sample.value for sample in shown} == {0}
    for label in labels:
        assert {sample.labels[label] for sample in shown} == KNOWN_VALUES[label]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH (Debian: prometheus)")
@pytest.mark.parametrize("check", [("check", "rules", RULES), ("test", "rules", RULES.with_suffix(".test.yml"))])
def test_prometheus_takes_the_alerts(check: tuple[str, ...]) -> None:
    run = subprocess.run(["promtool", *check], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

"""The files of Prometheus and Grafana: whole, and about metrics that somebody tells."""

import json
import re

import pytest
import yaml

from lakehouse.environment import environment_of
from lakehouse.settings import MonitoringSettings
from monitoring.metrics import METRICS
from stack.paths import MONITORING, StackConfig
from stack.prometheus.server import targets, with_interval

DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
SOURCES = MONITORING / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
RULES = [
    rule
    for path in sorted((MONITORING / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
PANELS = [
    panel
    for path in DASHBOARDS
    for panel in json.loads(path.read_text())["panels"]
    if panel["type"] != "row"
]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]


def config():
    with environment_of({"HOME": "/nowhere"}):
        return StackConfig()


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_how_bad_it_is_what_is_known_and_where_the_way_out_is(rule):
    notes = rule["annotations"]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert notes["summary"]
    assert "{{ $value" in notes["description"]
    assert notes["runbook_url"] == f"docs/OPERATIONS.md#{rule['alert'].lower()}"


def test_no_two_alerts_share_a_name():
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))


def test_every_metric_of_the_exporter_that_is_asked_for_is_told():
    asked = {name for e in EXPRESSIONS for name in re.findall(r"\bpipeline_\w+", e)}
    assert asked <= set(METRICS)
    assert len(asked) > 25


def test_every_limit_is_a_setting():
    named = {name for e in EXPRESSIONS for name in re.findall(r'limit\{name="(\w+)"\}', e)}
    assert named
    assert named <= set(MonitoringSettings.model_fields)


def test_there_is_a_dashboard_of_which_grafana_has_the_source():
    (source,) = yaml.safe_load(SOURCES.read_text())["datasources"]
    assert len(PANELS) > 20
    used = {one["datasource"]["uid"] for p in PANELS for one in (p, *p["targets"])}
    assert used == {source["uid"]}


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_asks_for_something_and_says_what_it_is_in_which_unit(panel):
    assert panel["targets"]
    assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_places_and_numbers_of_their_own(path):
    found = json.loads(path.read_text())["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    taken = set()
    for panel in found:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells


WITHOUT_AGENT = {"kafka", "connect"}
"""Their images have none."""


def test_the_same_is_asked_natively_and_in_compose():
    def asked(found):
        return {
            (one["labels"]["job"], one["labels"].get("__metrics_path__", "/metrics"))
            for one in found
            if one["labels"]["job"] not in WITHOUT_AGENT
        }

    compose = yaml.safe_load((MONITORING / "targets" / "compose.yml").read_text())
    assert asked(targets(config())) == asked(compose)


def test_compose_asks_at_the_ports_that_the_settings_have_by_default():
    def ports(found):
        return {
            one["labels"]["job"]: one["targets"][0].rpartition(":")[2]
            for one in found
            if one["labels"]["job"] not in WITHOUT_AGENT
        }

    compose = yaml.safe_load((MONITORING / "targets" / "compose.yml").read_text())
    assert ports(targets(config())) == ports(compose)


def test_targets_follow_the_base_port_and_none_share_a_port():
    with environment_of({"HOME": "/nowhere", "MONITORING_BASE_PORT": "7000"}):
        found = {one["labels"]["job"]: one["targets"][0] for one in targets(StackConfig())}
    assert found["lander"] == "127.0.0.1:7008"
    assert found["kafka"] == "127.0.0.1:7004"
    assert len(set(found.values())) == len(found)


def test_prometheus_asks_and_evaluates_as_often_as_the_setting_says():
    text = (MONITORING / "prometheus.yml").read_text()
    found = yaml.safe_load(with_interval(text, 2))
    assert found["global"] == {
        "scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s",
    }  # fmt: skip
    assert found["scrape_configs"] == yaml.safe_load(text)["scrape_configs"]

"""Prometheus with everything: all targets, every metric that is asked for, and each alert once."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import psycopg
import pytest
import yaml

from connectors.rest import ConnectApi
from connectors.slot import drop_slot, read_slot
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from stack.paths import MONITORING
from tests.stacks import new_stack
from tests.unit.test_monitoring_files import EXPRESSIONS, RULES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(2400)]
PATIENCE_SECONDS = 600  # a bound on waiting, not on being right: machines are busy
SETTINGS = {
    "MONITORING_SCRAPE_SECONDS": 1,
    "MONITORING_LAG_OFFSETS": 50, "MONITORING_LIVE_SECONDS": 5, "MONITORING_SLOT_SHARE": 0.1,
    "MONITORING_QUARANTINED": 0, "MONITORING_LATE_SECONDS": 20, "MONITORING_DISK_SHARE": 0,
    "STACK_SLOT_WAL_KEEP_MB": 64, "LANDING_FLUSH_SECONDS": 0.5,
    "CONSOLIDATION_QUARANTINE_MAX_SHARE": 1,
}  # fmt: skip
SOON = {
    "QuarantineGrowing": ("[1h]", "[20s]"),
    "KeepsRestarting": ("[15m]", "[90s]"),
    "ConnectorKeepsFailing": ("[30m]", "[120s]"),
}
"""Alerts that look back, and how far they do here."""
NOT_MADE = {"KafkaPartitionsUnhealthy"}
"""What one broker cannot have; monitoring/tests has it."""
RECONCILIATION = """
from batch.pipeline_run import PipelineRun
from batch.runs import Kind, StepwiseRun, recorded_step
run = StepwiseRun(key={key!r}, kind=Kind.CONSOLIDATION, scope={{}}, steps=["reconcile"])
with PipelineRun.of_task(print) as pipeline:
    with recorded_step(pipeline.warehouse, run, "reconcile") as record:
        pipeline.reconcile(record)
"""


@pytest.fixture(scope="module")
def watched():
    """The shop's way to the charts, Airflow after its first hour, and Prometheus, in a hurry."""
    with new_stack(**SETTINGS) as stack:
        stack.up("airflow-scheduler", "airflow-dags", "prometheus")
        stack.run("simulate", "--orders", 150, "--orders-per-second", 60, "--dirt", 0)
        hurry(stack)
        stack.run("trigger", timeout=900)
        until(
            lambda: value(stack, "sum(airflow_dag_run_seconds_count)"), "the hourly run to be told"
        )
        # Another hour may begin in the midst of what follows.
        for name in ("airflow-scheduler", "airflow-dags"):
            stack.stop(name)
        stack.run("consolidate")
        yield stack


def hurry(stack):
    """Let alerts come at once."""
    path = stack.data_dir / "prometheus" / "rules" / "pipeline.yml"
    rules = yaml.safe_load(path.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "2s"
            rule["expr"] = rule["expr"].replace(*SOON.get(rule["alert"], ("", "")))
    path.write_text(yaml.safe_dump(rules))
    stack.kill("prometheus", "HUP")


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
    return found


def ask(stack, path, **params):
    url = f"{stack.config.monitoring.url}/api/v1/{path}"
    answer = httpx.get(url, params=params, timeout=20, trust_env=False)
    assert answer.is_success, answer.text
    return answer.json()["data"]


def value(stack, expression):
    found = ask(stack, "query", query=expression)["result"]
    return float(found[0]["value"][1]) if found else None


def firing(stack):
    """By name. Parts of Airflow were stopped for the sake of the others."""
    return {
        alert["labels"]["alertname"]
        for alert in ask(stack, "alerts")["alerts"]
        if alert["state"] == "firing"
        and not alert["labels"].get("service", "").startswith("airflow ")
    }


def test_every_target_is_up(watched):
    expected = {
        "prometheus", "exporter", "lander", "live", "kafka", "connect", "minio", "airflow",
    }  # fmt: skip
    found = until(
        lambda: {
            one["labels"]["job"]: one["lastError"]
            for one in ask(watched, "targets")["activeTargets"]
            if one["health"] == "up"
        }.keys()
        >= expected,
        "all targets",
    )
    assert found


def names_in(node):
    """Names of the metrics that an expression selects, of its syntax tree."""
    if isinstance(node, dict):
        if node.get("type") in ("vectorSelector", "matrixSelector") and node.get("name"):
            yield node["name"]
        for part in node.values():
            yield from names_in(part)
    elif isinstance(node, list):
        for part in node:
            yield from names_in(part)


def test_every_metric_that_a_rule_or_a_panel_names_exists(watched):
    trees = [ask(watched, "parse_query", query=expression) for expression in EXPRESSIONS]
    named = {name for tree in trees for name in names_in(tree)} - {"ALERTS"}
    assert len(named) > 60

    def missing():
        known = set(ask(watched, "label/__name__/values"))
        return sorted(named - known)

    until(lambda: not missing(), missing())


def test_every_expression_of_the_console_page_can_be_shown(watched):
    def page():
        url = f"{watched.config.monitoring.url}/consoles/index.html"
        return httpx.get(url, trust_env=False).text

    # A metric is there once the exporter has it: another test may have stopped what it asks.
    until(lambda: "bronze behind Kafka, offsets" in page(), "all metrics on the page")
    text = page()
    assert ">exporter<" in text
    assert "error" not in text.lower()


def test_all_of_it_is_few_series(watched):
    assert value(watched, 'count({__name__=~".+"})') < 3_000


def test_promtool_finds_files_and_rules_as_they_should_be(watched):
    promtool = watched.control.cache.prometheus / "promtool"
    for command in (
        ("check", "config", MONITORING / "prometheus.yml"),
        ("check", "config", watched.data_dir / "prometheus" / "prometheus.yml"),
        ("test", "rules", *sorted((MONITORING / "tests").glob("*.yml"))),
    ):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_line_knows_prometheus(watched):
    status = json.loads(watched.run("status", "--format", "json").stdout)
    ready = {row["service"] for row in status if row["is_ready"]}
    assert {"prometheus", "exporter", "statsd-exporter"} <= ready
    (page,) = json.loads(watched.run("open", "prometheus", "--format", "json").stdout)
    assert httpx.get(page["url"], trust_env=False).is_success
    watched.run("logs", "prometheus")


def test_the_exporter_s_role_sees_no_row_of_the_shop(watched):
    dsn = warehouse_dsn(watched.warehouse, watched.secrets, role="monitor")
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert connection.execute("select count(*) from mart.runs").fetchone() is not None
        for statement in (
            "select 1 from entity.orders", "select 1 from mart.fact_transactions",
            "select r.message from etl.runs as r",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("create temporary table t ()")


def test_each_alert_comes_with_its_cause_and_goes_with_it(watched):
    seen = Seen(watched)
    for _ in range(4):
        watched.kill("lander")
        until(lambda: value(watched, "up{job='lander'}") == 0, "the lander to be gone")
        until(lambda: value(watched, "up{job='lander'}") == 1, "the lander to be back")
    seen.come("KeepsRestarting")
    for _ in range(3):
        stop_connector(watched)
        until(lambda: value(watched, "pipeline_connector_running") == 0, "it to be told")
        watched.run("connect", "apply")
        until(lambda: value(watched, "pipeline_connector_running") == 1, "it to be told")
    seen.come("ConnectorKeepsFailing")
    with stopped(watched, "lander"), stopped(watched, "live"), stopped(watched, "airflow"):
        watched.run("simulate", "--orders", 150, "--orders-per-second", 100, "--dirt", 30)
        heartbeat_from_the_future(watched)
        seen.come("TargetDown", "LandingLag", "LiveLate", "PageDown", "RunLate", "ClocksDiffer")
        stop_connector(watched)
        fill_log(watched)
        seen.come("ConnectorNotRunning", "SlotInactive", "SlotFilling")
        drop_slot(shop(watched), watched.connect.slot_name)
        seen.come("SlotLost")
        watched.run("connect", "apply", "--accept-loss")
        seen.come("LossOpen")
    seen.go("ConnectorNotRunning", "SlotInactive", "SlotFilling", "SlotLost")
    watched.run("extract", "--full")
    seen.go("LossOpen", "TargetDown", "LandingLag", "LiveLate", "ClocksDiffer")
    watched.run("consolidate")
    seen.come("QuarantineGrowing")
    seen.go("RunLate", "QuarantineGrowing", "PageDown")
    damaged_warehouse(watched, seen)
    full_disk(watched, seen)
    with stopped(watched, "minio"):
        seen.come("ExporterBlind")
    seen.go("ExporterBlind", "KeepsRestarting", "ConnectorKeepsFailing")
    assert seen.come_and_gone == {rule["alert"] for rule in RULES} - NOT_MADE


class Seen:
    """Alerts that have come, and those that have gone again."""

    def __init__(self, stack):
        self.stack = stack
        self.come_and_gone = set()

    def come(self, *names):
        """Each at some moment: one that is late may go while another has not come yet."""
        waited_for = set(names)

        def all_came():
            waited_for.difference_update(firing(self.stack))
            return not waited_for

        until(all_came, waited_for)

    def go(self, *names):
        waited_for = set(names)

        def all_gone():
            waited_for.intersection_update(firing(self.stack))
            return not waited_for

        until(all_gone, waited_for)
        self.come_and_gone |= set(names)


@contextmanager
def stopped(stack, service):
    stack.stop(service)
    try:
        yield
    finally:
        stack.start(service)


def shop(stack):
    return oltp_dsn(stack.oltp, stack.secrets, role="admin")


def heartbeat_from_the_future(stack):
    """The last that live applied before it was stopped."""
    dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="live")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("update live.heartbeat set lateness_seconds = array[-3600]")


def stop_connector(stack):
    with ConnectApi(stack.connect.url, stack.connect.connector_name) as api:
        api.stop()
        until(api.is_stopped, "the connector to stop")
    name = stack.connect.slot_name
    until(lambda: not read_slot(shop(stack), name).is_active, "the slot to be let go")


def fill_log(stack):
    """Twelve megabytes that the slot holds, of the 64 that it may."""
    write = "select pg_logical_emit_message(false, 'test', repeat(md5(random()::text), 32768))"
    with psycopg.connect(shop(stack), autocommit=True) as connection:
        for _ in range(12):
            connection.execute(write)


def damaged_warehouse(stack, seen):
    """A row is missing in the warehouse: the hourly run's proof says so, and fails its run."""
    with psycopg.connect(
        warehouse_dsn(stack.warehouse, stack.secrets, role="admin"), autocommit=True
    ) as connection:
        connection.execute(
            "delete from entity.payments where ctid = (select min(ctid) from entity.payments)"
        )
    assert "Not exact." in prove(stack, "damaged")
    seen.come("ReconcileNotExact", "RunFailed")
    stack.run("rebuild", "--layer", "warehouse")
    assert prove(stack, "repaired") == ""
    seen.go("ReconcileNotExact", "RunFailed")


def prove(stack, key):
    """The hourly run's last step; what it complains of."""
    command = [sys.executable, "-c", RECONCILIATION.format(key=key)]
    done = subprocess.run(command, env=stack.env, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr


def full_disk(stack, seen):
    """With an exporter that takes any disk for full."""
    with stopped(stack, "exporter"):
        exporter = stack.with_settings(MONITORING_DISK_SHARE=1).fork("exporter")
        try:
            seen.come("DiskAlmostFull")
        finally:
            exporter.terminate()
            assert exporter.wait(60) == 0
    seen.go("DiskAlmostFull")

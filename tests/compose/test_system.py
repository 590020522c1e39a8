"""The shop sells, is killed and stopped, and every layer is exact: from images, as natively."""

import json
import os
import signal
import time
from pathlib import Path

import httpx
import pytest
import yaml

from stack.paths import MONITORING

pytestmark = [pytest.mark.compose, pytest.mark.timeout(5400)]

SELLING = ("simulate", "--orders-per-second", "10", "--dirt", "5", "--format", "json")
_BACK_SECONDS = 180


def get(system, port, path="/"):
    return httpx.get(f"http://127.0.0.1:{system.ports[port]}{path}", timeout=60)


def wait_until(condition, what):
    deadline = time.monotonic() + _BACK_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in {_BACK_SECONDS} s: {what}"
        time.sleep(1)


def kill(system, service):
    """End it as a crash would, which the engine restarts; what a command kills, it leaves dead."""
    container = system.inspect(service)
    pid = container["State"]["Pid"]
    groups = Path(f"/proc/{pid}/cgroup")
    if os.geteuid() == 0 and groups.exists() and container["Id"] in groups.read_text():
        os.kill(pid, signal.SIGKILL)
    else:  # an engine in a machine of its own
        system.compose("kill", service)
        system.compose("start", service)
    return pid


def is_back(system, service, pid):
    state = system.inspect(service)["State"]
    return state["Running"] and state["Pid"] != pid and state["Health"]["Status"] == "healthy"


def assert_exact(system):
    system.inside("consolidate", timeout=900)
    result = system.inside("reconcile", "--format", "json", check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def test_everything_is_healthy_and_its_pages_answer(system):
    for name, service in system.services.items():
        assert service["Health"] == "healthy" or service["ExitCode"] == 0, name
    assert get(system, "SUPERSET_PORT", "/health").text == "OK"
    assert get(system, "AIRFLOW_PORT", "/api/v2/version").is_success
    assert "MinIO" in get(system, "MINIO_CONSOLE_PORT").text
    health = get(system, "AIRFLOW_PORT", "/api/v2/monitor/health").json()
    assert health["scheduler"]["status"] == "healthy"


def test_prometheus_hears_everybody(system):
    system.inside(*SELLING, "--orders", "20")
    asked = yaml.safe_load((MONITORING / "targets" / "compose.yml").read_text())
    jobs = {target["labels"]["job"] for target in asked}
    wait_until(lambda: health_of_targets(system) == dict.fromkeys(jobs, "up"), "all targets up")
    for metric in ("kafka_messages_in_total", "debezium_connected == 1"):
        query = f"/api/v1/query?query={metric}"
        wait_until(
            lambda q=query: get(system, "MONITORING_PORT", q).json()["data"]["result"], metric
        )


def health_of_targets(system):
    targets = get(system, "MONITORING_PORT", "/api/v1/targets").json()["data"]["activeTargets"]
    return {one["labels"]["job"]: one["health"] for one in targets}


def test_all_layers_are_exact_seen_from_inside_and_from_the_host(system):
    system.inside(*SELLING, "--orders", "200")
    assert_exact(system)
    assert system.pipeline("reconcile").returncode == 0
    tables = json.loads(system.pipeline("tables", "--format", "json").stdout)
    assert tables


def test_the_hourly_run_runs_in_its_container(system):
    system.inside(*SELLING, "--orders", "100")
    system.pipeline("trigger", "--timeout", "600", timeout=700)
    assert system.inside("reconcile").returncode == 0


def test_dashboards_are_there(system):
    password = system.passwords["SUPERSET_ADMIN_PASSWORD"]
    login = {"username": "admin", "password": password, "provider": "db"}
    address = f"http://127.0.0.1:{system.ports['SUPERSET_PORT']}/api/v1"
    with httpx.Client(base_url=address, timeout=60) as client:
        token = client.post("/security/login", json=login).json()["access_token"]
        found = client.get("/dashboard/", headers={"Authorization": f"Bearer {token}"}).json()
    assert {one["dashboard_title"] for one in found["result"]} >= {"Live shop", "Shop analytics"}


def test_what_dies_while_the_shop_sells_comes_back_and_nothing_is_lost_or_doubled(system):
    seller = system.popen(*SELLING, "--minutes", "2")
    killed = {}
    for service in ("lander", "connect", "kafka", "live"):
        time.sleep(5)  # of sales between one and the next
        killed[service] = kill(system, service)
    for service, pid in killed.items():
        wait_until(lambda s=service, p=pid: is_back(system, s, p), f"{service} is back")
    output, _ = seller.communicate(timeout=300)
    assert seller.returncode == 0, output[-3000:]
    assert_exact(system)


def test_what_was_killed_by_command_is_up_again_with_the_next_up(system):
    for service in ("oltp", "minio"):
        system.compose("kill", service)
        assert not system.inspect(service)["State"]["Running"]
    system.up()
    assert_exact(system)


def test_data_is_there_after_down_and_up(system):
    system.inside(*SELLING, "--orders", "50")
    assert_exact(system)
    before = orders_of(system)
    system.compose("down", "--timeout", "30")
    assert not system.services
    system.up()
    assert orders_of(system) == before > 0
    assert_exact(system)


def orders_of(system):
    sql = "select count(*) as n from silver.cleaned_sales"
    found = system.inside("query", sql, "--format", "json")
    return json.loads(found.stdout)[0]["n"]

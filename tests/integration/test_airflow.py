"""The hourly run in a real Airflow: by itself, beside damage, and with its scheduler killed."""

import json
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import psycopg
import pytest
from playwright.sync_api import expect

from benchmarks.browser import new_page
from lakehouse.contracts import ENTITIES
from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError
from lakehouse.lake import Lake
from lakehouse.postgres import warehouse_dsn
from stack import catalog
from stack.airflow.client import AirflowClient
from stack.net import http_status
from stack.service_user import ServiceUser
from stack.supervision import PROGRAM_VARIABLE
from stack.web_uis import WEB_UIS
from tests.pictures import keep_picture
from tests.stacks import free_ports, settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
DAG = "ecommerce_pipeline"
WAIT_SECONDS = 600


class Webhook:
    """A server that keeps what is posted to it."""

    def __init__(self):
        received = self.received = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                """Nothing on the test's output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def wait_for(self, **wanted):
        """The first alert in which these stand."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            for alert in list(self.received):
                if wanted.items() <= alert.items():
                    return alert
            time.sleep(0.2)
        raise AssertionError((wanted, self.received))


@pytest.fixture(scope="module")
def webhook():
    with Webhook() as found:
        yield found


@pytest.fixture(scope="module")
def shop(webhook):
    """A shop of three days, in bronze, and an Airflow that has not done anything yet."""
    with tenant(
        LANDING_FLUSH_SECONDS=0.5,
        ALERT_WEBHOOK_URL=webhook.url,
        ALERT_LATE_SECONDS=5,
        STACK_START_TIMEOUT_SECONDS=300,
    ) as stack:
        stack.up()
        stack.run("simulate", "--history", 40, "--orders", 400, "--seed", 5, "--dirt", 5)
        settle(stack)
        stack.run("up", "airflow-dags", "airflow-scheduler", timeout=WAIT_SECONDS)
        yield stack


@pytest.fixture(scope="module")
def airflow(shop):
    with client_of(shop) as client:
        client.log_in()
        yield client


@pytest.fixture(scope="module")
def first_run(airflow):
    """A run that has everything to do: ours, or the one of an hour that has begun meanwhile."""
    end_of(airflow, airflow.trigger(DAG))
    runs = airflow._ask("GET", f"/api/v2/dags/{DAG}/dagRuns")["dag_runs"]
    begun = {run["start_date"]: run["dag_run_id"] for run in runs if run["start_date"]}
    return end_of(airflow, begun[min(begun)])


@dataclass(frozen=True)
class Consolidated:
    """What there was when the first run had ended: other tests sell more."""

    report: dict
    orders: int
    sums: int


@pytest.fixture(scope="module", autouse=True)
def brought(shop, first_run):
    mart = warehouse_dsn(shop.warehouse, shop.secrets, role="reader")
    return Consolidated(
        report=reconcile(shop),
        orders=orders_in_warehouse(shop),
        sums=counted(mart, "select count(*) from mart.revenue_by_period"),
    )


def client_of(stack, **other):
    login = {"user": "admin", "password": stack.secrets["airflow_admin"], **other}
    return AirflowClient(stack.config.airflow, **login)


def end_of(airflow, run, dag=DAG):
    *_, last = airflow.follow(dag, run, timeout_seconds=WAIT_SECONDS)
    return last


def reconcile(stack):
    result = stack.run("reconcile", "--format", "json", check=False)
    return json.loads(result.stdout)


def counted(dsn, query):
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchone()[0]


def orders_in_warehouse(stack):
    mart = warehouse_dsn(stack.warehouse, stack.secrets, role="reader")
    return counted(mart, "select count(distinct order_id) from mart.fact_transactions")


def silver_versions(stack):
    lake = Lake.of(stack.minio, stack.secrets, user="admin")
    return {e.silver: lake.open("silver", e.silver).version() for e in ENTITIES.values()}


def test_hourly_run_is_active_from_the_start(airflow, first_run):
    dag = airflow._ask("GET", f"/api/v2/dags/{DAG}")
    assert dag["is_paused"] is False
    next_run_at = datetime.fromisoformat(dag["next_dagrun_run_after"])
    assert next_run_at.minute == 0
    assert next_run_at - datetime.now(UTC) <= timedelta(hours=1)


@pytest.mark.long
def test_doctor_tells_that_airflow_is_well_and_which_dag_is_paused(shop, airflow):
    def of_airflow():
        command = ("doctor", "--timeout", 120, "--format", "json")
        told = json.loads(shop.run(*command, check=False).stdout)
        return {one["title"]: one for one in told if one["area"] == "airflow"}

    def until_found(**verdicts):
        """A busy machine may answer late."""
        deadline = time.monotonic() + WAIT_SECONDS
        found = of_airflow()
        while {title: one["verdict"] for title, one in found.items()} != verdicts:
            assert time.monotonic() < deadline, found
            found = of_airflow()
        return found["DAGs"]

    def pause(*, is_paused):
        airflow._ask("PATCH", "/api/v2/dags/lake_maintenance", json={"is_paused": is_paused})

    until_found(parts="fine", DAGs="fine")
    pause(is_paused=True)
    try:
        told = until_found(parts="fine", DAGs="wrong")
    finally:
        pause(is_paused=False)
    assert told["words"] == "lake_maintenance is paused and does not run"
    assert told["remedy"] == f"unpause it on {airflow.page('lake_maintenance')}"
    until_found(parts="fine", DAGs="fine")


def test_hourly_run_brings_every_layer_to_the_shop_and_each_is_exact(first_run, brought):
    assert {task.task: task.state for task in first_run.tasks} == {
        **{f"silver_{name}": "success" for name in ENTITIES}, "derived": "success",
        "gold": "success", "warehouse_in_one_transaction": "success", "views": "success",
        "trim": "success", "reconcile": "success",
    }  # fmt: skip
    assert brought.report["exact"]
    layers = {layer["layer"] for layer in brought.report["layers"]}
    assert layers == {"silver", "warehouse", "gold"}
    assert 0 < brought.orders <= 400
    assert brought.sums > 0


def test_page_of_a_run_shows_it_and_its_tasks_green(shop, airflow, first_run):
    login = WEB_UIS["airflow"](shop.config, shop.secrets)
    with new_page() as page:
        page.goto(airflow.page(DAG, first_run.run))
        page.locator("input[name=username]").fill(login.user)
        page.locator("input[name=password]").fill(login.password)
        page.get_by_role("button", name="Sign in").click()
        states = page.get_by_test_id("state-badge")
        # Of the run, above, and of each of its tasks.
        expect(states).to_have_text(["Success"] * (1 + len(first_run.tasks)), timeout=60_000)
        keep_picture(page, "airflow_run")
        page.goto(shop.config.airflow.url)
        expect(page.get_by_text("Scheduler")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("Triggerer")).to_be_hidden()


def test_metrics_of_a_run_stand_beside_its_tasks(airflow, first_run, brought):
    found = [airflow.xcom(DAG, first_run.run, f"silver_{name}") for name in ENTITIES]
    changes = sum(table["changes"] for table in brought.report["tables"])
    assert sum(row["read"] for row in found) == changes
    assert sum(row["quarantined"] for row in found) > 0
    assert all(row["seconds"] > 0 for row in found)
    loaded = airflow.xcom(DAG, first_run.run, "warehouse_in_one_transaction")
    parts = [part["part"] for part in loaded["parts"]]
    assert parts == [
        "entities read from silver", "entities", "dimensions", "facts", "sums by day and customer",
        "checks",
    ]  # fmt: skip
    assert {check["check"] for check in loaded["checks"]} >= {"order_totals_are_equal"}
    asked = {"limit": 100, "source_run_id": first_run.run}
    events = airflow._ask("GET", "/api/v2/assets/events", params=asked)["asset_events"]
    orders = next(one for one in events if one["name"] == "silver.cleaned_sales")
    assert orders["extra"] == airflow.xcom(DAG, first_run.run, "silver_orders")
    assert {one["name"] for one in events} >= {"gold", "mart"}


def test_late_run_is_told_to_the_webhook(webhook, airflow, first_run):
    alert = webhook.wait_for(state="late", dag=DAG, run=first_run.run)
    assert alert["task"] is None
    assert "5 s" in alert["message"]
    assert alert["url"].startswith(airflow.page(DAG))


@pytest.mark.long
def test_run_with_nothing_new_writes_nothing_and_finds_a_damaged_warehouse(
    shop, airflow, first_run, webhook
):
    before = silver_versions(shop)
    batch = warehouse_dsn(shop.warehouse, shop.secrets, role="batch")
    with psycopg.connect(batch) as connection:
        connection.execute(
            "delete from mart.fact_transactions where order_line_id = "
            "(select min(order_line_id) from mart.fact_transactions)"
        )
    result = shop.run("trigger", DAG, "--format", "json", check=False, timeout=WAIT_SECONDS)
    assert result.returncode == StopPipelineError.exit_status, result.stderr
    run = json.loads(result.stdout)
    states = {task["task"]: (task["state"], task["tries"]) for task in run["tasks"]}
    assert states.pop("reconcile") == ("failed", 1), "what needs a person is not tried again"
    assert set(states.values()) == {("success", 1)}
    assert silver_versions(shop) == before
    reads = [airflow.xcom(DAG, run["run"], f"silver_{name}")["read"] for name in ENTITIES]
    assert sum(reads) == 0
    alert = webhook.wait_for(state="failed", dag=DAG, run=run["run"], task="reconcile")
    assert "1 missing" in alert["message"]
    assert "./pipeline rebuild" in alert["message"]
    shop.run("rebuild", "--layer", "warehouse")
    assert reconcile(shop)["exact"]


@pytest.mark.long
def test_scheduler_killed_in_the_middle_of_a_run_finishes_it_exactly(shop, airflow, first_run):
    tries = 1
    for _ in range(5):
        shop.run("simulate", "--orders", 40, "--orders-per-second", 40, "--dirt", 5)
        assert reconcile(shop)["exact"]
        before = orders_in_warehouse(shop)
        run = airflow.trigger(DAG)
        victim = shop.pid("airflow-scheduler")
        for state in airflow.follow(DAG, run, timeout_seconds=WAIT_SECONDS):
            assert not state.is_done, "it ended before it could be disturbed"
            if any(task.state == "running" for task in state.tasks):
                break
        kill_with_its_tasks(victim)
        last = end_of(airflow, run)
        assert last.state == "success", last
        assert shop.pid("airflow-scheduler") not in {victim, None}
        assert reconcile(shop)["exact"]
        assert orders_in_warehouse(shop) > before
        # A task may have just been done.
        tries = max(task.tries for task in last.tasks)
        if tries > 1:
            break
    assert tries > 1


def kill_with_its_tasks(pid):
    scheduler = psutil.Process(pid)
    for process in (scheduler, *scheduler.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def second_scheduler(shop, data_dir):
    """One as on another machine: with folders and a name of its own, and asked for its health."""
    secrets = shop.data_dir / "secrets.json"
    other = shop.with_settings(STACK_DATA_DIR=data_dir, STACK_SECRETS_FILE=secrets)
    with environment_of(other.env):
        services = catalog.services(other.config, other.secrets, ServiceUser())
        services["airflow"].prepare()
        program = services["airflow-scheduler"].program
    (port,) = free_ports(1)
    env = {
        **other.env,
        **program.environment,
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "airflow.utils.net.get_host_ip_address",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(port),
    }
    with (
        (data_dir / "scheduler.log").open("w") as log,
        subprocess.Popen(
            program.command, cwd=program.directory, env=env, stdout=log, stderr=log
        ) as process,
    ):
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while http_status("127.0.0.1", port, "/health") != 200:
                assert process.poll() is None, (data_dir / "scheduler.log").read_text()[-3000:]
                assert time.monotonic() < deadline
                time.sleep(0.5)
            yield process
        finally:
            kill_with_its_tasks(process.pid)


def machines(airflow, run, *states):
    """Where tasks of a run are in one of these states, by their names."""
    found = airflow._ask("GET", f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances")
    return {one["task_id"]: one["hostname"] for one in found["task_instances"]
            if one["state"] in states and one["hostname"]}  # fmt: skip


@pytest.mark.long
def test_two_schedulers_share_a_run_and_one_finishes_what_the_killed_one_had(
    shop, airflow, first_run, tmp_path
):
    first = set(machines(airflow, first_run.run, "success").values())
    assert len(first) == 1
    lost = {}
    for number in range(5):
        shop.run("simulate", "--orders", 40, "--orders-per-second", 40, "--dirt", 5)
        assert reconcile(shop)["exact"]
        before = orders_in_warehouse(shop)
        with second_scheduler(shop, tmp_path / f"machine-{number}") as second:
            run = airflow.trigger(DAG)
            while not (lost or airflow.state(DAG, run).is_done):
                running = machines(airflow, run, "running")
                lost = {task: where for task, where in running.items() if {where} != first}
            kill_with_its_tasks(second.pid)
        last = end_of(airflow, run)
        assert last.state == "success", last
        assert reconcile(shop)["exact"]
        assert orders_in_warehouse(shop) > before
        if lost and max(task.tries for task in last.tasks if task.task in lost) > 1:
            break
        lost = {}
    assert lost
    where = machines(airflow, run, "success")
    assert {where[task] for task in lost} == first


@pytest.mark.long
def test_replay_runs_through_airflow_and_its_form_is_checked_first(shop, airflow, first_run):
    with pytest.raises(StopPipelineError, match="refuses"):
        airflow.trigger("replay", into="the moon")
    shown = end_of(airflow, airflow.trigger("replay", entities=["orders"]), "replay")
    states = {task.task: task.state for task in shown.tasks}
    assert states == {"resolve_range": "success", "apply_again": "skipped"}
    asked = airflow.trigger("replay", into="silver", entities=["orders"], dry_run=False)
    last = end_of(airflow, asked, "replay")
    assert last.state == "success", last
    found = airflow.xcom("replay", last.run, "apply_again")
    assert {one["table"] for one in found["tables"]} == {"quarantine of orders", "cleaned_sales"}
    assert all(one["is_equal"] for one in found["tables"])
    nowhere = airflow.trigger("replay", entities=["orders"], from_offsets=["77:1"])
    refused = end_of(airflow, nowhere, "replay")
    states = {task.task: task.state for task in refused.tasks}
    assert states == {"resolve_range": "failed", "apply_again": "upstream_failed"}


@pytest.fixture(scope="module")
def maintenance(shop, first_run):
    """A run of it, as `trigger` tells of it."""
    result = shop.run("trigger", "lake_maintenance", "--format", "json", timeout=WAIT_SECONDS)
    return json.loads(result.stdout)


def test_maintenance_runs_through_airflow(maintenance):
    assert maintenance["state"] == "success"
    assert {task["task"] for task in maintenance["tasks"]} == {
        "maintain_bronze", "maintain_silver", "maintain_gold", "forget_runs",
    }  # fmt: skip


def test_recommendations_are_trained_through_airflow_and_shown_by_the_command(
    shop, airflow, first_run, tmp_path
):
    last = end_of(airflow, airflow.trigger("recommendations"), "recommendations")
    assert last.state == "success", last
    found = airflow.xcom("recommendations", last.run, "train")
    assert {(one["list"], one["model"]) for one in found["quality"]} >= {
        ("buy_again", "rhythm"), ("new_to_you", "ease"), ("new_to_you", "popularity"),
    }  # fmt: skip
    assert len(found["verdicts"]) == 2
    path = tmp_path / "lists.csv"
    shop.run("recommend", "export", "--to", path)
    customer = path.read_text().splitlines()[1].partition(",")[0]
    lists = json.loads(shop.run("recommend", "--customer", customer, "--format", "json").stdout)
    assert {"new_to_you"} <= {one["kind"] for one in lists} <= {"new_to_you", "buy_again"}
    runs = json.loads(shop.run("runs", "--limit", "1000", "--format", "json").stdout)
    assert {"training"} == {
        one["kind"] for one in runs if one["scope"].get("dag") == "recommendations"
    }


@pytest.mark.long
def test_forecast_through_airflow_of_a_young_shop_says_what_it_needs(shop, airflow, first_run):
    last = end_of(airflow, airflow.trigger("forecast"), "forecast")
    assert last.state == "success", last
    found = airflow.xcom("forecast", last.run, "train")
    assert "are needed, of which 14 are to test on" in found["verdict"]


def test_runs_of_airflow_are_recorded_with_their_steps(shop, maintenance):
    found = json.loads(shop.run("runs", "--limit", "1000", "--format", "json").stdout)
    of_airflow = {row["scope"]["dag"]: row for row in found if row["who"] == "airflow"}
    hour, night = of_airflow[DAG], of_airflow["lake_maintenance"]
    assert (night["kind"], night["outcome"]) == ("maintenance", "succeeded")
    assert set(night["details"]["steps"]) == {
        "maintain_bronze", "maintain_silver", "maintain_gold", "forget_runs",
    }  # fmt: skip
    # The last in the list is the first run of the hourly run.
    assert (hour["kind"], hour["outcome"]) == ("consolidation", "succeeded")
    assert {f"silver_{name}" for name in ENTITIES} < set(hour["details"]["steps"])
    assert set(hour["scope"]["offsets"]) == set(ENTITIES)
    assert hour["rows_read"] > 0
    assert hour["rows_written"] > 0


def test_nothing_of_airflow_listens_beyond_loopback(shop, airflow):
    pids = set()
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(PROGRAM_VARIABLE, "")
        except psutil.Error:
            continue
        if mark.startswith(f"{shop.data_dir}:airflow"):
            pids.add(process.pid)
    assert len(pids) > 3
    listening = [
        one.laddr
        for one in psutil.net_connections("tcp")
        if one.pid in pids and one.status == psutil.CONN_LISTEN
    ]
    assert {address.port for address in listening} == {shop.config.airflow.port}
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_wrong_password_is_refused(shop, airflow):
    with client_of(shop, password=f"not {shop.secrets['airflow_admin']}") as client:
        with pytest.raises(StopPipelineError, match=r"refuses.*\n?.*open airflow"):
            client.log_in()
        with pytest.raises(StopPipelineError, match="refuses"):
            client.trigger(DAG)


def test_login_is_printed_and_the_configuration_is_only_the_owners(shop, airflow):
    (page,) = json.loads(shop.run("open", "airflow", "--format", "json").stdout)
    assert page["url"] == shop.config.airflow.url
    with client_of(shop, user=page["user"], password=page["password"]) as client:
        client.log_in()
    for name in ("airflow.cfg", "passwords.json"):
        assert (shop.data_dir / "airflow" / name).stat().st_mode & 0o077 == 0

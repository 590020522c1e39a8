"""The dashboards as files, who may do what, and segments as gold has them."""

import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import polars as pl
import psutil
import psycopg
import pytest
import yaml

from lakehouse.lake import Lake
from lakehouse.postgres import warehouse_dsn
from stack.superset.dashboards import Dashboards
from stack.superset.files import FOLDER
from stack.superset.rest import logged_in
from stack.superset.state import write_state

pytestmark = pytest.mark.browser

PATIENCE_SECONDS = 300
TRIES = 20
"""Refused ones in a minute, of one address."""
FROM_ELSEWHERE = httpx.HTTPTransport(local_address="127.0.0.2")
"""Another address than that of all other tests, so that they are not locked out."""


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(FOLDER, tmp_path / "dashboards")


@pytest.fixture
def dashboards(shop, folder):
    yield Dashboards(shop.stack.config, shop.stack.secrets, folder)
    Dashboards(shop.stack.config, shop.stack.secrets).apply()


@dataclass(frozen=True)
class Exported:
    dashboards: Dashboards
    folder: Path
    texts_before: dict[Path, str]
    numbers: tuple[dict[str, int], dict[str, int]]
    """Superset's own of the charts, before and after it."""
    changed: list[Path]


@pytest.fixture(scope="module")
def exported(shop, tmp_path_factory):
    """Dashboards that were applied a second time and exported, and what was before and changed.

    As `up` applied them, so that this is also what follows whatever other tests have changed in
    Superset, by its pages or its interface.
    """
    folder = shutil.copytree(FOLDER, tmp_path_factory.mktemp("exported") / "dashboards")
    dashboards, before = Dashboards(shop.stack.config, shop.stack.secrets, folder), texts(folder)
    first = numbers_of_charts(shop)
    dashboards.apply()
    numbers = first, numbers_of_charts(shop)
    return Exported(dashboards, folder, before, numbers, dashboards.export())


@pytest.fixture
def superset(shop):
    who = shop.login
    with logged_in(who.url, who.user, who.password) as session:
        yield session


def client_of(shop, **options):
    return httpx.Client(base_url=shop.login.url, timeout=60, **options)


def numbers_of_charts(shop):
    """Superset's own, by what identifies a chart's file."""
    who = shop.login
    with logged_in(who.url, who.user, who.password) as session:
        return {one["uuid"]: one["id"] for one in session.list("charts")}


def texts(folder):
    return {p.relative_to(folder): p.read_text() for p in folder.rglob("*.yaml")}


def test_export_of_what_was_applied_changes_no_file(exported):
    assert exported.changed == []
    assert texts(exported.folder) == exported.texts_before


def test_files_that_were_applied_are_not_applied_again(exported):
    assert not exported.dashboards.apply_if_changed()


@pytest.mark.long
def test_doctor_tells_whether_superset_has_the_files_as_they_are(shop):
    def of_superset():
        command = ("doctor", "--timeout", 120, "--format", "json")
        told = json.loads(shop.stack.run(*command, check=False).stdout)
        return {one["title"]: one for one in told if one["area"] == "superset"}

    def until_found(dashboards):
        """A busy machine may answer late."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        wanted = {"log-in": "fine", "dashboards": dashboards}
        found = of_superset()
        while {title: one["verdict"] for title, one in found.items()} != wanted:
            assert time.monotonic() < deadline, found
            found = of_superset()
        return found["dashboards"]

    Dashboards(shop.stack.config, shop.stack.secrets).apply()
    until_found("fine")
    write_state(shop.stack.warehouse, shop.stack.secrets, applied="others")
    told = until_found("wrong")
    shop.stack.run(*told["remedy"].split()[1:])
    until_found("fine")


def test_applied_twice_is_applied_once(exported):
    before, after = exported.numbers
    assert before
    assert after == before


def test_chart_whose_file_is_gone_is_deleted(dashboards, folder, superset):
    layout = folder / "dashboards" / "live_shop.yaml"
    content = yaml.safe_load(layout.read_text())
    content["layout"][0]["row"].pop(0)
    layout.write_text(yaml.safe_dump(content, sort_keys=False))
    (folder / "dashboards" / "live_phone.yaml").unlink()  # it shows the chart, too
    (folder / "charts" / "live_orders_per_second.yaml").unlink()
    done = {one.kind: one for one in dashboards.apply()}
    assert done["charts"].deleted == ("Orders per second, now",)
    assert "Orders per second, now" not in {one["slice_name"] for one in superset.list("charts")}


def test_what_was_changed_in_superset_comes_back_as_a_small_difference(shop, folder, superset):
    dashboards = Dashboards(shop.stack.config, shop.stack.secrets, folder)
    dashboards.apply_if_changed()
    path = folder / "charts" / "units.yaml"
    before = path.read_text()
    [chart] = [one for one in superset.list("charts") if one["slice_name"] == "Units sold"]

    def call_it(name):
        superset._ask("PUT", f"/api/v1/chart/{chart['id']}", json={"slice_name": name})

    call_it("Pieces sold")
    try:
        assert dashboards.export() == [path]
        assert path.read_text() == before.replace("Units sold", "Pieces sold", 1)
    finally:
        call_it("Units sold")
        dashboards.export()  # an export notes its files as those that Superset has


def test_no_secret_and_no_address_is_in_the_files(shop, exported):
    everything = "".join(texts(exported.folder).values())
    secrets = [shop.stack.secrets[role] for role in ("warehouse_reader", "superset_admin")]
    assert not any(secret in everything for secret in secrets)
    assert str(shop.stack.warehouse.port) not in everything


@pytest.mark.parametrize(
    "statement",
    [
        "insert into mart.dim_dates (date_key) values ('2001-01-01')",
        "create table mart.mine (id int)",
        "create temporary table mine (id int)",
        "select * from entity.customers limit 1",
        "select * from live.orders limit 1",
    ],
)
def test_role_of_the_charts_cannot_write_nor_read_beyond_the_schema_mart(shop, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        shop.warehouse(statement, options="-c default_transaction_read_only=off")


def test_role_of_the_charts_begins_read_only_and_with_a_limit(shop):
    assert shop.warehouse("show default_transaction_read_only") == [("on",)]
    assert shop.warehouse("show statement_timeout") == [("30s",)]


def test_role_of_superset_reads_nothing_of_the_warehouse(shop):
    stack = shop.stack
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(
            host=stack.warehouse.host, port=stack.warehouse.port, user="superset",
            dbname=stack.warehouse.database, password=stack.secrets["warehouse_superset"],
        )  # fmt: skip


def test_page_is_served_with_a_policy_that_lets_nothing_in_from_outside(shop):
    with client_of(shop) as client:
        answer = client.get("/login/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy.replace("https:", "http:")
    assert "unsafe-eval" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_change_without_a_token_is_refused(shop):
    with client_of(shop) as client:
        client.post("/login/", data={"username": "admin", "password": shop.login.password})
        assert client.get("/api/v1/me/").status_code == 401


def try_form(client, passwords):
    """The status of each try in the form, and whether any let us in. On one page: it is soon."""
    client.cookies.clear()
    page = client.get("/login/").text
    token = re.search(r"csrf_token[^>]*?value=.([\w.-]+)", page).group(1)
    forms = [{"username": "admin", "password": one, "csrf_token": token} for one in passwords]
    statuses = [client.post("/login/", data=form).status_code for form in forms]
    return statuses, client.get("/api/v1/me/").status_code == 200


def try_interface(client, passwords):
    """The same, of tries in the REST interface."""
    tries = [{"username": "admin", "password": one, "provider": "db"} for one in passwords]
    answers = [client.post("/api/v1/security/login", json=who) for who in tries]
    statuses = [answer.status_code for answer in answers]
    return statuses, any("access_token" in answer.text for answer in answers)


@pytest.mark.parametrize("log_in", [try_form, pytest.param(try_interface, marks=pytest.mark.long)])
def test_passwords_cannot_be_tried_without_end(shop, log_in):
    right, wrong = shop.login.password, f"not {shop.login.password}"
    with client_of(shop, transport=FROM_ELSEWHERE) as client:
        for _ in range(TRIES + 1):
            assert log_in(client, [right])[1], "who knows the password is let in, however often"
        for _ in range(5):
            began = time.monotonic()
            statuses, is_in = log_in(client, [wrong] * (TRIES + 1) + [right])
            if time.monotonic() - began < 55:
                break
            # They may not all have been in one minute.
            time.sleep(61)
        assert not is_in
        assert [status == 429 for status in statuses] == [False] * TRIES + [True, True]
    with client_of(shop) as client:
        # That they are on the page of a refused try says what refused it: the password alone.
        assert log_in(client, [wrong, right])[1], "others are let in"


def test_nothing_of_the_stack_listens_beyond_loopback(shop):
    services = [one for one in shop.stack.control.status() if one.pid]
    pids = {
        process.pid
        for one in services
        for process in (psutil.Process(one.pid), *psutil.Process(one.pid).children(recursive=True))
    }
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.pid in pids
    }
    assert "superset" in {one.service for one in services}
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert listening


def test_customers_are_scored_as_gold_scores_them(shop):
    stack = shop.stack
    lake = Lake.of(stack.minio, stack.secrets, user="reader")
    gold = pl.scan_delta(lake.open("gold", "customer_lifetime_value")).collect()
    columns = (
        "customer_id", "first_order_date", "last_order_date", "orders", "lifetime_value_cents",
        "recency_score", "frequency_score", "monetary_score", "segment", "as_of_date",
    )  # fmt: skip
    rows = shop.warehouse(f"select {', '.join(columns)} from mart.customer_lifetime_value")
    assert len({row[8] for row in rows}) > 2
    assert sorted(rows) == sorted(gold.select(columns).rows())


@pytest.mark.long
def test_export_in_french_changes_no_file(shop, folder):
    """The files are English, whatever the pages are."""
    config = shop.stack.config
    french = replace(config, shop=config.shop.model_copy(update={"language": "fr"}))
    dashboards = Dashboards(french, shop.stack.secrets, folder)
    try:
        dashboards.apply()
        before = texts(folder)
        assert dashboards.export() == []
        assert texts(folder) == before
        with logged_in(shop.login.url, shop.login.user, shop.login.password) as session:
            assert "CA net" in {one["slice_name"] for one in session.list("charts")}
    finally:
        Dashboards(config, shop.stack.secrets).apply()


def test_chart_that_failed_once_is_asked_for_again(shop, superset):
    """A lost connection to the warehouse is no error on a page that refreshes."""
    [dataset] = [one for one in superset.list("datasets") if one["table_name"] == "daily_orders"]
    query = {"columns": [], "metrics": ["orders"], "filters": [], "orderby": []}
    body = {"datasource": {"id": dataset["id"], "type": "table"}, "queries": [query], "force": True}
    log = shop.stack.config.stack.data_dir / "log" / "warehouse.log"
    failures = log.read_text().count('too many connections for role "reader"')
    admin = warehouse_dsn(shop.stack.warehouse, shop.stack.secrets, role="admin")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("alter role reader connection limit 0")
        try:
            asked = pool.submit(superset._client.post, "/api/v1/chart/data", json=body)
            while log.read_text().count('too many connections for role "reader"') == failures:
                assert not asked.done(), asked.result().text
                time.sleep(0.05)
        finally:
            connection.execute("alter role reader connection limit -1")
        answer = asked.result()
    assert answer.status_code == 200, answer.text
    [[row]] = [result["data"] for result in answer.json()["result"]]
    assert row["orders"] > 0

"""A shop that the owner of its tables has prepared, without a superuser."""

import json
import signal

import psycopg
import pytest

from connectors.source import Extent
from lakehouse.delta import scan
from lakehouse.lake import Lake
from lakehouse.postgres import oltp_dsn
from stack.source.change import apply, remove
from stack.source.check import read_source
from tests.stacks import tenant

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]
OWNER = "shop_owner"


class Shop:
    """The simulated shop, whose owner is all that prepares it."""

    def __init__(self, stack):
        self.stack = stack
        stack.run("prepare", "oltp")
        self.admin = oltp_dsn(stack.oltp, stack.secrets, role="admin")
        remove(self.admin, stack.connect)
        self.run(f"alter role {OWNER} login createrole replication password 'own'")
        self.owner = f"{self.admin} user={OWNER} password=own"
        self.prepare()
        # One by one: `up` would have a superuser prepare the shop.
        for server in ("minio", "warehouse", "connect"):
            stack.run("prepare", server)
        self.lander = stack.fork("land")

    def prepare(self):
        settings = self.stack.connect
        source = read_source(self.owner, settings)
        apply(self.owner, source, settings, self.stack.secrets, Extent.OWNED_AS_THEY_ARE)

    def run(self, *statements, dsn=None):
        with psycopg.connect(dsn or self.admin, autocommit=True) as connection:
            for one in statements:
                connection.execute(one)

    def reconcile(self):
        found = self.stack.run("reconcile", "--format", "json", check=False)
        assert found.stdout, found.stderr[-3000:]
        return json.loads(found.stdout)

    def doctor(self):
        told = self.stack.run("doctor", "--format", "json", check=False).stdout
        return {f["title"]: f for f in json.loads(told) if f["area"] == "shop"}


@pytest.fixture(scope="module")
def shop():
    with tenant() as servers:
        servers.up("connect", "minio", "warehouse")
        with tenant() as stack:
            shop = Shop(stack)
            yield shop
            shop.lander.send_signal(signal.SIGTERM)
            shop.lander.wait(60)
            shop.run(f"alter role {OWNER} nologin nocreaterole noreplication")


def test_shop_that_its_owner_has_prepared_is_exact_in_every_layer(shop):
    shop.stack.run("simulate", "--orders", 60, "--orders-per-second", 60)
    shop.run(
        "create table baskets (id uuid primary key default gen_random_uuid(), body text, n int)",
        # Out of line and as it is: an update that leaves it as it was does not tell it.
        "alter table baskets alter column body set storage external",
        "create table keyless (a integer)",
        dsn=shop.owner,
    )
    shop.prepare()
    shop.run(
        "insert into baskets (body, n) select repeat(md5(g::text), 500), g "
        "from generate_series(1, 30) as g",
        "update baskets set n = n + 1 where n % 3 = 0",
        "delete from baskets where n % 5 = 0",
        "insert into keyless values (1)",
        "update keyless set a = 2",
        dsn=shop.owner,
    )
    shop.stack.run("simulate", "--orders", 30, "--orders-per-second", 60)
    assert shop.reconcile()["exact"]
    shop.stack.run("consolidate")
    report = shop.reconcile()
    assert report["exact"], report
    lake = Lake.of(shop.stack.minio, shop.stack.secrets, user="admin")
    values = scan(lake.open("bronze", "raw_baskets")).select("value").collect()["value"]
    assert values.bin.contains(b"__debezium_unavailable_value").any()
    tables = {row["table"]: row for row in report["tables"]}
    assert tables["baskets"]["source_rows"] > 0
    assert "keyless" not in tables
    told = shop.doctor()
    assert told["truncates"]["verdict"] == "note"
    assert told["publication"]["verdict"] in ("fine", "note")


def test_truncate_that_is_not_captured_is_found_and_an_extraction_mends_it(shop):
    shop.run("create table wishes (id integer primary key)", dsn=shop.owner)
    shop.prepare()
    shop.run("insert into wishes select generate_series(1, 20)", dsn=shop.owner)
    assert shop.reconcile()["exact"]
    shop.run("truncate wishes", dsn=shop.owner)
    report = shop.reconcile()
    assert not report["exact"]
    shop.stack.run("extract", "wishes", "--full", "--allow-deletes", 20)
    assert shop.reconcile()["exact"]

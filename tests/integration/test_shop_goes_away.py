"""A shop elsewhere that stops, or changes what lets us in, while changes flow.

One clear message, nothing lost, and it continues when that is corrected. The shop is Debian's
Postgres, with TLS and certificates of both sides, of a version whose slots need the publication.
"""

import json
import signal
import time

import psycopg
import pytest

from connectors.slot import SKIPS_SINCE
from devtools.test_stack import free_ports
from lakehouse.postgres import oltp_dsn
from stack.source.change import apply
from stack.source.check import read_source
from tests.stacks import tenant
from tests.tls import give_certificate, make_certificates, postgres, ssl

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1200)]
_SKIPS_SINCE = SKIPS_SINCE // 10_000
PATIENCE_SECONDS = 180  # a bound on waiting, not on being right: machines are busy


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Shop:
    """A database that others run, and the stack that captures it."""

    def __init__(self, stack, data, certificates):
        self.stack, self.data, self.certificates = stack, data, certificates
        self.dsn = oltp_dsn(stack.oltp, stack.secrets, role="admin")
        with psycopg.connect(self.dsn, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"create database {stack.oltp.database}")
        self.rows = 0
        self.run("create table baskets (id integer primary key)")
        # Debezium cannot extract it from newer ones.
        self.run(
            "create table computed (id integer primary key, n integer, "
            "twice integer generated always as (n * 2) stored)",
            "insert into computed (id, n) values (1, 1), (2, 2)",
        )
        self.prepare()
        # One by one: `up` would start servers that other stacks of the tests share.
        for server in ("minio", "warehouse", "connect"):
            stack.run("prepare", server)
        self.programs = [stack.fork("land"), stack.fork("connect", "auto-restart")]

    def prepare(self):
        connect = self.stack.connect
        apply(self.dsn, read_source(self.dsn, connect), connect, self.stack.secrets)

    def run(self, *statements, dsn=None):
        with psycopg.connect(dsn or self.dsn, autocommit=True) as connection:
            for one in statements:
                connection.execute(one)

    def sell(self, dsn=None):
        self.rows += 1
        self.run(f"insert into baskets values ({self.rows})", dsn=dsn)

    def end_sessions(self, dsn=None):
        self.run(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'debezium'",
            dsn=dsn,
        )

    def until_told(self, words):
        """Wait for one problem that has these words, and a command or setting that corrects it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status = self.stack.run("connect", "status", "--format", "json", check=False)
            problems = json.loads(status.stdout)["problems"]
            if told := [one for one in problems if words in one]:
                assert all("./pipeline" in one or "OLTP_" in one for one in told), told
                return
            assert time.monotonic() < deadline, problems

    def is_exact(self):
        report = self.stack.run("reconcile", "--format", "json", check=False)
        if not report.stdout:  # it needs the shop, too
            return False
        found = json.loads(report.stdout)
        (baskets,) = [one for one in found["tables"] if one["table"] == "baskets"]
        return found["exact"] and baskets["source_rows"] == self.rows

    def until_exact(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.is_exact():
            assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def shop(certificates):
    with tenant() as servers:
        servers.up("connect", "minio", "warehouse")
        settings = {
            "OLTP_HOST": "localhost", "OLTP_PORT": free_ports(1)[0],
            "OLTP_SSL": ssl(certificates),
        }  # fmt: skip
        with (
            tenant(**settings) as stack,
            postgres(stack, certificates, "server", before=_SKIPS_SINCE) as data,
        ):
            shop = Shop(stack, data, certificates)
            yield shop
            for program in shop.programs:
                program.send_signal(signal.SIGTERM)
                program.wait(60)


@pytest.fixture(autouse=True)
def flowing(shop):
    shop.sell()
    shop.until_exact()


def test_status_and_doctor_ask_it(shop, tmp_path):
    # The servers that stacks of the tests share have an `oltp` of their own.
    secrets = shop.stack.config.stack.secrets_path
    stack = shop.stack.with_settings(STACK_DATA_DIR=tmp_path, STACK_SECRETS_FILE=secrets)
    rows = json.loads(stack.run("status", "--format", "json").stdout)
    (row,) = [row for row in rows if row["service"] == "oltp"]
    assert (row["state"], row["is_ready"], row["problem"]) == ("ELSEWHERE", True, None)
    found = json.loads(stack.run("doctor", "--format", "json", check=False).stdout)
    left_out = [one["words"] for one in found if one["verdict"] == "not checked"]
    assert left_out  # of servers that this stack does not have
    assert not [words for words in left_out if "oltp" in words]
    assert "of the shop" in {one["title"] for one in found if one["verdict"] == "fine"}


def test_role_that_may_not_log_in_any_more(shop):
    shop.run("alter role debezium nologin")
    shop.end_sessions()
    shop.sell()
    shop.until_told("Role debezium lacks the right to log in")
    shop.run("alter role debezium login")
    shop.stack.run("connect", "apply")
    shop.sell()
    shop.until_exact()


def test_certificate_that_is_renewed_is_no_failure_and_that_of_a_stranger_is(shop):
    plain = f"{shop.dsn} sslmode=require sslrootcert=''"
    try:
        give_certificate(shop.data, shop.certificates, "stranger")
        shop.run("select pg_reload_conf()")
        shop.end_sessions(dsn=plain)
        shop.sell(dsn=plain)
        shop.until_told("OLTP_SSL")
    finally:
        give_certificate(shop.data, shop.certificates, "renewed")
        shop.run("select pg_reload_conf()", dsn=plain)
    shop.sell()
    shop.until_exact()


def test_database_that_takes_no_connections_for_a_while(shop):
    admin = f"{shop.dsn} dbname=postgres"
    shop.run(f"alter database {shop.stack.oltp.database} allow_connections false", dsn=admin)
    shop.end_sessions(dsn=admin)
    shop.until_told("not currently accepting connections")
    shop.run(f"alter database {shop.stack.oltp.database} allow_connections true", dsn=admin)
    shop.sell()
    shop.until_exact()


def test_publication_that_was_dropped_and_is_made_again(shop):
    shop.run(f"drop publication {shop.stack.connect.publication_name}")
    shop.sell()
    shop.until_told("The publication is missing")
    shop.prepare()
    shop.sell()
    shop.until_told("connect apply --accept-loss")
    lost = shop.stack.run("connect", "apply", "--accept-loss").stdout
    assert "Recorded in bronze/_loss_ledger" in lost
    shop.stack.run("extract", "--full")
    shop.sell()
    shop.until_exact()

"""A shop with a bronze of its own tables, for tests of reconcile; and threads that write to it."""

import random
import signal
import sys
import threading
import time
import uuid
from subprocess import PIPE, TimeoutExpired

import psycopg
from deltalake import DeltaTable
from psycopg import sql

from batch.reconcile import reconcile
from lakehouse.contracts.bronze import bronze_table
from lakehouse.lake import storage_options, table_uri
from lakehouse.postgres import oltp_dsn
from tests.stacks import reconcile_config

PATIENCE_SECONDS = 300
TRACKED = "id bigint primary key, v text, updated_at timestamptz default now(), version bigint"


class Shop:
    """The shop's database, its bronze, and a lander between them."""

    def __init__(self, stack):
        self.stack = stack.with_settings(LANDING_FLUSH_SECONDS="0.25")
        self.dsn = oltp_dsn(stack.oltp, stack.secrets, role="admin")
        self.lander = None
        self.made = []

    def start_lander(self):
        self.lander = self.stack.fork("land", stdout=PIPE, stderr=PIPE)

    def stop_lander(self):
        self.lander.send_signal(signal.SIGTERM)
        try:
            _, errors = self.lander.communicate(timeout=PATIENCE_SECONDS)
        except TimeoutExpired:
            self.lander.kill()
            _, errors = self.lander.communicate()
        sys.stderr.write(errors)  # shown when a test fails
        self.lander = None

    def name(self, name="things"):
        self.made.append(f"{name}_{uuid.uuid4().hex[:8]}")
        return self.made[-1]

    def tracked(self):
        """A table whose versions the shop's trigger counts."""
        name = self.name()
        self.run(
            f"create table public.{name} ({TRACKED})",
            f"select public.track_versions('public.{name}', 'id')",
        )
        return name

    def run(self, *statements):
        """Each statement is a transaction."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def reconcile(self, **options):
        report = reconcile(self.stack.secrets, self.config(), **options)
        return {table.table: table for table in report.tables}

    def config(self):
        return reconcile_config(self.stack)

    def assert_exact(self, name, *, changes=None):
        table = self.reconcile()[name]
        assert table.findings.is_exact, table.to_json()
        if changes is not None:
            assert table.findings.changes == changes
        return table

    def bronze(self, name):
        options = storage_options(self.stack.minio, self.stack.secrets, user="admin")
        topic = f"{self.stack.connect.topic_prefix}.public.{name}"
        uri = table_uri(self.stack.minio.bronze_bucket, bronze_table(topic))
        return DeltaTable(uri, storage_options=options)

    def drop_tables(self):
        with psycopg.connect(self.dsn) as connection:
            for name in self.made:
                connection.execute(
                    sql.SQL("drop table if exists public.{}").format(sql.Identifier(name))
                )
        self.made.clear()


class Writers:
    """Threads that write random transactions until the block ends."""

    def __init__(self, shop, table, *, count=2):
        self.shop = shop
        self.table = table
        self.done = threading.Event()
        self.errors = []
        self.threads = [threading.Thread(target=self.run, args=[n]) for n in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join(timeout=PATIENCE_SECONDS)
        assert not self.errors, self.errors

    def run(self, number):
        chance = random.Random(number)
        try:
            with psycopg.connect(self.shop.dsn, autocommit=True) as connection:
                while not self.done.is_set():
                    self.transaction(connection, chance)
        except Exception as error:  # noqa: BLE001 - told to the test
            self.errors.append(error)

    def transaction(self, connection, chance):
        try:
            with connection.transaction(force_rollback=chance.random() < 0.1):
                for _ in range(chance.randint(1, 8)):
                    # A savepoint has a transaction id of its own; its changes bear the outer one.
                    with connection.transaction(force_rollback=chance.random() < 0.2):
                        self.change(connection, chance)
                    if chance.random() < 0.05:
                        time.sleep(0.2)
        except psycopg.errors.DeadlockDetected:
            pass

    def change(self, connection, chance):
        key, value = chance.randint(1, 60), f"v {chance.random()}"
        write = (
            f"insert into {self.table} (id, v) values (%s, %s) "
            "on conflict (id) do update set v = excluded.v"
        )
        if chance.random() < 0.25:
            connection.execute(f"delete from {self.table} where id = %s", [key])
        else:
            connection.execute(write, [key, value])

"""Each kind of schema change on the real source while rows flow: what every layer makes of it.

One shop: each change has a table of its own, and is followed once, from the change to the verdict.
Row 1 is written again after the change, row 6 never.
"""

import re
import shlex
import threading
import time

import polars as pl
import psycopg
import pytest

from batch.contracts.stored import contracts_of
from batch.reconcile import reconcile
from lakehouse.delta import scan
from lakehouse.lake import Lake
from lakehouse.postgres import oltp_dsn
from stack.doctor.measurements import Measurements
from stack.doctor.shop import CHECKS
from tests.stacks import reconcile_config, settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1800)]
DROP = "alter table {t} drop column n"
UNREADABLE = "alter table {t} alter column note type integer using length(note)"
CHANGES = {
    **{f"drop_{policy}": [DROP] for policy in ("evolve", "ignore", "stop")},
    **{f"unreadable_{policy}": [UNREADABLE] for policy in ("evolve", "ignore", "stop")},
    "rename_ignore": ["alter table {t} rename column n to m"],
    "rewrite": [
        "alter table {t} alter column n drop default, "
        "alter column n type text using 'x' || n, alter column n set default 'x'",
    ],
    "widen": ["alter table {t} alter column n type bigint"],
    "added": [
        "alter table {t} add column extra text",
        "alter table {t} add column sure integer not null default 7",
    ],
    "computed": ["alter table {t} add column g integer generated always as (n + 2) stored"],
    "moved": [
        "alter table {t} rename to {t}_away",
        "update {t}_away set v = 'away' where id = 5",
        "insert into {t}_away (id, v) values (77, 'away')",
        "alter table {t}_away rename to {t}",
    ],
    "again": ["drop table {t}", "create table {t} ({columns})", "insert into {t} (id) values (2)"],
    "rekeyed": [
        "alter table {t} drop constraint {t}_pkey, add primary key (id, n)",
        "delete from {t} where id = 2",
        "update {t} set v = 'new' where id in (3, 4)",
    ],
    "word": ["alter type mood add value 'great'", "update {t} set v = 'great' where id = 5"],
}
COLUMNS = "id integer primary key, v {kind}, n integer not null default 0, note text"
STOPPED = {"drop_stop", "unreadable_stop"}
EXTRACTED = {
    "unreadable_evolve", "unreadable_ignore", "unreadable_stop", "rewrite", "moved", "again",
}  # fmt: skip
"""Tables of which the log does not tell what the shop has."""
UNTOLD = {"added", "computed", "rename_ignore"}
"""Tables with a column of which it says nothing about rows that were not written since."""


class Flow:
    """A thread that writes row 1 of each table, and a new row, until the block ends."""

    def __init__(self, dsn, tables=tuple(CHANGES)):
        self.dsn = dsn
        self.tables = tables
        self.is_over = threading.Event()
        self.written = 0
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        self.pass_once()
        return self

    def __exit__(self, *_):
        self.pass_once()
        self.is_over.set()
        self.thread.join()

    def pass_once(self):
        wanted = self.written + 2
        while self.written < wanted and self.thread.is_alive():
            time.sleep(0.05)

    def run(self):
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while not self.is_over.wait(0.1):
                for table in self.tables:
                    try:
                        connection.execute(f"update {table} set id = id where id = 1")
                        connection.execute(
                            f"insert into {table} (id) "
                            f"select coalesce(max(id), 0) + 100 from {table}"
                        )
                    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
                        continue  # It is being changed.
                self.written += 1


class Shop:
    """What each step has shown."""

    def __init__(self, stack, folder):
        self.stack = stack
        self.folder = folder
        self.dsn = oltp_dsn(stack.oltp, stack.secrets, role="admin")
        self.config = reconcile_config(stack)
        self.make_tables()
        stack.up("connect", "minio", "lander", "warehouse")
        self.consolidate()
        with Flow(self.dsn):
            for table, statements in CHANGES.items():
                self.run(
                    *(s.format(t=table, columns=COLUMNS.format(kind="text")) for s in statements)
                )
        self.doctor = " ".join(self.told_by_doctor())
        self.stopped = self.consolidate(check=False)
        self.first = reconcile(stack.secrets, self.config)
        self.silver_first = self.silver()

    def make_tables(self):
        self.run("create type mood as enum ('sad', 'ok')")
        for table in CHANGES:
            kind = "mood default 'ok'" if table == "word" else "text"
            self.run(
                f"create table {table} ({COLUMNS.format(kind=kind)})",
                f"insert into {table} (id, note) select n, 'ab' from generate_series(1, 6) as n",
            )
            self.say(table, "n: {required: true}")

    def say(self, table, columns="{}", policy=""):
        policy = policy or table.rpartition("_")[2]
        policy = policy if policy in ("evolve", "ignore", "stop") else "ignore"
        text = f"on_removed: {policy}\non_retyped: {policy}\ncolumns:\n  {columns}\n"
        (self.folder / f"{table}.yaml").write_text(text)

    def run(self, *statements):
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def consolidate(self, *, check=True):
        settle(self.stack)
        return self.stack.run("consolidate", "--layer", "silver", check=check)

    def told_by_doctor(self):
        measurements = Measurements(self.stack.config, patience_seconds=60)
        (check,) = [one for one in CHECKS if one.title == "derived contracts"]
        return [said.words for said in check.run(measurements)]

    def silver(self):
        """Rows by table and key."""
        lake = Lake.of(self.stack.minio, self.stack.secrets, user="admin")
        contracts = contracts_of(lake)
        found = {}
        for table in CHANGES:
            rows = scan(lake.open("silver", contracts[table].silver)).collect()
            current = rows.filter(pl.col("_deleted_at").is_null())
            found[table] = {row["id"]: row for row in current.iter_rows(named=True)}
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contracts")
    with tenant(CONTRACTS_DIR=folder, LANDING_FLUSH_SECONDS=0.5) as stack:
        stack.up("oltp")
        yield Shop(stack, folder)


def test_doctor_names_the_columns_that_no_contract_knows(shop):
    for named in ("added (extra, sure)", "computed (g)", "rename_ignore (m)"):
        assert named in shop.doctor


def test_what_stops_is_told_with_its_file_and_all_other_tables_continue(shop):
    assert shop.stopped.returncode == 3
    said = " ".join(shop.stopped.stderr.split())
    assert "drop_stop lacks n" in said
    assert "CONTRACTS_DIR, drop_stop.yaml" in said
    assert "unreadable_stop.note holds 'ab'" in said
    lacking = {table for table, rows in shop.silver_first.items() if max(rows) < 100}
    assert lacking == STOPPED


def test_policy_decides_of_a_required_column_that_is_dropped_or_renamed(shop):
    row = {table: rows[1] for table, rows in shop.silver_first.items() if 1 in rows}
    # Evolve: null from then on; the earlier value stays in rows that nobody writes.
    assert row["drop_evolve"]["n"] is None
    assert shop.silver_first["drop_evolve"][6]["n"] == 0
    # Ignore: the change is quarantined, and the row stays as it was. Stop: so is the table.
    assert row["drop_ignore"]["n"] == row["drop_stop"]["n"] == row["rename_ignore"]["n"] == 0
    quarantined = {one.table for one in shop.first.layers if one.findings.quarantined}
    assert quarantined == {"drop_ignore", "rename_ignore", "unreadable_ignore"}


def test_policy_decides_of_earlier_values_that_the_new_type_cannot_hold(shop):
    assert shop.silver_first["unreadable_evolve"][6]["note"] is None
    assert '"ab"' in shop.silver_first["unreadable_evolve"][6]["_extra"]
    assert shop.silver_first["unreadable_evolve"][1]["note"] == 2
    assert 6 not in shop.silver_first["unreadable_ignore"]
    assert shop.silver_first["unreadable_ignore"][1]["note"] == 2
    assert shop.silver_first["unreadable_stop"][6]["note"] == "ab"


def test_other_changes_are_followed_in_the_rows_that_are_written_again(shop):
    found = shop.silver_first
    assert (found["added"][1]["extra"], found["added"][1]["sure"]) == (None, 7)
    assert found["added"][6]["sure"] is None
    assert (found["computed"][1]["g"], found["computed"][6]["g"]) == (2, None)
    assert (found["rewrite"][1]["n"], found["rewrite"][6]["n"]) == ("x0", "0")
    assert found["widen"][1]["n"] == found["widen"][6]["n"] == 0
    assert found["word"][5]["v"] == "great"


def test_verdict_names_what_the_log_does_not_tell_and_the_command_that_reads_it(shop):
    faulty = {one.table for one in shop.first.tables if not one.findings.is_exact}
    # Whether a former partition is ahead of that of the new key, is left to Kafka.
    assert faulty - {"rekeyed"} == EXTRACTED
    untold = {one.table for one in shop.first.tables if one.findings.untold.count}
    assert untold == UNTOLD
    lines = shop.first.verdict().splitlines()
    (advice,) = [one for one in lines if one.startswith("./pipeline extract")]
    _, *words = shlex.split(advice.split(" extracts ")[0])
    assert set(words[1:-1]) == faulty
    assert f"./pipeline extract {' '.join(sorted(UNTOLD))} --full reads them" in " ".join(lines)


def test_extraction_of_all_ends_the_faults_and_a_table_that_cannot_be_read_stops_no_other(shop):
    read = shop.stack.run("extract", "computed", "widen", "--full", check=False)
    assert re.search(r"computed +failed", read.stdout), read
    assert re.search(r"widen +read", read.stdout), read
    changed = EXTRACTED | UNTOLD - {"computed"} | {"rekeyed"}
    shop.stack.run("extract", *sorted(changed), "--full")
    for _ in range(4):
        settle(shop.stack)
        tables = reconcile(shop.stack.secrets, shop.config).tables
        faulty = {one.table for one in tables if not one.findings.is_exact}
        if not faulty:
            break
        # The new key's partition is still behind the former one.
        assert faulty == {"rekeyed"}
        shop.stack.run("extract", "rekeyed", "--full")
    assert not faulty
    assert {one.table for one in tables if one.findings.untold.count} == {"computed"}
    shop.run("update computed set id = id")
    settle(shop.stack)
    tables = reconcile(shop.stack.secrets, shop.config).tables
    assert not any(one.findings.untold.count for one in tables)

"""A shop that nobody wrote contracts for, through Debezium and Kafka into silver, whole.

The tables of `tests/foreign_shop.sql`, and partitioned ones, which are captured via their roots.
"""

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from batch.contracts.stored import contracts_of
from batch.reconcile import caught_up
from batch.reconcile.history import Examples
from batch.reconcile.table import Comparison, compare_table
from batch.reconcile.topics import Topics
from connectors.rest import ConnectApi
from connectors.shop_catalog import read_catalog
from lakehouse.contracts import ENTITIES
from lakehouse.delta import scan
from lakehouse.digest import digest
from lakehouse.lake import Lake
from lakehouse.postgres import oltp_dsn
from stack.doctor.measurements import Measurements
from stack.doctor.readers import CHECKS as READER_CHECKS
from stack.doctor.shop import CHECKS as SHOP_CHECKS
from stack.findings import Verdict
from tests.killing import kill_at_work
from tests.stacks import reconcile_config, settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
PATIENCE_SECONDS = 300  # a bound on waiting, not on being right: machines are busy
FOREIGN = Path(__file__).parents[1] / "foreign_shop.sql"
PARTITIONED = """
-- By list, then by range; in another schema; attached, with its columns in another order; no key.
create schema parts;
create table visits (
    region text, day date, n integer, note text, primary key (region, day, n)
) partition by list (region);
create table visits_eu partition of visits for values in ('eu') partition by range (day);
create table visits_eu_1 partition of visits_eu for values from ('2026-01-01') to ('2026-07-01');
create table visits_eu_2 partition of visits_eu for values from ('2026-07-01') to ('2027-01-01');
create table parts.visits_us partition of visits for values in ('us');
create table visits_as (
    note text, gone integer, n integer not null, day date not null, region text not null
);
alter table visits_as drop column gone;
alter table visits attach partition visits_as for values in ('as');
insert into visits
select r, date '2026-06-01' + n * 10, n, 'note' from unnest(array['eu', 'us', 'as']) as r,
    generate_series(1, 6) as n;
create table logs (at date not null, note text) partition by range (at);
create table logs_2026 partition of logs for values from ('2026-01-01') to ('2027-01-01');
insert into logs values ('2026-01-01', 'a'), ('2026-01-01', 'a');
insert into capitals values (1, 'a');
insert into "with-dash" values (1);
insert into by_unique values (1, 'a'), (2, null);
insert into contracts values (1, 1);
insert into with_virtual (id, body) select n, repeat('x', 9000 * n) from generate_series(1, 3) as n;
-- Debezium knows columns in any case: of two that differ in nothing else, it reads none.
alter table names rename "Id" to other_id;
do $$
begin
    execute format('create table %I (id integer primary key)', repeat('x', 63));
    execute format('insert into %I values (1)', repeat('x', 63));
end
$$;
"""
NO_COMPARABLE_TEXT = [
    "a_bit", "some_bits", "var_bits", "a_point", "a_line", "an_lseg", "a_box", "a_path",
    "a_polygon", "a_circle", "a_grid",
]  # fmt: skip
ROOTS = {"measured": 2, "visits": 18, "logs": 2}


class Foreign:
    """The shop, all of it in bronze by an initial snapshot."""

    def __init__(self, stack):
        self.stack = stack
        self.dsn = oltp_dsn(stack.oltp, stack.secrets, role="admin")
        with self.connected() as connection:
            connection.execute(FOREIGN.read_bytes())
            connection.execute(PARTITIONED)
            self.catalog = {n: c for n, c in read_catalog(connection).items() if n not in ENTITIES}
        # A table without a key, written from before the slot is made until the snapshot is read.
        self.run(
            "create table written_meanwhile (n integer, note text)",
            "insert into written_meanwhile select n, 'before' from generate_series(1, 50) as n",
        )
        is_over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(self._write_until, is_over)
            try:
                stack.up("connect", "minio", "lander", "warehouse")
                self._await_streaming()
            finally:
                is_over.set()
            written.result()
        self.first = self.reconcile()

    def _await_streaming(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        with ConnectApi.of(self.stack.connect) as api:
            while api.stored().position is None:
                assert time.monotonic() < deadline
                time.sleep(0.5)

    def _write_until(self, is_over):
        count = 0
        # The slot is made while a transaction of one of these is open.
        insert = "insert into written_meanwhile values (%s, 'slow')"
        with (
            self.connected() as connection,
            psycopg.connect(self.dsn) as slow,
            psycopg.connect(self.dsn) as slower,
        ):
            while not is_over.wait(0.01):
                count += 1
                connection.execute("insert into written_meanwhile values (%s, 'new')", [count])
                connection.execute("update written_meanwhile set note = 'x' where n = %s", [count])
                connection.execute("delete from written_meanwhile where n = %s", [count - 25])
                for each, period in ((slow, 17), (slower, 29)):
                    each.execute(insert, [-count])
                    if count % period == 0:
                        each.commit()

    def connected(self):
        return psycopg.connect(self.dsn, autocommit=True)

    def run(self, *statements):
        with self.connected() as connection:
            for statement in statements:
                connection.execute(statement)

    def reconcile(self):
        found = self.stack.run("reconcile", "--format", "json", check=False)
        assert found.stdout, found.stderr[-3000:]
        return json.loads(found.stdout)

    @property
    def config(self):
        return reconcile_config(self.stack)

    def consolidate(self, *options):
        """Bring silver up to date with the shop."""
        settle(self.stack)
        self.stack.run("consolidate", "--layer", "silver", *options)

    def compare(self, *names):
        """Faults of some tables in bronze, by table: far quicker than to reconcile all layers."""
        with (
            Topics(self.stack.kafka.client) as topics,
            caught_up(self.stack.secrets, self.config, topics) as now,
        ):
            tables = {table.name: table for table in now.source}
            examples = Examples(limit=1_000)
            how = Comparison(visibility=now.shop.visibility, slices=1, examples=examples)
            found = {
                name: compare_table(
                    tables[name],
                    now.shop.rows(tables[name]),
                    now.bronze[now.topic_of(name)].records(),
                    how,
                )
                for name in names
            }
        return {
            name: {kind: list(fault.examples) for kind, fault in one.faults.items() if fault.count}
            for name, one in found.items()
        }

    def require_exact(self, report):
        faulty = [one for one in (*report["tables"], *report["layers"]) if faults(one)]
        assert report["exact"], json.dumps(faulty)
        assert [one["table"] for one in report["tables"] if one["note"]] == []

    def require_silver(self, report, tables):
        """Current rows and history are compared, and exact, and nothing is quarantined."""
        assert [one for one in report["tables"] if one["table"] in tables and faults(one)] == []
        contracts = contracts_of(self.lake)
        found = {one["table"]: one for one in report["layers"] if one["layer"] == "silver"}
        wanted = {n for t in tables for n in (contracts[t].silver, contracts[t].history)}
        odd = [found[n] for n in wanted if found[n]["note"] or found[n]["quarantined"]]
        assert odd == []
        assert [found[n] for n in wanted if faults(found[n])] == []

    @property
    def keyed(self):
        return set(self.catalog) - {"by_nothing", "logs"}

    @property
    def lake(self):
        return Lake.of(self.stack.minio, self.stack.secrets, user="admin")

    def digests(self):
        told = self.stack.run("tables", "--layer", "silver", "--format", "json").stdout
        names = [one["table"] for one in json.loads(told)]
        assert len(names) > 2 * len(self.keyed)
        lake = self.lake
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda name: str(digest(scan(lake.open("silver", name)))), names)
            return dict(zip(names, found, strict=True))


def faults(one):
    return any(one.get(name) for name in (
        "missing", "extra", "different", "missing_versions", "missing_deletes", "duplicates",
        "unaccounted",
    ))  # fmt: skip


@pytest.fixture(scope="module")
def shop():
    with tenant(CONNECT_PARTITIONS="root", LANDING_FLUSH_SECONDS=0.5) as stack:
        stack.up("oltp")
        yield Foreign(stack)


OF_TWO_THREADS = (
    psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)  # fmt: skip
"""One finds the key taken, waits in vain, or the other has moved the row to another partition."""


class Changes:
    """Threads that change rows of all tables, slowly, until the block ends."""

    def __init__(self, shop, *, threads=2):
        self.shop = shop
        self.is_over = threading.Event()
        self.errors = []
        self.threads = [threading.Thread(target=self.change, args=[n]) for n in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS)
        assert not self.errors, self.errors

    def change(self, number):
        chance = random.Random(number)
        try:
            with self.shop.connected() as connection:
                while not self.is_over.wait(0.1):
                    for statement in statements(self.shop.catalog, chance):
                        with suppress(*OF_TWO_THREADS):
                            connection.execute(statement)
        except Exception as error:  # noqa: BLE001 - told to the test
            self.errors.append(error)


def statements(catalog, chance):
    """Some of what changes: a row of any table goes and comes again, or is written as it is."""
    for table in chance.sample(sorted(catalog), 6):
        names = [sql.Identifier(c.column_name) for c in catalog[table] if not c.is_generated]
        parts = {
            "table": sql.Identifier(table), "columns": sql.SQL(", ").join(names),
            "last": names[-1],
        }  # fmt: skip
        one = "where ctid = (select ctid from {table} order by random() limit 1)"
        again = (
            f"with gone as (delete from {{table}} {one} returning {{columns}}) "
            "insert into {table} ({columns}) select {columns} from gone"
        )
        touch = f"update {{table}} set {{last}} = {{last}} {one}"
        yield sql.SQL(chance.choice([again, touch])).format(**parts)
    day = date(2026, 1, 1) + timedelta(days=chance.randrange(360))
    number, plain = chance.randrange(40), f"plain_{chance.randint(1, 16)}"
    yield (
        f"insert into {plain} (id, name, n) values ({number}, '{day}', {number}) "
        f"on conflict (id) do update set name = excluded.name || {plain}.n, n = excluded.n"
    )
    yield f"delete from {plain} where id = {chance.randrange(40)}"
    yield f"insert into measured values ('{day}', {number}, {number}) on conflict do nothing"
    yield f"insert into visits values ('eu', '{day}', {number}, 'new') on conflict do nothing"
    yield f"insert into logs values ('{day}', '{number}')"
    # From one partition into another.
    yield f"update measured set at = '{day}', value = value + 1 where sensor = {number}"
    to = chance.choice(["eu", "us", "as"])
    yield f"update visits set region = '{to}', day = '{day}' where n = {number}"
    yield f"update visits set note = note || 'x' where n = {number}"
    yield f"delete from visits where n = {chance.randrange(40)}"
    yield (
        f"insert into by_composite (tenant, \"Line, No.\", note) values ({number}, 1, '{day}') "
        'on conflict ("Line, No.", tenant) do update set note = excluded.note'
    )
    yield f"update by_text set code = '{number}' where code in ('{number + 1}', 'A')"
    yield "update by_uuid set id = gen_random_uuid(), n = n + 1"


def test_table_without_a_key_that_was_written_during_the_snapshot_is_exact(shop):
    """Changes that were committed before the snapshot read it, and that it does not show."""
    assert shop.compare("written_meanwhile") == {"written_meanwhile": {}}
    rows = scan(shop.lake.open("bronze", "raw_written_meanwhile")).collect()
    told = [(json.loads(value), at) for value, at in rows.select("value", "_timestamp").rows()]
    read = [at for one, at in told if one["op"] == "r"]
    changes = [at for one, at in told if one["op"] != "r"]
    assert max(read) <= min(changes)


def test_initial_snapshot_reads_each_row_of_each_table_once(shop):
    shop.require_exact(shop.first)
    tables = {one["table"]: one for one in shop.first["tables"]}
    assert tables.pop("written_meanwhile")["changes"] > 50
    assert set(shop.catalog) | set(ENTITIES) == set(tables)
    assert len(shop.catalog) >= 40
    twice = {n: one for n, one in tables.items() if one["changes"] != one["source_rows"]}
    assert twice == {}
    assert {name: tables[name]["changes"] for name in ROOTS} == ROOTS
    skipped = {name: one["not_compared"] for name, one in tables.items() if one["not_compared"]}
    assert skipped == {"every_type": NO_COMPARABLE_TEXT}


@pytest.mark.long
def test_kills_a_replay_and_a_rebuild_leave_every_table_exact(shop, request):
    chance = random.Random(request.config.getoption("seed"))
    with Changes(shop):
        time.sleep(chance.uniform(0.5, 1.5))
        shop.stack.kill("lander")
        for _ in range(request.config.getoption("rounds")):
            kill_at_work(
                shop.stack, "consolidate", "--layer", "silver", moment=chance.uniform(2, 8)
            )
    shop.consolidate()
    report = shop.reconcile()
    shop.require_exact(report)
    shop.require_silver(report, shop.keyed)
    before = shop.digests()
    replayed = json.loads(shop.stack.run(
        "replay", "--into", "silver", "--entity", "visits", "--entity", "by_composite", "--entity",
        "every_type", "--from-offset", "0:1", "--to-offset", "0:5", "--format", "json",
    ).stdout)  # fmt: skip
    assert replayed["ranges"]
    assert [one for one in replayed["tables"] if not one["is_equal"]] == []
    assert shop.digests() == before
    shop.stack.run("rebuild", "--layer", "silver")
    assert shop.digests() == before


@pytest.mark.long
def test_partitions_that_come_and_go_are_part_of_the_root(shop):
    # Of these keys, no thread changes any.
    with Changes(shop, threads=1):
        shop.run(
            "create table visits_xx partition of visits for values in ('xx')",
            "insert into visits select 'xx', '2026-02-01', n, 'a' from generate_series(50, 58) n",
            "update visits set region = 'eu', n = 40 + n where region = 'xx' and n < 53",
            "truncate visits_xx",
            "insert into visits values ('xx', '2026-02-02', 70, 'b')",
            # Empty when it is attached; what it gets then is the root's.
            "create table visits_yy (like visits including all)",
            "alter table visits attach partition visits_yy for values in ('yy')",
            "insert into visits_yy values ('yy', '2026-02-02', 70, 'c')",
        )
    # Neither writes the rows to the log: the comparison tells, and one extraction ends it.
    shop.run(
        "create table visits_zz (like visits including all)",
        "insert into visits_zz values ('zz', '2026-02-02', 70, 'd')",
        "alter table visits attach partition visits_zz for values in ('zz')",
        "alter table visits detach partition visits_yy",
    )
    yy, zz = "yy,20486,70", "zz,20486,70"
    assert shop.compare("visits", "visits_yy") == {
        "visits": {"missing": [zz], "missing_versions": [zz], "extra": [yy]},
        "visits_yy": {"missing": [yy], "missing_versions": [yy]},
    }
    told = shop.stack.run("extract", "visits", "visits_yy", "--full", "--format", "json").stdout
    assert [(one["table"], one["key"]) for one in json.loads(told)["deletes"]] == [("visits", yy)]
    assert shop.compare("visits", "visits_yy") == {"visits": {}, "visits_yy": {}}
    shop.run("drop table visits_yy")
    shop.consolidate("--entity", "visits")
    shop.require_silver(shop.reconcile(), ["visits"])


def test_doctor_speaks_of_the_root_and_never_of_its_partitions(shop):
    def told():
        measurements = Measurements(shop.stack.config, patience_seconds=60)
        checks = [one for area in (SHOP_CHECKS, READER_CHECKS) for one in area]
        return [said for check in checks for said in check.run(measurements)]

    assert [said for said in told() if said.verdict is Verdict.WRONG] == []
    words = " ".join(said.words for said in told())
    assert "logs has no primary key" in words
    assert all(leaf not in words for leaf in ("logs_2026", "visits_", "measured_", "partitioned"))
    shop.run("set event_triggers = off; alter table visits_eu_1 disable trigger zz_cdc_truncate")
    (wrong,) = [said for said in told() if said.verdict is Verdict.WRONG]
    assert wrong.words.startswith("a truncate of visits would not be captured")
    assert wrong.remedy == "./pipeline up oltp; then ./pipeline extract visits --full"
    # As any `alter table` of the root does.
    shop.run("alter table visits alter column note set default 'a'")
    assert [said for said in told() if said.verdict is Verdict.WRONG] == []


@pytest.mark.long
def test_other_setting_is_refused_until_it_is_applied_and_what_begins_empty_is_told(shop):
    each = shop.stack.with_settings(CONNECT_PARTITIONS="each")
    refused = each.run("up", "oltp", check=False)
    assert refused.returncode != 0
    said = " ".join((refused.stdout + refused.stderr).split())
    assert "logs_2026, measured_2026_q1, measured_rest, visits_as" in said
    assert "./pipeline connect partitions" in said
    told = each.run("connect", "partitions", "--yes").stdout
    assert "Not any more: logs, measured, visits. Next: ./pipeline connect apply; then" in told
    assert "Rows of logs_2026: ./pipeline connect resnapshot" in told
    each.run("connect", "apply")
    shop.run("insert into measured values ('2026-03-09', 99, 1)")
    # What was there is missing until it is extracted; what is new is captured.
    found = shop.compare("measured_2026_q1", "measured_rest")
    assert all(set(one) == {"missing", "missing_versions"} for one in found.values())
    assert "20521,99" not in found["measured_2026_q1"]["missing"]
    each.run("extract", "measured_2026_q1", "--full")
    assert shop.compare("measured_2026_q1") == {"measured_2026_q1": {}}
    with pytest.raises(KeyError, match="measured"):
        shop.compare("measured")
    told = shop.stack.run("connect", "partitions", "--yes").stdout
    assert "./pipeline extract measured visits --full" in told
    shop.stack.run("connect", "apply")
    shop.stack.run("extract", "measured", "--full")
    shop.run("insert into visits values ('eu', '2026-02-02', 99, 'd')")
    found = shop.compare("measured", "visits", "logs")
    assert (found["measured"], found["logs"]) == ({}, {})
    assert "eu,20486,99" not in found["visits"].get("missing", [])

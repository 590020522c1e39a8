"""Reconcile against the real services: exact under load, and damage in bronze is named.

Each test has a table of its own, which goes at its end: what it damaged is nobody else's problem.
"""

import json
import time

import psycopg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse.lake import BRONZE_SCHEMA
from tests.integration.on_one_stack.reconciled_shop import Writers

pytestmark = pytest.mark.integration

FAULTS = ("missing", "extra", "different", "missing_versions", "missing_deletes", "duplicates")


@pytest.mark.long
def test_busy_shop_is_exact_as_of_every_snapshot(shop):
    table = shop.tracked()
    changes = []
    with Writers(shop, table), psycopg.connect(shop.dsn) as long_one:
        for n in range(4):
            # Begun before the snapshot, committed after it: what it wrote must not count yet.
            long_one.execute(f"insert into {table} (id, v) values (%s, 'long')", [1_000 + n])
            time.sleep(0.5)
            found = shop.assert_exact(table)
            changes.append(found.findings.changes)
            long_one.commit()
    assert sorted(set(changes)) == changes
    assert shop.assert_exact(table).findings.changes > changes[-1]


def test_transaction_in_progress_is_not_missed(shop):
    table = shop.tracked()
    shop.run(f"insert into {table} (id, v) values (1, 'a')")
    with psycopg.connect(shop.dsn) as connection:
        connection.execute(f"update {table} set v = 'b'")
        connection.execute(f"insert into {table} (id) values (2)")
        # Later in the log than the open transaction's changes, and committed before them.
        shop.run(f"insert into {table} (id, v) values (3, 'c')")
        assert shop.assert_exact(table, changes=2).findings.source_rows == 2
    assert shop.assert_exact(table, changes=4).findings.source_rows == 3


def plant(shop, table):
    """Three rows: one with three versions, one deleted and made again, one of a single version."""
    write_changes(shop, table)
    shop.assert_exact(table, changes=7)


def write_changes(shop, table):
    shop.run(
        f"insert into {table} (id, v) values (1, 'a'), (2, 'b'), (3, 'c')",
        f"update {table} set v = 'a2' where id = 1",
        f"update {table} set v = 'a3' where id = 1",
        f"delete from {table} where id = 2",
        f"insert into {table} (id, v) values (2, 'again')",
    )


def find(bronze, **wanted):
    """The one record whose change has these values."""

    def matches(change):
        row = change["after"] or change["before"]
        told = {"op": change["op"], **{name: row[name] for name in ("id", "v")}}
        return wanted.items() <= told.items()

    rows = pl_rows(bronze)
    [found] = [row for row in rows if matches(json.loads(row["value"]))]
    return found


def pl_rows(bronze):
    return pa.table(bronze.scan()).to_pylist()


def remove(bronze, record):
    bronze.delete(f"_partition = {record['_partition']} and _offset = {record['_offset']}")


def add(bronze, record):
    write_deltalake(bronze, pa.Table.from_pylist([record], schema=BRONZE_SCHEMA), mode="append")


def altered(record, text, by):
    return {**record, "value": record["value"].replace(text, by)}


def lose_last_version(bronze):
    remove(bronze, find(bronze, id=1, v="a3"))


def lose_version_between(bronze):
    remove(bronze, find(bronze, id=1, v="a2"))


def lose_row(bronze):
    remove(bronze, find(bronze, id=3))


def lose_delete(bronze):
    remove(bronze, find(bronze, id=2, op="d"))


def land_twice(bronze):
    add(bronze, find(bronze, id=3))


def send_twice(bronze):
    add(bronze, {**find(bronze, id=3), "_offset": 10_000})


def alter_value(bronze):
    record = find(bronze, id=3)
    remove(bronze, record)
    add(bronze, altered(record, b'"v":"c"', b'"v":"C"'))


def invent_row(bronze):
    record = altered(find(bronze, id=3), b'"id":3', b'"id":99')
    add(bronze, {**record, "_offset": 10_000})


DAMAGES = {
    lose_last_version: ({"different": 1, "missing_versions": 1}, "1"),
    lose_version_between: ({"missing_versions": 1}, "1"),
    lose_row: ({"missing": 1, "missing_versions": 1}, "3"),
    lose_delete: ({"missing_deletes": 1}, "2"),
    land_twice: ({"duplicates": 1}, "3"),
    send_twice: ({"duplicates": 1}, "3"),
    alter_value: ({"different": 1}, "3"),
    invent_row: ({"extra": 1}, "99"),
}
"""Faults that each makes, and the key that is named."""


def test_damage_in_bronze_is_found_and_named_and_the_command_fails(shop, subtests):
    """Each damage has a table of its own: two reconciliations see all of them."""
    tables = {damage: shop.tracked() for damage in DAMAGES}
    for table in tables.values():
        write_changes(shop, table)
    stages = []
    before = shop.reconcile(on_progress=stages.append)
    first_words = [stage.split(" ")[0] for stage in stages]
    assert first_words[:4] == ["waiting", "taking", "waiting", "waiting"]
    assert "comparing" in first_words
    for damage, table in tables.items():
        assert before[table].findings.is_exact, before[table].to_json()
        assert before[table].findings.changes == 7
        damage(shop.bronze(table))
    found = {name: one.to_json() for name, one in shop.reconcile().items()}
    for damage, (faults, key) in DAMAGES.items():
        with subtests.test(damage.__name__):
            one = found[tables[damage]]
            assert {name: one[name] for name in FAULTS if one[name]} == faults
            named = [example for examples in one["examples"].values() for example in examples]
            assert {example.split(" ")[0] for example in named} == {key}
    lost = found[tables[lose_row]]
    assert (lost["source_rows"], lost["bronze_rows"]) == (3, 2)
    shown = shop.stack.run("reconcile", check=False)
    assert shown.returncode == 1
    assert f"{tables[lose_row]}: 1 missing: 3" in shown.stdout


@pytest.mark.long
def test_bronze_that_does_not_catch_up_cannot_be_checked(shop):
    table = shop.tracked()
    plant(shop, table)
    shop.stop_lander()
    try:
        shop.run(f"update {table} set v = 'later'")
        # It bounds each wait by itself: long enough for those before the one for bronze.
        impatient = shop.stack.with_settings(RECONCILE_TIMEOUT_SECONDS="20")
        told = impatient.run("reconcile", check=False)
        assert told.returncode == 2
        assert told.stdout == ""
        assert f"{shop.stack.connect.topic_prefix}.public.{table}[" in told.stderr
        assert "./pipeline logs lander" in told.stderr
    finally:
        shop.start_lander()
    shop.assert_exact(table, changes=10)


@pytest.mark.long
def test_table_that_the_shop_dropped_is_told_and_is_no_fault(shop):
    table = shop.tracked()
    plant(shop, table)
    shop.drop_tables()
    found = shop.reconcile()[table]
    assert found.is_dropped
    assert found.findings.changes == 7
    assert found.findings.is_exact

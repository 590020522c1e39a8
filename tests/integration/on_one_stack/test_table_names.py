"""Tables of every name that Postgres allows, through the real services."""

import json
import uuid

import psycopg
import pytest
from confluent_kafka.admin import NewTopic
from psycopg import sql

from lakehouse.kafka import admin_client, is_capturable, matching_topics
from stack.doctor.measurements import Measurements
from stack.doctor.shop import CHECKS
from stack.findings import Verdict
from tests.integration.on_one_stack.reconciled_shop import Shop

pytestmark = pytest.mark.integration
BATCH = uuid.uuid4().hex[:6]
# Each with the others beside it that it could be taken for.
NAMES = (
    f"q {BATCH} a", f"q_{BATCH}_a", f"q.{BATCH}_a", f"q-{BATCH}_a", f"Q_{BATCH}_a",
    f"price.{BATCH}", f"price_{BATCH}", f'quo"te{BATCH}', f"größe{BATCH}", f"ta%b{BATCH}",
    f"𝄞{BATCH}", f"a\\b{BATCH}", f"a$b{BATCH}", f"7{BATCH}", f"_{BATCH}", f"-{BATCH}",
    f"\u212a{BATCH}", f"x{BATCH}".ljust(63, "x"), f"Y{BATCH}".ljust(63, "Y"), "users", "sales",
)  # fmt: skip
CAPTURED = sorted(filter(is_capturable, NAMES))
LEFT_OUT = sorted(set(NAMES) - set(CAPTURED))


@pytest.fixture(scope="module")
def shop(stack):
    """A shop with all of these tables, and topics of such that were dropped long ago."""
    found = Shop(stack)
    left_behind = [f"{stack.connect.topic_prefix}.public.{n}" for n in ("gone.list", "a.b.c")]
    admin = admin_client(stack.kafka.client)
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in left_behind]).values():
        future.result()
    found.start_lander()
    yield found
    found.stop_lander()
    with psycopg.connect(found.dsn) as connection:
        for name in NAMES:
            connection.execute(sql.SQL("drop table if exists {}").format(in_public(name)))
    for future in admin.delete_topics(left_behind).values():
        future.result()


def in_public(name):
    return sql.Identifier("public", name)


def test_each_table_lands_apart_or_is_left_out_with_a_note_and_nothing_stops(shop):
    make = sql.SQL("create table {} (id int primary key, v text)")
    insert = sql.SQL("insert into {} values (1, {}), (2, 'two')")
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        for name in NAMES:
            connection.execute(make.format(in_public(name)))
        for name in NAMES:
            connection.execute(insert.format(in_public(name), sql.Literal(name)))
            connection.execute(sql.SQL("update {} set v = v || '!'").format(in_public(name)))
            connection.execute(sql.SQL("delete from {} where id = 2").format(in_public(name)))
    notes = noted(shop)
    for name in LEFT_OUT:
        quoted = '"' + name.replace('"', '""') + '"'
        assert any(words.startswith(f"{quoted} is not captured") for words in notes), name

    capital = f"Q_{BATCH}_a"
    told = json.loads(shop.stack.run("extract", capital, "--full", "--format", "json").stdout)
    assert [one["table"] for one in told["extraction"]["tables"]] == [capital]
    assert [one["rows"] for one in told["extraction"]["tables"]] == [1]
    # What doctor says, to the letter: though nobody writes to the table since.
    renamed = shop.name("renamed")
    shop.run(f'alter table public."price.{BATCH}" rename to {renamed}')
    shop.stack.run("extract", renamed, "--full")
    tables = shop.reconcile()
    assert not set(LEFT_OUT) & set(tables)
    changes = {**dict.fromkeys(CAPTURED, 5), capital: 6, renamed: 1}
    for name, count in changes.items():
        found = tables[name].findings
        assert (found.is_exact, found.source_rows, found.changes) == (True, 1, count), name
    assert len({tables[name].bronze for name in changes}) == len(changes)
    # Nothing of another's: what is counted above would be told apart by the records themselves.
    rows = {name: shop.bronze(name).to_pyarrow_table().num_rows for name in changes}
    assert rows == changes
    prefix = shop.stack.connect.topic_prefix
    topics = matching_topics(admin_client(shop.stack.kafka.client), f"^{prefix}\\.public")
    assert {f"{prefix}.public.{name}" for name in changes} <= set(topics)
    shop.drop_tables()


def noted(shop):
    [check] = [one for one in CHECKS if one.title == "tables"]
    said = check.run(Measurements(shop.stack.config, patience_seconds=60))
    return [one.words for one in said if one.verdict is Verdict.NOTE]

"""What a foreign database lacks, told from what its catalog has."""

from dataclasses import replace

import pytest

from connectors.source import Extent
from lakehouse.settings import ConnectSettings
from stack.postgres.roles import SOURCE_ROLES
from stack.source.change import sql_for_administrator
from stack.source.check import Server, Source, Table, diagnose

SETTINGS = ConnectSettings()
PREPARED = Server(
    version="18.4", version_number=180004, wal_level="logical", most_slots=10, slots=1,
    most_senders=10, senders=1, is_wal_unlimited=False, is_standby=False, login="postgres",
    database="eshop", is_superuser=True, roles=list(SOURCE_ROLES),
    may_replicate=True, has_cdc=True, has_event_trigger=True, is_published=True,
    is_by_table=False,
    slot_status="reserved", database_of_slot="eshop",
)  # fmt: skip
ORDERS = Table(name="orders", plain_name="orders", replica_identity="f")


def found(server=PREPARED, *tables, settings=SETTINGS):
    """Titles of what is wrong, and all that is said."""
    findings = diagnose(Source(server=server, tables=tables or (ORDERS,)), settings)
    assert {one.area for one in findings} == {"server", "preparation", "tables"}
    for one in findings:
        assert one.remedy or one.verdict != "wrong", "what is wrong has a remedy"
    return {one.title for one in findings if one.verdict == "wrong"}, " ".join(
        f"{one.words} {one.remedy}" for one in findings
    )


def test_prepared_database_is_fine():
    findings = diagnose(Source(server=PREPARED, tables=(ORDERS,)), SETTINGS)
    assert {one.verdict for one in findings} == {"fine"}


def test_schemas_that_are_not_captured_are_named_with_what_to_do():
    source = Source(server=PREPARED, tables=(ORDERS,), other_schemas={"crm": 1, "sales": 7})
    [told] = [one for one in diagnose(source, SETTINGS) if one.title == "other schemas"]
    assert told.verdict == "note"
    assert told.words.startswith("crm (1 table), sales (7 tables): not captured")
    assert "set schema public" in told.remedy


@pytest.mark.parametrize(
    ("change", "title", "said"),
    [
        ({"is_standby": True}, "version", "Give the URL of the primary"),
        ({"version": "14.9", "version_number": 140009}, "version", "need 15"),
        ({"wal_level": "replica"}, "WAL", "alter system set wal_level = 'logical'"),
        ({"slot_status": "lost"}, "slots", "connect apply --accept-loss"),
        ({"database_of_slot": "other"}, "slots", "a slot of the database other"),
        ({"slot_status": None, "database_of_slot": None, "slots": 10}, "slots",
         "max_replication_slots is 10, of which 10 are taken"),
        ({"slot_status": None, "database_of_slot": None, "senders": 10}, "slots",
         "alter system set max_wal_senders = 12"),
        ({"roles": ["monitor"]}, "roles", "debezium, reconcile, extract: not there"),
        ({"may_replicate": False}, "roles", "alter role debezium replication"),
        ({"has_cdc": False}, "schema cdc", "source check URL --apply"),
        ({"is_published": False}, "publication", "dbz_shop does not exist"),
    ],
)  # fmt: skip
def test_what_is_missing_is_wrong_and_names_what_to_do(change, title, said):
    titles, words = found(replace(PREPARED, **change))
    assert title in titles
    assert said in words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"is_wal_unlimited": True}, "WAL may fill the disk"),
        ({"has_event_trigger": False}, "tables that are created from now on"),
        ({"is_by_table": True, "has_event_trigger": False}, "not captured, nor is any truncate"),
    ],
)
def test_what_works_within_limits_is_no_fault(change, said):
    titles, words = found(replace(PREPARED, **change))
    assert titles == set()
    assert said in words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": '"order line"', "plain_name": "order line"}, '"order line": left out'),
        ({"kind": "unlogged"}, "orders: unlogged"),
        ({"kind": "foreign"}, "orders: foreign tables: not captured"),
        ({"kind": "partitioned"}, "captured as its partitions"),
        ({"has_children": True}, "rows of tables that inherit"),
        ({"has_key": False}, "orders: without a primary key"),
        ({"has_virtual": True, "replica_identity": "d"}, "so REPLICA IDENTITY DEFAULT"),
        ({"replica_identity": "d", "is_owned": False}, "postgres may not alter them"),
        ({"has_row_security": True}, "alter role debezium bypassrls"),
    ],
)
def test_table_that_is_captured_within_limits_is_named(change, said):
    titles, words = found(PREPARED, ORDERS, replace(ORDERS, **change))
    assert titles == set()
    assert said in words


def test_generated_columns_are_told_where_there_are_some_and_none_is_captured():
    old = replace(PREPARED, version="17.2", version_number=170002)
    words = "orders: generated columns are not captured before PostgreSQL 18"
    assert words in found(old, replace(ORDERS, has_stored=True))[1]
    assert words not in found(old)[1]
    assert words not in found(PREPARED, replace(ORDERS, has_stored=True))[1]


def test_partitioned_table_is_one_where_the_setting_says_so():
    root = SETTINGS.model_copy(update={"partitions": "root"})
    parent = replace(ORDERS, name="visits", kind="partitioned")
    _, words = found(PREPARED, ORDERS, parent, settings=root)
    assert "visits: partitioned, captured by its own name" in words


def test_role_that_is_there_before_any_preparation_is_somebody_else_s():
    titles, words = found(replace(PREPARED, roles=["monitor"], has_cdc=False))
    assert {"roles", "schema cdc"} <= titles
    assert "monitor: there, though this database was never prepared" in words


def test_plain_login_and_tables_without_old_values_before_the_preparation():
    bare = replace(
        PREPARED, roles=[], has_cdc=False, is_published=False, is_superuser=False, login="app"
    )
    titles, words = found(bare, replace(ORDERS, replica_identity="d", is_owned=False))
    assert titles == {"roles", "schema cdc", "publication", "old values"}
    assert "app is no superuser" in words
    assert "app may not alter them" in words


def test_database_without_tables_may_be_the_wrong_one():
    findings = diagnose(Source(server=PREPARED), SETTINGS)
    assert "Is it the right database?" in {one.remedy for one in findings}


def test_long_list_of_tables_is_cut():
    tables = [replace(ORDERS, name=f"t{n}", plain_name=f"t{n}", has_key=False) for n in range(10)]
    _, words = found(PREPARED, *tables)
    assert "t7 and 2 more: without" in words


@pytest.mark.parametrize(
    ("version", "is_published", "said", "unsaid"),
    [
        (180004, False, "publish_generated_columns = stored", "alter publication"),
        (150018, True, 'alter publication "dbz_shop" set tables', "publish_generated_columns"),
    ],
)
def test_script_has_no_password_and_fits_the_server(version, is_published, said, unsaid):
    server = replace(PREPARED, version_number=version, is_published=is_published)
    script = sql_for_administrator(Source(server=server), SETTINGS)
    assert "\\getenv debezium OLTP_DEBEZIUM_PASSWORD" in script
    assert "alter role \"debezium\" password :'debezium'" in script
    assert 'grant connect on database "eshop" to "debezium", "monitor"' in script
    assert script.index("begin;") < script.index("create schema") < script.index("commit;")
    assert said in script
    assert unsaid not in script


def test_table_that_the_publication_leaves_out_is_told_and_no_fault():
    by_table = replace(PREPARED, is_by_table=True, has_event_trigger=False)
    later = Table(name="later", plain_name="later", is_included=False, replica_identity="d")
    titles, words = found(by_table, ORDERS, later)
    assert titles == set()
    assert "later: not in the publication" in words
    assert "later: not REPLICA IDENTITY FULL" not in words


def test_what_the_owner_of_tables_cannot_do_is_not_in_his_script():
    server = replace(PREPARED, roles=["debezium"], has_cdc=False, is_published=False)
    script = sql_for_administrator(Source(server=server), SETTINGS, Extent.OWNED)
    assert "For the owner of the tables" in script
    assert "event trigger cdc" not in script
    assert "tables in schema" not in script
    assert ":'debezium'" not in script, "its password is not his to change"
    assert ":'extract'" in script

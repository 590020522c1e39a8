"""A database that was not made for this: `source check` and `source remove`, on one Postgres."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import orjson
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from cli.__main__ import app
from connectors.captured import read_captured
from connectors.partitions import snapshot_config
from connectors.readers import read_hidden
from connectors.slot import drop_slot, make_slot, read_slot
from connectors.source import Extent
from devtools.test_stack import free_ports
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.secrets import Secrets
from lakehouse.settings import ConnectSettings, OltpSettings, StackSettings
from stack.doctor.readers import CHECKS as READER_CHECKS
from stack.doctor.shop import CHECKS as SHOP_CHECKS
from stack.elsewhere import Elsewhere, is_elsewhere
from stack.paths import Cache, StackConfig
from stack.postgres.roles import SOURCE_ROLES, add_database
from stack.service_user import find_service_user
from stack.source.change import apply, remove, sql_for_administrator
from stack.source.check import diagnose, read_source

pytestmark = pytest.mark.integration

SETTINGS = ConnectSettings()
TABLES = """
create table "order line" (id uuid primary key, amount numeric, doubled numeric
    generated always as (amount * 2) stored);
create table customer (id text primary key, name text);
create table keyless (a integer);
create unlogged table cache (id integer primary key);
create table visit (d date primary key) partition by range (d);
create table visit_2026 partition of visit for values from ('2026-01-01') to ('2027-01-01');
create table hidden (id integer primary key);
alter table hidden enable row level security;
create schema sales;
create table sales.invoice (id integer primary key);
create table sales.month (d date) partition by range (d);
create table sales.month_1 partition of sales.month default;
create schema empty;
create view names as select name from customer;
"""


def own_programs():
    return Cache(root=StackSettings().cache_dir).postgres_programs


@contextmanager
def running(programs, folder):
    """A Postgres as it is installed, but for what only a restart changes."""
    user, port = find_service_user("nobody"), free_ports(1)[0]
    for path in (folder, *folder.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    work = user.make_private_dir(folder / "own")
    run = {"env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, "cwd": work}
    initdb = [programs / "initdb", "-D", work / "d", "-U", "postgres", "-A", "trust"]
    user.run([*initdb, "--no-sync"], **run)
    options = f"-h 127.0.0.1 -p {port} -k '' -c fsync=off -c wal_level=logical"
    control = [programs / "pg_ctl", "-D", work / "d", "-s", "-l", work / "log"]
    user.run([*control, "-o", options, "start"], **run)
    try:
        yield SimpleNamespace(url=f"postgresql://postgres@127.0.0.1:{port}", programs=programs)
    finally:
        user.run([*control, "-m", "immediate", "stop"], **run)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(own_programs(), tmp_path_factory.mktemp("source")) as server:
        yield server


@pytest.fixture(params=["UTF8", "SQL_ASCII"])
def source(server, request):
    """A database with tables, of an encoding; none of the roles that prepare it is there."""
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        options = f"encoding '{request.param}' locale 'C' template template0"
        connection.execute(f"create database foreign_shop {options}")
    url = f"{server.url}/foreign_shop"
    with psycopg.connect(url) as connection:
        connection.execute(TABLES)
    yield url
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute("drop database foreign_shop with (force)")
        for role in (*SOURCE_ROLES, "app"):
            connection.execute(f"drop role if exists {role}")


def dumped(server, url):
    """All of the database and of the roles, but for passwords."""
    programs = (
        [server.programs / "pg_dump", url],
        [server.programs / "pg_dumpall", "--globals-only", "--no-role-passwords", "-d", url],
    )
    found = [
        subprocess.run(one, capture_output=True, check=True, text=True).stdout for one in programs
    ]
    # Each dump has its own key for \\restrict.
    return [line for text in found for line in text.splitlines() if "restrict" not in line]


def wrong(url):
    found = diagnose(read_source(url, SETTINGS), SETTINGS)
    return {one.title for one in found if one.verdict == "wrong"}


def noted(url):
    found = diagnose(read_source(url, SETTINGS), SETTINGS)
    return " ".join(one.words for one in found if one.verdict == "note")


def prepare(url, tmp_path, extent=Extent.SCHEMA):
    secrets = Secrets(tmp_path / "secrets.json").complete()
    apply(url, read_source(url, SETTINGS), SETTINGS, secrets, extent)
    return secrets


def test_check_tells_what_is_missing_and_writes_nothing(server, source):
    before = dumped(server, source)
    assert wrong(source) == {"roles", "schema cdc", "publication", "old values"}
    notes = noted(source)
    for name in (
        '"order line": left out', "cache: unlogged", "visit: partitioned", "keyless: without",
        "hidden: row-level",
    ):  # fmt: skip
        assert name in notes
    assert dumped(server, source) == before


def test_prepared_database_lacks_nothing_and_its_roles_can_capture(source, tmp_path):
    secrets = prepare(source, tmp_path)
    assert wrong(source) == set()
    prepare(source, tmp_path)  # once more is once
    with psycopg.connect(source, user="debezium", password=secrets["oltp_debezium"]) as connection:
        connection.execute("select * from customer; insert into cdc.heartbeat values ('a')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update customer set name = ''")
    with psycopg.connect(source) as connection:
        connection.execute("create table later (id integer primary key)")
    assert wrong(source) == set(), "a table that came later is prepared, too"


def test_script_for_the_administrator_does_the_same(server, source, tmp_path):
    plain = dumped(server, source)
    script = sql_for_administrator(read_source(source, SETTINGS), SETTINGS)
    prepare(source, tmp_path)
    applied = dumped(server, source)
    remove(source, SETTINGS)
    (tmp_path / "script.sql").write_text(script)
    passwords = {f"OLTP_{role.upper()}_PASSWORD": "it's" for role in SOURCE_ROLES}
    psql = [server.programs / "psql", source, "-X", "--file", tmp_path / "script.sql"]
    subprocess.run(psql, check=True, capture_output=True, env={**os.environ, **passwords})
    assert dumped(server, source) == applied != plain


def test_removed_preparation_leaves_the_database_as_it_was(server, source, tmp_path):
    before = dumped(server, source)
    prepare(source, tmp_path)
    with psycopg.connect(source) as connection:
        connection.execute("select pg_create_logical_replication_slot('dbz_shop', 'pgoutput')")
    assert len(remove(source, SETTINGS)) == 4
    assert dumped(server, source) == before
    assert "dbz_shop is there" not in str(diagnose(read_source(source, SETTINGS), SETTINGS))
    with pytest.raises(StopPipelineError, match="never prepared"):
        remove(source, SETTINGS)


def test_role_of_somebody_else_keeps_its_password(server, source, tmp_path):
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute("create role monitor login")
        before = dumped(server, source)
        assert "roles" in wrong(source)
        with pytest.raises(StopPipelineError, match="roles named monitor, and this database was"):
            prepare(source, tmp_path)
        assert dumped(server, source) == before


@pytest.mark.parametrize(
    ("make", "undo"),
    [
        ("create table kept (a integer); grant select on kept to monitor", "drop table kept"),
        ("grant connect on database postgres to monitor",
         "revoke connect on database postgres from monitor"),
    ],
)  # fmt: skip
def test_role_that_another_database_uses_stays(server, source, tmp_path, make, undo):
    prepare(source, tmp_path)
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute(make)
        before = dumped(server, f"{server.url}/postgres")
        assert "roles debezium, extract, reconcile" in remove(source, SETTINGS)
        kept = [line for line in before if "debezium" not in line]
        after = dumped(server, f"{server.url}/postgres")
        assert [line for line in after if "monitor" in line] == [
            line for line in kept if "monitor" in line
        ]
        connection.execute(f"{undo}; drop role monitor")


def test_what_is_not_ours_is_not_removed(server, source, tmp_path):
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(
            "create role monitor; create schema cdc; create table cdc.signal (a integer);"
            "create table valuable (a integer); alter table valuable owner to monitor"
        )
        before = dumped(server, source)
        with pytest.raises(StopPipelineError, match="never prepared"):
            remove(source, SETTINGS)
        assert dumped(server, source) == before
        connection.execute("drop schema cdc cascade; drop table valuable; drop role monitor")
    prepare(source, tmp_path)
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(
            "create table valuable (a integer); alter table valuable owner to extract"
        )
        assert "roles debezium, monitor, reconcile" in remove(source, SETTINGS)
        assert connection.execute("select count(*) from valuable").fetchone() == (0,)
        connection.execute("drop table valuable")


@pytest.mark.parametrize("change", [prepare, lambda url, _: remove(url, SETTINGS)])
def test_table_that_is_in_use_is_not_waited_for_and_nothing_is_half_done(
    server, source, tmp_path, change
):
    if change is not prepare:
        prepare(source, tmp_path)
    before = dumped(server, source)
    with psycopg.connect(source) as connection:
        connection.execute("select * from customer")
        connection.execute("lock table customer in access share mode")
        with pytest.raises(RetryLaterError, match="Try again"):
            change(source, tmp_path)
    assert dumped(server, source) == before
    change(source, tmp_path)


def test_slot_of_another_database_is_not_ours(server, source, tmp_path):
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute("select pg_create_logical_replication_slot('dbz_shop', 'pgoutput')")
        try:
            prepare(source, tmp_path)
            assert wrong(source) == {"slots"}
            assert "slot dbz_shop" not in remove(source, SETTINGS)
        finally:
            connection.execute("select pg_drop_replication_slot('dbz_shop')")


@pytest.fixture
def owner(source):
    """The URL of a login without superuser that owns all tables but one, as managed ones have."""
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(
            "create role app login createrole replication; grant create on schema public to app;"
            "grant create on database foreign_shop to app; alter table customer owner to app;"
            'alter table keyless owner to app; alter table "order line" owner to app;'
            "alter table visit owner to app; alter table visit_2026 owner to app;"
        )
    return source.replace("postgres@", "app@")


def published(url):
    query = "select tablename from pg_publication_tables where schemaname = 'public'"
    with psycopg.connect(url, client_encoding="utf8") as connection:
        return {name for (name,) in connection.execute(query)}


def test_owner_of_tables_prepares_what_is_his_and_is_told_the_limits(source, owner, tmp_path):
    with pytest.raises(StopPipelineError, match=r"does not allow it.*take a superuser.*--owned"):
        prepare(owner, tmp_path)
    secrets = prepare(owner, tmp_path, Extent.OWNED)
    assert wrong(owner) == set()
    assert published(source) == {"customer", "keyless", "visit_2026"}
    for said in ("nor is any truncate", "hidden: not in the publication"):
        assert said in noted(owner)
    with psycopg.connect(owner) as connection:
        connection.execute("create table later (id integer primary key)")
        connection.execute("update keyless set a = 1; delete from customer")
    assert "later" not in published(source)
    prepare(owner, tmp_path, Extent.OWNED)
    assert "later" in published(source)
    dsn = {"user": "debezium", "password": secrets["oltp_debezium"]}
    with psycopg.connect(source, **dsn, autocommit=True) as connection:
        connection.execute("select * from later; insert into cdc.heartbeat values ('a')")
    prepare(source, tmp_path)  # a superuser, later, captures the whole schema
    assert "hidden" in published(source)
    assert wrong(source) == set()
    with psycopg.connect(source, client_encoding="utf8") as connection:
        # What the superuser's functions call must be nobody's to replace.
        assert set(connection.execute(OWNERS)) == {("postgres",)}


OWNERS = """
select r.rolname::text
from (
    select p.proowner as owner from pg_proc as p where p.pronamespace = 'cdc'::regnamespace
    union all
    select c.relowner from pg_class as c where c.relnamespace = 'cdc'::regnamespace
    union all
    select n.nspowner from pg_namespace as n where n.nspname = 'cdc'
) as x
inner join pg_roles as r on x.owner = r.oid"""


def test_tables_keep_their_identity_and_no_update_is_refused(server, source, owner, tmp_path):
    with psycopg.connect(owner) as connection:
        connection.execute(
            "create table virtual (id int primary key, twice int generated always as (id * 2));"
            "alter table virtual replica identity full; insert into virtual values (1)"
        )
    prepare(owner, tmp_path, Extent.OWNED_AS_THEY_ARE)
    assert published(source) == {"customer", "visit_2026"}
    with psycopg.connect(owner) as connection:
        connection.execute("update virtual set id = 2")
        connection.execute("insert into keyless values (1); update keyless set a = 2")
        connection.execute("insert into customer values (1, 'a'); update customer set name = 'b'")
    assert "customer" in noted(owner)
    assert "not REPLICA IDENTITY FULL" in noted(owner)


def test_owner_takes_away_what_he_has_prepared(server, source, owner, tmp_path):
    before = dumped(server, source)
    prepare(owner, tmp_path, Extent.OWNED)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("select pg_create_logical_replication_slot('dbz_shop', 'pgoutput')")
    assert len(remove(owner, SETTINGS)) == 4
    assert dumped(server, source) == before


def test_script_for_the_owner_does_the_same(server, source, owner, tmp_path):
    script = sql_for_administrator(read_source(owner, SETTINGS), SETTINGS, Extent.OWNED)
    prepare(owner, tmp_path, Extent.OWNED)
    applied = dumped(server, source)
    remove(owner, SETTINGS)
    (tmp_path / "script.sql").write_text(script)
    passwords = {f"OLTP_{role.upper()}_PASSWORD": "it's" for role in SOURCE_ROLES}
    psql = [server.programs / "psql", owner, "-X", "--file", tmp_path / "script.sql"]
    subprocess.run(psql, check=True, capture_output=True, env={**os.environ, **passwords})
    assert dumped(server, source) == applied


def test_roles_that_somebody_else_made_keep_their_passwords(source, owner, tmp_path):
    with psycopg.connect(source, autocommit=True) as connection:
        for role in SOURCE_ROLES:
            connection.execute(f"create role {role} login password 'given'")
        passwords = "select rolpassword from pg_authid where rolname = any(%s) order by rolname"
        given = connection.execute(passwords, [list(SOURCE_ROLES)]).fetchall()
        assert "roles" in wrong(owner)
        prepare(owner, tmp_path, Extent.OWNED)
        assert wrong(owner) == {"roles"}, "debezium may not replicate"
        connection.execute("create role rds_replication; grant rds_replication to debezium")
        assert wrong(owner) == set()
        connection.execute("drop role rds_replication")
        assert connection.execute(passwords, [list(SOURCE_ROLES)]).fetchall() == given


INSTALLED = [None, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]


def assert_extraction_selects(url):
    """All columns where generated ones are streamed; before PostgreSQL 18 those that are."""
    with psycopg.connect(url) as connection:
        is_streamed = connection.info.server_version >= 180_000
    config = snapshot_config(url, SETTINGS)
    assert "snapshot.include.collection.list" in config
    assert ("column.exclude.list" in config) is not is_streamed


def assert_age_of_publication_is_known(url):
    """Of one that lists tables, and of one for all, of which the catalog has one row."""
    for_all = f"create publication {SETTINGS.publication_name} for all tables"
    assert not read_slot(url, "dbz_shop").precedes_publication
    with psycopg.connect(url) as connection:
        connection.execute(f"alter publication {SETTINGS.publication_name} rename to listed")
        connection.execute(for_all)
    assert read_slot(url, "dbz_shop").precedes_publication
    drop_slot(url, "dbz_shop")
    make_slot(url, "dbz_shop")
    assert not read_slot(url, "dbz_shop").precedes_publication
    with psycopg.connect(url) as connection:
        connection.execute(f"drop publication {SETTINGS.publication_name}")
        connection.execute(f"alter publication listed rename to {SETTINGS.publication_name}")
    assert not read_slot(url, "dbz_shop").precedes_publication


def assert_database_of_a_program_holds_each_text(url):
    """The server is in SQL_ASCII, as initdb leaves it without a locale."""
    add_database(url, "airflow", password="")
    with psycopg.connect(url, dbname="airflow") as connection:
        row = connection.execute("select lower('Ä'), current_setting('server_encoding')").fetchone()
        is_known = connection.info.server_version >= 170_000
    assert row == ("ä" if is_known else "Ä", "UTF8")


@pytest.mark.parametrize("programs", INSTALLED, ids=lambda p: p.parent.name if p else "own")
def test_all_that_reads_a_shop_runs_on_each_version(programs, tmp_path, tmp_path_factory):
    """PostgreSQL 15 to 17 lack columns of the catalog that 18 has."""
    with running(programs or own_programs(), tmp_path_factory.mktemp("version")) as server:
        url = f"{server.url}/postgres?client_encoding=utf8"
        with psycopg.connect(url) as connection:
            connection.execute(TABLES)
        prepare(url, tmp_path)
        make_slot(url, "dbz_shop")
        assert read_slot(url, "dbz_shop").wal_status == "reserved"
        assert_age_of_publication_is_known(url)
        assert "visit_2026" in read_captured(url)
        with psycopg.connect(url) as connection:
            assert {hidden.table for hidden in read_hidden(connection)} == {"hidden"}
        assert_extraction_selects(url)
        assert_database_of_a_program_holds_each_text(url)
        measured = SimpleNamespace(
            oltp=lambda _role: url,
            config=StackConfig(connect=SETTINGS, oltp=OltpSettings(host="192.0.2.1")),
        )
        found = {}
        for check in (*SHOP_CHECKS, *READER_CHECKS):
            if "minio" not in check.needs:
                found[check.title] = {said.verdict.value for said in check.run(measured)}
        assert "wrong" not in set().union(*(found[t] for t in ("publication", "truncates")))


def test_shop_elsewhere_is_told_what_it_lacks_until_it_is_prepared(source, tmp_path):
    """As one on this machine, which is asked like any other."""
    secrets = Secrets(tmp_path / "secrets.json").complete()
    asked = conninfo_to_dict(source)
    config = StackConfig(
        stack=StackSettings(data_dir=tmp_path),
        oltp=OltpSettings(host=asked["host"], port=asked["port"], database=asked["dbname"]),
        connect=SETTINGS,
    )
    assert is_elsewhere("oltp", config)
    servers = Elsewhere(config, secrets)
    refused = servers.problem("oltp")
    assert "does not exist" in refused or "authentication failed" in refused
    assert refused.action.startswith("./pipeline source check URL --apply makes its roles")
    assert servers.remarks("oltp") == [refused]
    prepare(source, tmp_path)
    assert servers.problem("oltp") is None
    [others] = servers.remarks("oltp")
    assert others.startswith("sales (2 tables): not captured")
    with psycopg.connect(source) as connection:
        connection.execute("drop publication dbz_shop; drop schema sales cascade")
    [lack] = servers.remarks("oltp")
    assert lack.startswith("something is missing: dbz_shop does not exist. ./pipeline source check")
    assert servers.problem("oltp") is None


def test_command_fails_while_something_is_missing(source):
    run = CliRunner().invoke(app, ["source", "check", source, "--format", "json"])
    assert run.exit_code == 1
    assert {"fine", "wrong", "note"} == {one["verdict"] for one in orjson.loads(run.stdout)}

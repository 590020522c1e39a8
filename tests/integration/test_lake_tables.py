"""The lake on a real store: written by delta-rs, read by DuckDB, kept in order, looked at."""

import csv
import io
import json
import re
import subprocess
import uuid

import polars as pl
import pyarrow as pa
import pytest

from batch.catalogue import LakeTable, lake_metrics, lake_tables
from batch.lake_sql import LakeSql, QueryError, connect
from batch.maintenance import Limits, gold_needs, maintain_tables
from benchmarks.peer_environment import peer_environment
from lakehouse.lake import Lake
from lakehouse.offsets import kafka_app_id
from lakehouse.secrets import ROLES
from lakehouse.settings import ROOT
from tests.second_reader import (
    ReadersDisagreeError,
    Reading,
    assert_second_reader_agrees,
    differences,
    read_by_duckdb,
    read_by_polars,
    read_relation,
)
from tests.stacks import tenant
from tests.unit.lake_shop import (
    TOPIC,
    add,
    land,
    make_gold,
    merge,
    opened,
    silver,
    silver_rows,
)

pytestmark = pytest.mark.integration
SALES = LakeTable(layer="silver", name="cleaned_sales")


@pytest.fixture(scope="module")
def store():
    """The object store alone: these tests need nothing else."""
    with tenant() as stack:
        stack.up("minio")
        yield stack.with_settings(WAREHOUSE_PORT=1)  # nobody listens there


@pytest.fixture(scope="module")
def lake(store):
    """Bronze, silver with updates and deletes, and gold; written by a user that may write all."""
    lake = Lake.of(store.minio, store.secrets, user="admin")
    land(lake, 0, 49)
    land(lake, 0, 9, partition=1)
    for n in range(4):
        add(lake, silver_rows(range(n * 9, n * 9 + 9)), read_to=n * 9 + 8)
    merge(lake, silver_rows([1, 2, 40], cents=250), read_to=40)
    merge(lake, silver_rows([3, 4], deleted=[3, 4]), read_to=42)
    make_gold(lake, 4)
    return lake


@pytest.fixture
def reader(store, lake):
    return Lake.of(store.minio, store.secrets, user="reader")


def uris(lake):
    return [lake.uri(table.layer, table.name) for table in lake_tables(lake)]


def land_more(lake, count):
    """Whatever other tests have landed before."""
    last = opened(lake, "bronze", "raw_sales").transaction_version(kafka_app_id(TOPIC, 0))
    land(lake, last + 1, last + count)


def by_duckdb(lake, silver_table, version):
    with connect(lake.options, memory_mb=256) as second:
        return read_by_duckdb(second, lake.uri("silver", silver_table), version)


def ask(lake, query):
    return list(LakeSql(lake, memory_mb=256).ask(query).rows())


def test_second_implementation_reads_the_same_from_every_table(reader):
    assert len(uris(reader)) >= 3
    assert_second_reader_agrees(reader.options, uris(reader))


def test_second_implementation_reads_the_same_after_maintenance(lake, reader):
    name = f"t{uuid.uuid4().hex}"
    table = silver(lake, name)
    for n in range(3):
        pl.DataFrame(silver_rows(range(n * 9, n * 9 + 9))).write_delta(table, mode="append")
    before = read_by_polars(opened(lake, "silver", name))
    limits = {"silver": Limits(lake=lake, retention_hours=0)}
    (done,) = maintain_tables([LakeTable(layer="silver", name=name)], limits, [])
    assert (done.files_before, done.files_after, done.vacuumed_files) == (9, 3, 9)
    assert_second_reader_agrees(reader.options, [reader.uri("silver", name)])
    table = opened(lake, "silver", name)
    assert read_by_polars(table) == before
    assert by_duckdb(reader, name, table.version()).rows == 27


@pytest.fixture
def exported(store, lake, tmp_path):
    """The files of `catalog export`, by name."""
    told = store.run("catalog", "export", tmp_path).stdout
    assert "trino.sql" in told
    files = {file.name: file.read_text() for file in tmp_path.iterdir()}
    secrets = [store.secrets[role] for role in ROLES]
    assert not any(secret in text for text in files.values() for secret in secrets)
    return files


def read_by_names(lake, read, reader_name):
    """Each table of the lake, read by its name alone, equals what Polars reads from its address."""
    tables = lake_tables(lake)
    assert {table.layer for table in tables} == {"bronze", "silver", "gold"}
    for table in tables:
        ours = read_by_polars(opened(lake, table.layer, table.name))
        assert not list(differences(ours, read(str(table)), str(table), reader_name))


def test_duckdb_finds_each_table_by_the_export_alone_in_a_foreign_time_zone(
    store, reader, exported
):
    with connect({}, memory_mb=512) as second:
        second.execute("set timezone = 'Pacific/Apia'")
        second.execute("set variable lake_key_id = 'reader'")
        second.execute(f"set variable lake_secret = '{store.secrets['minio_reader']}'")
        second.execute(exported["duckdb.sql"])
        read_by_names(reader, lambda name: read_relation(second, name), "DuckDB")


@pytest.mark.long
def test_spark_finds_each_table_by_the_export_alone_in_a_foreign_time_zone(
    store, reader, exported, tmp_path
):
    """In the environment of `bench peers`, which has Spark with Delta and S3; on Java 17 or 21."""
    text = exported["spark.sql"]
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    told = dict(re.findall(r"^--   (spark\.\S+) (\S+)$", text, re.MULTILINE))
    spark = peer_environment(store.control.cache, "spark")
    settings = told | {
        "spark.jars": ",".join(map(str, sorted((spark / "jars").glob("*.jar")))),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "Pacific/Apia",
        "spark.sql.warehouse.dir": str(tmp_path / "warehouse"),
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.access.key": "reader",
        "spark.hadoop.fs.s3a.secret.key": store.secrets["minio_reader"],
    }
    names = [str(table) for table in lake_tables(reader)]
    statements = [line.removesuffix(";") for line in lines]
    task = {"settings": settings, "statements": statements, "tables": names}
    command = [spark / "bin" / "python", ROOT / "tests" / "spark_reader.py"]
    result = subprocess.run(
        command, input=json.dumps(task), capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads(result.stdout)
    read_by_names(reader, lambda name: Reading(**found[name]), "Spark")


def test_second_reader_tells_what_differs(reader, monkeypatch):
    table = opened(reader, "silver", "cleaned_sales")
    stale = by_duckdb(reader, "cleaned_sales", 1)
    monkeypatch.setattr("tests.second_reader.read_by_duckdb", lambda *_: stale)
    with pytest.raises(ReadersDisagreeError) as raised:
        assert_second_reader_agrees(reader.options, [reader.uri("silver", "cleaned_sales")])
    told = str(raised.value)
    assert "37 rows by Polars, 9 by DuckDB" in told
    assert "sum of total_cents" in told
    assert "nulls of _deleted_at" in told
    assert f"version {table.version()}" in told


def test_maintenance_keeps_a_pinned_reader_and_a_needed_feed(lake, reader):
    pinned = opened(reader, "silver", "cleaned_sales", version=4)
    expected = pl.scan_delta(pinned).sort("order_id").collect()
    limits = {"silver": Limits(lake=lake, retention_hours=0)}
    (done,) = maintain_tables([SALES], limits, gold_needs(lake))
    assert done.files_after < done.files_before
    assert done.kept == ("gold.sales_kpi has read up to version 4: later ones are kept",)
    assert pl.scan_delta(pinned).sort("order_id").collect().equals(expected)
    feed = opened(reader, "silver", "cleaned_sales").load_cdf(starting_version=5)
    changes = pl.DataFrame(pa.table(feed.read_all()))
    assert changes.group_by("_change_type").len().sort("_change_type").rows() == [
        ("insert", 1),
        ("update_postimage", 4),
        ("update_preimage", 4),
    ]


def test_lander_continues_beside_maintenance(lake):
    bronze = LakeTable(layer="bronze", name="raw_sales")
    before = opened(lake, "bronze", "raw_sales")
    limits = {"bronze": Limits(lake=lake, retention_hours=1)}
    list(maintain_tables([bronze], limits, []))
    rows = before.to_pyarrow_table().num_rows
    land_more(lake, 10)
    assert opened(lake, "bronze", "raw_sales").to_pyarrow_table().num_rows == rows + 10


def test_metrics_say_how_far_each_layer_is(reader):
    found = {str(one.table): one for one in lake_metrics(reader)}
    bronze, current, gold = (
        found[name] for name in ("bronze.raw_sales", "silver.cleaned_sales", "gold.sales_kpi")
    )
    ends = {p.partition: last for p, last in bronze.offsets.items()}
    assert ends[1] == 9
    assert bronze.position == ends[0] + 1 + 10
    assert bronze.rows == bronze.position
    assert current.rows == 37
    assert current.behind.count == (ends[0] - 42) + 10
    assert gold.behind.count == 2
    assert list(gold.versions) == ["cleaned_sales"]
    assert current.newest_at < gold.newest_at


def test_metrics_of_one_layer_are_the_same_as_those_of_all(reader):
    alone = lake_metrics(reader, ["gold"])
    assert alone == [one for one in lake_metrics(reader) if one.table.layer == "gold"]


def test_deleted_rows_are_left_out_unless_asked_for(reader):
    assert ask(reader, "select count(*) from silver.cleaned_sales") == [(35,)]
    assert ask(reader, 'select count(*) from silver."cleaned_sales$all"') == [(37,)]
    deleted = ask(reader, "from silver.cleaned_sales$all select order_id where _deleted_at notnull")
    assert sorted(deleted) == [(3,), (4,)]


def test_bytes_are_text_whatever_they_are(reader):
    values = ask(reader, "select value from raw_sales where _offset < 2 order by all limit 3")
    assert ("\\xFF\\x00",) in values
    assert ask(reader, "select value->>'$.n' from raw_sales where _offset = 5 limit 1") == [("é5",)]


def test_query_sees_one_version_of_a_table(lake, reader):
    sql = LakeSql(reader, memory_mb=256)
    first = list(sql.ask("select count(*) from bronze.raw_sales").rows())
    land_more(lake, 1)
    assert list(sql.ask("select count(*) from bronze.raw_sales").rows()) == first
    assert ask(reader, "select count(*) from bronze.raw_sales") == [(first[0][0] + 1,)]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        pytest.param("from bronze.sales", "Did you mean bronze.raw_sales", id="without-raw"),
        pytest.param("from silver.cleaned_sale", "Did you mean silver.cleaned_sales", id="typo"),
        pytest.param("from nowhere", "bronze.raw_sales", id="no such table"),
        pytest.param("select from from", "syntax error", id="no SQL"),
        pytest.param("select no_column from raw_sales", "no_column", id="no such column"),
        pytest.param("select 1; select 2", "Only one query at a time", id="two queries"),
        pytest.param("create table t (a int)", "Only select", id="a write"),
        pytest.param("delete from silver.cleaned_sales", "Only select", id="a delete"),
        pytest.param("copy (select 1) to '/tmp/t.csv'", "Only select", id="a file written"),
        pytest.param("from read_text('/etc/passwd')", "disabled", id="a file read"),
        pytest.param("select value::int from raw_sales", "Could not convert", id="a wrong cast"),
    ],
)
def test_query_that_cannot_be_run_says_why(reader, query, told):
    with pytest.raises(QueryError, match=told):
        ask(reader, query)


def run(store, *arguments, status=0):
    done = store.run(*arguments, check=False)
    assert done.returncode == status, done.stderr
    return done


def test_command_prints_json_alone_and_csv_alone(store, lake):
    query = "select order_id, total_cents, _committed_at from cleaned_sales order by 1"
    found = json.loads(run(store, "query", query, "--format", "json", "--limit", 2).stdout)
    assert found == [
        {"order_id": 0, "total_cents": 100, "_committed_at": "2026-11-24 12:00:00+00:00"},
        {"order_id": 1, "total_cents": 250, "_committed_at": "2026-11-24 12:00:01+00:00"},
    ]
    lines = list(csv.reader(io.StringIO(run(store, "query", query, "--format", "csv").stdout)))
    assert len(lines) == 36
    assert lines[0] == ["order_id", "total_cents", "_committed_at"]


def test_command_shows_a_hundred_rows_and_says_so(store, lake):
    query = "select * from range(1000)"
    shown = run(store, "query", query).stdout
    assert len([line for line in shown.splitlines() if line.strip().isdigit()]) == 100
    assert "The first 100 rows" in shown
    assert len(json.loads(run(store, "query", query, "--format", "json").stdout)) == 1000


def test_command_with_a_wrong_name_fails_with_what_there_is(store, lake):
    done = run(store, "query", "from silver.nothing", status=1)
    assert done.stdout == ""
    assert "silver.cleaned_sales" in done.stderr


def test_command_ends_quietly_when_its_reader_has_enough(store, lake):
    import subprocess

    command = store.fork(
        "query", "from range(1000000)", "--format", "csv",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert command.stdout.readline() == "range\n"
    command.stdout.close()
    told = command.stderr.read()
    command.stderr.close()
    assert (command.wait(timeout=60), told.replace("reading", "").strip()) == (0, "")


def test_tables_command_lists_every_layer_and_misses_the_warehouse(store, lake):
    done = run(store, "tables", "--format", "json")
    layers = {row["layer"] for row in json.loads(done.stdout)}
    assert layers == {"bronze", "silver", "gold"}
    assert "the warehouse does not answer" in done.stderr
    shown = run(store, "tables", "--layer", "silver").stdout
    assert "cleaned_sales" in shown
    assert "raw_sales" not in shown


def test_maintain_command_deletes_nothing_of_silver_without_the_warehouse(store, lake):
    name = f"t{uuid.uuid4().hex}"
    pl.DataFrame(silver_rows([1, 4])).write_delta(silver(lake, name), mode="append")
    done = run(store, "maintain", "--layer", "silver", "--table", name, "--format", "json")
    assert "Nothing of silver is deleted" in done.stderr
    (row,) = json.loads(done.stdout)
    assert row["kept"] == ["nothing deleted: the needs of its readers are unknown"]
    assert row["vacuumed_files"] == 0


def test_maintain_command_may_write_each_layer(store, lake):
    found = json.loads(
        run(store, "maintain", "--table", "bronze.raw_sales", "--table", "gold.sales_kpi",
            "--retention-hours", 1, "--format", "json").stdout
    )  # fmt: skip
    assert {row["table"] for row in found} == {"raw_sales", "sales_kpi"}
    assert all(row["kept"] == [] for row in found)


def test_maintain_command_refuses_a_table_that_is_not_there(store, lake):
    done = run(store, "maintain", "--table", "raw_nothing", status=2)
    assert "There is no table 'raw_nothing'" in done.stderr


def test_command_that_finds_no_store_says_so(store):
    away = store.with_settings(MINIO_PORT=1)
    done = run(away, "tables", "--layer", "gold", status=1)
    assert "the object store does not answer" in done.stderr
    assert "\x1b" not in done.stderr

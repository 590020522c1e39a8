"""What other engines are told of the lake: every table, by name, and no secret."""

import json
import re
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from batch.catalogue.engines import exported_tables, files_for_engines
from batch.lake_sql import connect
from lakehouse.environment import environment_of
from lakehouse.settings import MinioSettings
from tests.second_reader import differences, read_by_polars, read_relation
from tests.unit.lake_shop import add, lake_in, land, make_gold, opened, silver_rows

STORE = MinioSettings(host="s3.example", port=9000, scheme="https", region="eu-west-3")
NAMES = ["bronze.raw_sales", "silver.cleaned_sales", "gold.sales_kpi"]


@pytest.fixture
def lake(tmp_path):
    found = lake_in(tmp_path)
    land(found, 0, 9)
    add(found, silver_rows(range(9)), read_to=8)
    make_gold(found, 1)
    return found


@pytest.fixture
def files(lake):
    tables = exported_tables(lake)
    return files_for_engines(tables, STORE)


def test_engines_are_told_to_name_buckets_as_the_store_wants_it(lake):
    virtual = STORE.model_copy(update={"addressing_style": "virtual"})
    files = files_for_engines(exported_tables(lake), virtual)
    assert "by paths only" in files["duckdb.sql"]
    assert "path.style.access false" in files["spark.sql"]
    assert "s3.path-style-access=false" in files["trino.properties"]


def test_duckdb_reads_each_table_by_its_name(lake, files):
    with connect({}, memory_mb=256) as second:
        second.execute("set timezone = 'Asia/Kathmandu'")
        second.execute("set variable lake_key_id = 'a'; set variable lake_secret = 'b'")
        second.execute(files["duckdb.sql"])
        for name in NAMES:
            ours = read_by_polars(opened(lake, *name.split(".")))
            assert ours.rows > 0
            assert not list(differences(ours, read_relation(second, name), name, "DuckDB"))
        (secret,) = second.execute("select secret_string from duckdb_secrets()").fetchone()
    assert "endpoint=s3.example:9000;key_id=a;region=eu-west-3" in secret
    assert "url_style=path;use_ssl=true" in secret


def test_spark_and_trino_are_told_where_each_table_is(lake, files):
    for name in NAMES:
        layer, table = name.split(".")
        uri = lake.uri(layer, table)
        spark = f"create table if not exists {layer}.`{table}` using delta location '{uri}';"
        assert spark in files["spark.sql"]
        assert f"table_name => '{table}', table_location => '{uri}');" in files["trino.sql"]
    assert "run it again with `trino --ignore-errors" in files["trino.sql"]
    assert "s3.endpoint=https://s3.example:9000" in files["trino.properties"]


def test_spark_names_a_bucket_as_hadoop_does(lake, files):
    (first, *_) = exported_tables(lake)
    moved = type(first)(table=first.table, uri="s3://bronze/raw_sales", fields=first.fields)
    text = files_for_engines([moved], STORE)["spark.sql"]
    assert "location 's3a://bronze/raw_sales';" in text


def test_unity_catalog_is_told_the_columns_too(lake, files):
    posted = re.findall(r"post (\w+) <<'EOF'\n(.*)\nEOF$", files["unity.sh"], re.MULTILINE)
    tables = {}
    for path, body in posted:
        if path == "tables":
            told = json.loads(body)
            tables[f"{told['schema_name']}.{told['name']}"] = told
    assert sorted(tables) == sorted(NAMES)
    columns = {one["name"]: one for one in tables["bronze.raw_sales"]["columns"]}
    kinds = {name: (one["type_name"], one["type_text"]) for name, one in columns.items()}
    assert kinds["_offset"] == ("LONG", "bigint")
    assert kinds["_timestamp"] == ("TIMESTAMP", "timestamp")
    assert kinds["_headers"] == ("ARRAY", "array<struct<key:string,value:binary>>")
    check = ["sh", "-n", "-c", files["unity.sh"]]
    assert subprocess.run(check, check=False).returncode == 0
    assert [one["position"] for one in columns.values()] == list(range(len(columns)))
    assert json.loads(columns["value"]["type_json"])["type"] == "binary"


@pytest.fixture(params=[400, 409])
def unity(request):
    """An address that answers as Unity Catalog does, and what is there by its path.

    To what exists it answers 400 or 409, by its version.
    """
    there = {}

    class Catalog(BaseHTTPRequestHandler):
        def answer(self, status):
            self.send_response(status)
            self.end_headers()

        def key(self):
            return self.path.partition("/unity-catalog/")[2]

        def do_GET(self):
            self.answer(200 if self.key() in there else 404)

        def do_DELETE(self):
            self.answer(200 if there.pop(self.key(), None) else 404)

        def do_POST(self):
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            parents = (told.get("catalog_name"), told.get("schema_name"))
            name = ".".join((*filter(None, parents), told["name"]))
            key = f"{self.key()}/{name}"
            self.answer(request.param if key in there else 200)
            there.setdefault(key, told)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Catalog) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", there
        server.shutdown()


def test_unity_catalog_is_told_again_of_tables_that_it_has(files, unity, monkeypatch):
    address, there = unity
    monkeypatch.setenv("UC_SERVER", address)
    run = ["sh", "-c", files["unity.sh"]]
    subprocess.run(run, check=True)
    paths = {"catalogs/lake"} | {f"schemas/lake.{layer}" for layer in ("bronze", "silver", "gold")}
    assert there.keys() == paths | {f"tables/lake.{name}" for name in NAMES}
    columns = there["tables/lake.silver.cleaned_sales"].pop("columns")
    subprocess.run(run, check=True)
    assert there["tables/lake.silver.cleaned_sales"]["columns"] == columns
    monkeypatch.setenv("UC_SERVER", "http://127.0.0.1:1")
    assert subprocess.run(run, check=False).returncode


def test_the_command_writes_a_file_for_each_engine(lake, tmp_path, monkeypatch):
    from cli.catalog import export

    monkeypatch.setattr("lakehouse.connections.lake_of_reader", lambda: lake)
    with environment_of({"HOME": "/nowhere"}):
        export(tmp_path / "new" / "catalog")
    written = {file.name for file in (tmp_path / "new" / "catalog").iterdir()}
    assert written == {"duckdb.sql", "spark.sql", "trino.properties", "trino.sql", "unity.sh"}

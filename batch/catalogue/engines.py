"""Statements by which other engines see the lake's tables by name, without secrets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from batch.catalogue.lake import lake_tables
from batch.catalogue.metrics import LakeTable
from lakehouse.lake import Lake
from lakehouse.layers import LAKE
from lakehouse.settings import MinioSettings

_SILVER = "Silver keeps the keys of deleted rows: _deleted_at is null selects those that exist."
_UNITY = {
    "string": "STRING",
    "long": "LONG",
    "integer": "INT",
    "short": "SHORT",
    "byte": "BYTE",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "binary": "BINARY",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamp_ntz": "TIMESTAMP_NTZ",
}
"""Unity Catalog's names of Delta's types; those with parts are in `_unity_type`."""
_NO_PATHS = "-- DuckDB (1.5) finds Delta tables by paths only, which the store may refuse."
_SQL = {"long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint"}
"""Delta's types that SQL calls otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A table, its address, and the fields of its Delta schema."""

    table: LakeTable
    uri: str
    fields: Sequence[Mapping[str, Any]]


def exported_tables(lake: Lake) -> list[Exported]:
    """Return every table of the lake.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    found = []
    for table in lake_tables(lake):
        delta = lake.open(table.layer, table.name)
        if delta is not None:
            fields = json.loads(delta.schema().to_json())["fields"]
            uri = lake.uri(table.layer, table.name)
            found.append(Exported(table=table, uri=uri, fields=fields))
    return found


def files_for_engines(tables: Sequence[Exported], store: MinioSettings) -> dict[str, str]:
    """Return the content of a file for each engine, by its name."""
    return {
        "duckdb.sql": _duckdb(tables, store),
        "spark.sql": _spark(tables, store),
        "trino.properties": _trino_catalog(store),
        "trino.sql": _trino(tables),
        "unity.sh": _unity(tables),
    }


def _duckdb(tables: Sequence[Exported], store: MinioSettings) -> str:
    server = urlsplit(store.url)
    has_tls = str(server.scheme == "https").lower()
    return _lines(
        *([_NO_PATHS] if store.addressing_style != "path" else []),
        "-- DuckDB: views on the newest version of each table. Before, in the same session:",
        "--   set variable lake_key_id = 'reader'; set variable lake_secret = '…';",
        f"-- {_SILVER}",
        "load httpfs;",
        "load delta;",
        "create or replace secret lake (",
        "  type s3, key_id getvariable('lake_key_id'), secret getvariable('lake_secret'),",
        f"  endpoint '{server.netloc}', region '{store.region}', url_style 'path', "
        f"use_ssl {has_tls}",
        ");",
        *(f"create schema if not exists {layer};" for layer in LAKE),
        *(
            f'create or replace view {one.table.layer}."{one.table.name}" as '
            f"from delta_scan('{one.uri}');"
            for one in tables
        ),
    )


def _spark(tables: Sequence[Exported], store: MinioSettings) -> str:
    return _lines(
        "-- Spark SQL with delta-spark and hadoop-aws. Its settings:",
        "--   spark.sql.extensions io.delta.sql.DeltaSparkSessionExtension",
        "--   spark.sql.catalog.spark_catalog org.apache.spark.sql.delta.catalog.DeltaCatalog",
        f"--   spark.hadoop.fs.s3a.endpoint {store.url}",
        f"--   spark.hadoop.fs.s3a.endpoint.region {store.region}",
        f"--   spark.hadoop.fs.s3a.path.style.access {_has_paths(store)}",
        "--   spark.hadoop.fs.s3a.access.key and .secret.key: of a user that only reads",
        f"-- {_SILVER}",
        *(f"create schema if not exists {layer};" for layer in LAKE),
        *(
            f"create table if not exists {one.table.layer}.`{one.table.name}` "
            f"using delta location '{_s3a(one.uri)}';"
            for one in tables
        ),
    )


def _trino_catalog(store: MinioSettings) -> str:
    return _lines(
        "# Trino: etc/catalog/lake.properties. It reads both keys from its environment.",
        "connector.name=delta_lake",
        "hive.metastore=file",
        "hive.metastore.catalog.dir=local:///metastore",
        "fs.native-local.enabled=true",
        "local.location=/var/trino",
        "fs.native-s3.enabled=true",
        f"s3.endpoint={store.url}",
        f"s3.region={store.region}",
        f"s3.path-style-access={_has_paths(store)}",
        "s3.aws-access-key=${ENV:LAKE_KEY_ID}",
        "s3.aws-secret-key=${ENV:LAKE_SECRET}",
        "delta.register-table-procedure.enabled=true",
    )


def _has_paths(store: MinioSettings) -> str:
    return str(store.addressing_style == "path").lower()


def _trino(tables: Sequence[Exported]) -> str:
    return _lines(
        "-- Trino: in the catalog of trino.properties, named lake. New columns need nothing.",
        "-- For new tables, run it again with `trino --ignore-errors --file trino.sql`: those that",
        "-- are registered are refused, and stay as they are.",
        f"-- {_SILVER}",
        *(f"create schema if not exists lake.{layer};" for layer in LAKE),
        *(
            "call lake.system.register_table("
            f"schema_name => '{one.table.layer}', table_name => '{one.table.name}', "
            f"table_location => '{one.uri}');"
            for one in tables
        ),
    )


def _unity(tables: Sequence[Exported]) -> str:
    """Return requests to Unity Catalog's API: its catalog keeps each table's columns itself."""
    return _lines(
        "#!/bin/sh",
        "# Unity Catalog: external tables in the catalog `lake`. UC_SERVER is its address;",
        "# UC_TOKEN, where it asks for one. Credentials of the store belong into its own settings.",
        "# Run it again when there are new tables or columns: it replaces each table's entry, and",
        "# with it what was granted on the table. No data is deleted.",
        "set -eu",
        'server="${UC_SERVER:-http://127.0.0.1:8080}/api/2.1/unity-catalog"',
        "call() {",
        "  path=$1; shift",
        '  curl -sS --header "Authorization: Bearer ${UC_TOKEN:-}" "$@" "$server/$path"',
        "}",
        "post() {",
        '  call "$1" --fail-with-body --header "Content-Type: application/json" --data @- && echo',
        "}",
        "# To a second POST servers answer 400 or 409, by their version.",
        "exists() {",
        """  [ "$(call "$1" --output /dev/null --write-out '%{http_code}')" = 200 ]""",
        "}",
        "remove() {",
        '  ! exists "$1" || call "$1" --fail-with-body --request DELETE',
        "}",
        f"exists catalogs/lake || {_posted('catalogs', {'name': 'lake'})}",
        *(
            f"exists schemas/lake.{layer} || "
            + _posted("schemas", {"name": layer, "catalog_name": "lake"})
            for layer in LAKE
        ),
        *(
            f"remove tables/lake.{one.table.layer}.{one.table.name}\n"
            + _posted(
                "tables",
                {
                    "name": one.table.name,
                    "catalog_name": "lake",
                    "schema_name": one.table.layer,
                    "table_type": "EXTERNAL",
                    "data_source_format": "DELTA",
                    "storage_location": one.uri,
                    "columns": [_unity_column(n, f) for n, f in enumerate(one.fields)],
                },
            )
            for one in tables
        ),
    )


def _posted(path: str, body: Mapping[str, object]) -> str:
    return f"post {path} <<'EOF'\n{json.dumps(body)}\nEOF"


def _unity_column(position: int, field: Mapping[str, Any]) -> dict[str, object]:
    return {
        "name": field["name"],
        "type_text": _type_text(field["type"]),
        "type_name": _unity_type(field["type"]),
        "type_json": json.dumps(field),
        "position": position,
        "nullable": field["nullable"],
    }


def _unity_type(kind: Any) -> str:  # noqa: ANN401 - as Delta's schema has it
    if isinstance(kind, dict):
        return str(kind["type"]).upper()
    return "DECIMAL" if kind.startswith("decimal") else _UNITY[kind]


def _type_text(kind: Any) -> str:  # noqa: ANN401 - as Delta's schema has it
    """Return a type as SQL writes it."""
    if not isinstance(kind, dict):
        return _SQL.get(kind, str(kind))
    if kind["type"] == "array":
        return f"array<{_type_text(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{_type_text(kind['keyType'])},{_type_text(kind['valueType'])}>"
    parts = (f"{part['name']}:{_type_text(part['type'])}" for part in kind["fields"])
    return f"struct<{','.join(parts)}>"


def _s3a(uri: str) -> str:
    return uri.replace("s3://", "s3a://", 1)


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)

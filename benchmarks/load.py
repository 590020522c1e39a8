"""What a first load and a rebuild of the warehouse cost, beside a plain COPY of their rows.

The floor: the very same rows of all tables, from files, into the same tables of a second database.
As in a load, large tables have no indexes and keys until they are filled. It reads no silver,
computes nothing, and checks nothing.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from batch.warehouse.bulk import filled_in_bulk
from batch.warehouse.entities import TABLES
from batch.warehouse.marts import mart
from batch.warehouse.migrate import migrate
from benchmarks.history import History
from benchmarks.idle import processor_seconds
from benchmarks.past import Size
from benchmarks.peak import Peak, watched
from devtools.test_stack import TestStack, new_stack
from lakehouse.digest import Digest
from lakehouse.lake import Lake
from lakehouse.postgres import speak_canonically, table_digest, warehouse_dsn

# Its smallest facts, of one row per order, are filled in bulk, as those of a large past are.
SMALL = {"lines": 240_000}
LINES = 1_000_000
_CHUNK = 1 << 20


def run(lines: int = LINES) -> dict[str, object]:
    """Load a past of so many order lines into an empty warehouse, rebuild it, and copy it.

    Returns:
        Seconds, processor seconds of process and database, and greatest resident memory of both
        commands, start of Python included; seconds of the floor; and the ratios. On a busy machine
        only processor seconds compare.

    Raises:
        RuntimeError: a table differs between the load, the rebuild and the copy.
    """
    with new_stack() as stack:
        stack.up("minio", "warehouse")
        lake = Lake.of(stack.minio, stack.secrets, user="admin")
        History(lake=lake, size=Size(orders=lines // 2)).write()
        dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="batch")
        loaded = _watched(stack, "consolidate")
        expected = _digests(dsn)
        rebuilt = _watched(stack, "rebuild")
        _require_equal(expected, _digests(dsn))
        floor = _floor(stack, dsn, expected)
    return {
        "lines": lines,
        "floor_seconds": round(floor.seconds, 2),
        "floor_cpu_seconds": round(floor.cpu_seconds, 2),
        **_told("first_load", *loaded, floor),
        **_told("rebuild", *rebuilt, floor),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Floor:
    """What a COPY took; processor time of database and client."""

    seconds: float
    cpu_seconds: float


def _watched(stack: TestStack, command: str) -> tuple[Peak, float]:
    """Return what a command took, and the database's processor seconds."""
    used = _used_by_database(stack)
    peak = watched(stack, command, "--layer", "warehouse")
    return peak, _used_by_database(stack) - used


def _used_by_database(stack: TestStack) -> float:
    return processor_seconds(stack)["warehouse"]


def _told(name: str, peak: Peak, database: float, floor: _Floor) -> dict[str, float]:
    cpu_seconds = peak.cpu_seconds + database
    return {
        f"{name}_seconds": round(peak.seconds, 2),
        f"{name}_ratio": round(peak.seconds / floor.seconds, 2),
        f"{name}_cpu_seconds": round(cpu_seconds, 2),
        f"{name}_database_cpu_seconds": round(database, 2),
        f"{name}_cpu_ratio": round(cpu_seconds / floor.cpu_seconds, 2),
        f"{name}_peak_rss_mb": round(peak.peak_rss_mb),
    }


def _floor(stack: TestStack, dsn: str, expected: Mapping[str, Digest]) -> _Floor:
    """Return what the COPY into a second database took."""
    admin = warehouse_dsn(stack.warehouse, stack.secrets, role="admin")
    with tempfile.TemporaryDirectory() as folder, psycopg.connect(admin, autocommit=True) as server:
        files = {name: Path(folder) / name for name in expected}
        server.execute("create database floor")
        server.execute("grant create, temporary on database floor to batch")
        try:
            other = make_conninfo(dsn, dbname="floor")
            migrate(other)
            with psycopg.connect(dsn) as source, psycopg.connect(other) as target:
                for name, file in files.items():
                    _write(source, name, file)
                _make_partitions(source, target)
                used = time.process_time() + _used_by_database(stack)
                seconds = _copied(target, files)
                used = time.process_time() + _used_by_database(stack) - used
            _require_equal(expected, _digests(other))
        finally:
            server.execute("drop database floor with (force)")
    return _Floor(seconds=seconds, cpu_seconds=used)


def _write(source: psycopg.Connection, name: str, file: Path) -> None:
    query = sql.SQL("copy (select * from {}) to stdout").format(_table(name))
    with source.cursor() as cursor, cursor.copy(query) as copy, file.open("wb") as out:
        for text in copy:
            out.write(text)


def _copied(target: psycopg.Connection, files: Mapping[str, Path]) -> float:
    dimensions = [f"mart.{one.name}" for one in mart().dimensions]
    # Their unknown members.
    target.execute(f"truncate {', '.join(dimensions)} cascade".encode())
    target.commit()
    began = time.monotonic()
    for name, file in files.items():
        # Facts refer to the keys of dimensions.
        with filled_in_bulk(target, _table(name), is_worth_it=name not in dimensions):
            _read(target, name, file)
    target.commit()
    return time.monotonic() - began


def _read(target: psycopg.Connection, name: str, file: Path) -> None:
    query = sql.SQL("copy {} from stdin").format(_table(name))
    with target.cursor() as cursor, cursor.copy(query) as copy, file.open("rb") as rows:
        while text := rows.read(_CHUNK):
            copy.write(text)


def _make_partitions(source: psycopg.Connection, target: psycopg.Connection) -> None:
    for fact in mart().facts:
        name = f"mart.{fact.name}"
        days = sql.SQL("select array_agg(distinct date_key) from {}").format(_table(name))
        make = (
            "select etl.ensure_partitions(k.oid, %s) from pg_class as k "
            "where k.oid = %s::regclass and k.relkind = 'p'"
        )
        target.execute(make, [*(source.execute(days).fetchone() or [None]), name])


def _names() -> Iterator[str]:
    """Yield the tables, those that others refer to first."""
    yield from (f"entity.{table.name}" for table in TABLES)
    yield from (f"mart.{table.name}" for table in mart().tables)


def _digests(dsn: str) -> dict[str, Digest]:
    with psycopg.connect(dsn) as connection:
        speak_canonically(connection)
        return {name: table_digest(connection, _table(name)) for name in _names()}


def _require_equal(expected: Mapping[str, Digest], found: Mapping[str, Digest]) -> None:
    if differ := [name for name in expected if expected[name] != found[name]]:
        message = f"{', '.join(differ)} differ"
        raise RuntimeError(message)


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))

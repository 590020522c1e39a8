"""The fact of order lines by dbt, beside a consolidation of everything: the same changes, in turn.

dbt has models that are incremental by merge: current rows of orders, lines and payments, versions
of products and customers, and the fact, with all columns and indexes of ours. Its tables are in the
warehouse, beside ours. It is given the shop's changes as typed rows of tables there, and cleans,
checks, deletes and reconciles nothing. Ours reads the same changes from bronze, and does all that a
consolidation does: silver with its histories, the whole warehouse, gold. After each round both
facts have to be equal in every column of every row.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import orjson
import polars as pl
import psutil
import psycopg
from psycopg import sql

from batch.warehouse.entities import POSTGRES_TYPES
from benchmarks.consolidation import CHANGES, frame_as_sent, new_changes
from benchmarks.history import PARTITIONS, History, Topic, land
from benchmarks.idle import processor_seconds
from benchmarks.past import END, Size
from benchmarks.peak import seconds_of_ended_children, watched
from benchmarks.peer_environment import peer_environment
from benchmarks.peers import tell
from consumers.buffer import Batch
from devtools.test_stack import TestStack, finished, new_stack
from lakehouse.contracts import ENTITIES, Type
from lakehouse.environment import process_environment
from lakehouse.lake import Lake
from lakehouse.postgres import copy_frames, warehouse_dsn
from lakehouse.settings import ROOT

SMALL = {"lines": 50_000, "changes": 5_000, "rounds": 2}
LINES = 1_000_000
ROUNDS = 3
_SOURCES = ("customers", "order_lines", "orders", "payments", "products")
_COORDINATE = {"_operation": "text", "_partition": "integer", "_offset": "bigint"}
_PIECE = 500_000
_TIMEOUT_SECONDS = 4 * 3600
_NO_COSTS = ("fact_rows", "ours_was_first")
_DROP = "drop schema if exists dbt_raw, dbt cascade"


def run(lines: int = LINES, changes: int = CHANGES, rounds: int = ROUNDS) -> dict[str, object]:
    """Compare on a stack of its own; returns what `compare` does."""
    with new_stack() as stack:
        stack.up("minio", "warehouse")
        lake = Lake.of(stack.minio, stack.secrets, user="admin")
        History(lake=lake, size=Size(orders=lines // 2)).write()
        stack.run("consolidate", timeout=_TIMEOUT_SECONDS)
        return compare(stack, lines, changes, END, rounds)


def compare(
    stack: TestStack, lines: int, changes: int, end: datetime, rounds: int = ROUNDS
) -> dict[str, object]:
    """Compare on a running stack that has consolidated a `History`, and nothing since.

    Args:
        stack: its lake and its warehouse get the changes; dbt's tables are dropped at the end.
        lines: of the history.
        changes: in a round.
        end: of the history.
        rounds: how many.

    Returns:
        Of both the medians of seconds and of processor seconds (the command, its database, its
        store), and the medians of their ratios; what dbt took to build its tables; and each round.

    Raises:
        RuntimeError: the facts differ.
        StopPipelineError: a command did not succeed.
    """
    lake = Lake.of(stack.minio, stack.secrets, user="admin")
    history = History(lake=lake, size=Size(orders=lines // 2, end=end))
    admin = warehouse_dsn(stack.warehouse, stack.secrets, role="admin")
    before = psutil.getloadavg()[0]
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(_DROP)
        try:
            bench = _Bench(stack=stack, history=history, connection=connection)
            first = bench.build()
            turns = list(bench.turns(changes, rounds))
        finally:
            connection.execute(_DROP)
    ratios = {
        f"ratio_{what}": [turn[f"ours_{what}"] / turn[f"dbt_{what}"] for turn in turns]
        for what in ("seconds", "cpu")
    }
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    return {
        "lines": lines,
        "changes": changes,
        "load_before": round(before, 1),
        "load_after": round(psutil.getloadavg()[0], 1),
        **first,
        **{name: round(value, 2) for name, value in medians.items() if name not in _NO_COSTS},
        **{name: round(statistics.median(found), 2) for name, found in ratios.items()},
        "rounds": [{name: round(value, 2) for name, value in turn.items()} for turn in turns],
    }


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """Both systems on one stack."""

    stack: TestStack
    history: History
    connection: psycopg.Connection

    def build(self) -> dict[str, float]:
        """Give dbt the past, and build its tables; returns what that took."""
        began = time.monotonic()
        self._make_sources()
        for table in _SOURCES:
            self._give(table, _past(table, self.history.size))
        given = time.monotonic() - began
        for table in _SOURCES:
            self.connection.execute(sql.SQL("analyze {}").format(_source(table)))
        self._dbt("seed")
        built = self._cost("dbt", self._build)
        self._compare_facts()
        return {
            "dbt_copy_of_past_seconds": round(given, 1),
            **{f"{name}_of_first_build": round(value, 1) for name, value in built.items()},
        }

    def turns(self, changes: int, rounds: int) -> Iterator[dict[str, float]]:
        """Let both take the same changes; yields what each took. Neither is always the first."""
        topics = self.history.topics()
        for turn in range(rounds):
            copied = self._land(topics, changes, turn)
            systems = {"ours": self._consolidate, "dbt": self._build}
            costs: dict[str, float] = {"ours_was_first": turn % 2}
            for name in list(systems) if turn % 2 else reversed(systems):
                # No leftover of what ran before: it would be cleared while this one is measured.
                self.connection.execute("vacuum (analyze)")
                self.connection.execute("checkpoint")
                costs |= self._cost(name, systems[name])
            rows = self._compare_facts()
            found = {**costs, "dbt_copy_seconds": copied, "fact_rows": rows}
            tell(found)  # before the last, which takes a while
            yield found

    def _make_sources(self) -> None:
        self.connection.execute("create schema dbt_raw")
        self.connection.execute("create sequence dbt_raw.number")
        for table in _SOURCES:
            columns = [
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
                for name, kind in _columns(table).items()
            ]
            make = sql.SQL(
                "create table {} ({}, _number bigint primary key default nextval('dbt_raw.number'))"
            )
            self.connection.execute(make.format(_source(table), sql.SQL(", ").join(columns)))

    def _give(self, table: str, frames: Iterator[pl.DataFrame]) -> None:
        copy_frames(self.connection, _source(table), list(_columns(table)), frames)

    def _land(self, topics: dict[str, Topic], changes: int, turn: int) -> float:
        """Land changes in bronze and in dbt's sources; returns how long the latter took."""
        told: dict[str, list[tuple[str, dict[str, object]]]] = {}
        for table, operation, row in new_changes(self.history.size, changes, turn=turn):
            told.setdefault(table, []).append((operation, row))
        batches = {table: topics[table].batch(rows) for table, rows in told.items()}
        for table, batch in batches.items():
            land(self.history.lake, ENTITIES[table], batch)
        began = time.monotonic()
        for table in set(_SOURCES) & set(batches):
            self._give(table, _of_batch(batches[table]))
        return time.monotonic() - began

    def _consolidate(self) -> None:
        watched(self.stack, "consolidate")

    def _build(self) -> None:
        self._dbt("run")

    def _dbt(self, command: str) -> None:
        warehouse = self.stack.warehouse
        env = process_environment() | {
            "PGHOST": warehouse.host,
            "PGPORT": str(warehouse.port),
            "PGUSER": "admin",
            "PGPASSWORD": self.stack.secrets["warehouse_admin"],
            "PGDATABASE": warehouse.database,
        }
        project, state = ROOT / "benchmarks" / "dbt_project", self.stack.data_dir / "dbt"
        program = peer_environment(self.stack.control.cache, "dbt") / "bin" / "dbt"
        places = ("--project-dir", project, "--profiles-dir", project)
        writes = ("--target-path", state, "--log-path", state)
        finished([program, command, *places, *writes], f"dbt {command}", check=True, env=env)

    def _cost(self, name: str, command: Callable[[], None]) -> dict[str, float]:
        before, began = self._used(), time.monotonic()
        command()
        seconds = time.monotonic() - began
        used = [after - earlier for after, earlier in zip(self._used(), before, strict=True)]
        return {
            f"{name}_seconds": seconds,
            f"{name}_cpu": sum(used),
            f"{name}_cpu_of_process": used[0],
            f"{name}_cpu_of_database": used[1],
        }

    def _used(self) -> tuple[float, float, float]:
        """Processor seconds so far: of commands, of the database, of the store."""
        servers = processor_seconds(self.stack)
        return seconds_of_ended_children(), servers["warehouse"], servers["minio"]

    def _compare_facts(self) -> int:
        """Return the number of rows of both facts.

        Raises:
            RuntimeError: a row is in one only, or differs.
        """
        found = self.connection.execute(_COLUMNS).fetchall()
        columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in found)
        row = self.connection.execute(_COMPARE.format(columns, columns)).fetchone()
        rows, differing = row or (0, 0)
        if differing or not rows:
            message = f"{differing} of {rows} rows of the facts differ"
            raise RuntimeError(message)
        return int(rows)


_COLUMNS = """
select a.attname from pg_attribute as a
where a.attrelid = 'mart.fact_transactions'::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum"""
_COMPARE = sql.SQL("""
select count(*), count(*) filter (where o is distinct from d)
from (select {} from mart.fact_transactions) as o
full join (select {} from dbt.fact_transactions) as d on o.order_line_id = d.order_line_id""")
"""Both have one row per order line, so this finds what `except` in both directions would find."""


def _source(table: str) -> sql.Identifier:
    return sql.Identifier("dbt_raw", table)


def _columns(table: str) -> dict[str, str]:
    """Return the types of a source's columns: the shop's own, and where Kafka had the change."""
    decimals = (Type.CENTS, Type.RATE)
    return {
        column.source: "numeric" if column.type in decimals else POSTGRES_TYPES[column.type]
        for column in ENTITIES[table].columns
    } | _COORDINATE


def _past(table: str, size: Size) -> Iterator[pl.DataFrame]:
    key, count = pl.col(ENTITIES[table].key), size.rows(table)
    for first in range(0, count, _PIECE):
        numbers = pl.int_range(first, min(first + _PIECE, count), eager=True).alias("n")
        yield frame_as_sent(table, pl.DataFrame(numbers), size).with_columns(
            _operation=pl.lit("r"), _partition=key % PARTITIONS, _offset=key // PARTITIONS
        )


def _of_batch(batch: Batch) -> Iterator[pl.DataFrame]:
    values = [orjson.loads(value) for value in batch.rows["value"].to_pylist()]
    rows = [{**value["after"], "_operation": value["op"]} for value in values]
    yield pl.DataFrame(rows, infer_schema_length=None).with_columns(
        _partition=pl.Series(batch.rows["_partition"].to_pylist()),
        _offset=pl.Series(batch.rows["_offset"].to_pylist()),
    )

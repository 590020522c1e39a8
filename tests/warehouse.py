"""Silver in memory, and a warehouse to load it into: for tests of the warehouse."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import polars as pl
import psycopg
from psycopg.conninfo import make_conninfo

from batch.warehouse import facts, load
from batch.warehouse.entities import BY_SILVER, EntityTable
from batch.warehouse.marts import mart
from batch.warehouse.migrate import migrate
from batch.warehouse.shop import describe_shop
from batch.warehouse.source import FeedGoneError, Silver
from batch.warehouse.validated import QuarantineLimit, Validated
from batch.warehouse.views import refresh_views, views
from lakehouse.contracts import Column, Type
from lakehouse.contracts.schemas import history_schema, silver_schema
from lakehouse.postgres import warehouse_dsn
from lakehouse.settings import ShopSettings

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
VALUES = {
    Type.TEXT: "x", Type.INTEGER: 1, Type.CENTS: 100, Type.RATE: 100_000_000, Type.DEGREES: 1.5,
    Type.BOOLEAN: True, Type.TIMESTAMP: AT, Type.DATE: AT.date(),
}  # fmt: skip
OPTIONAL = {
    ("orders", "customer_id"): 1, ("interactions", "customer_id"): 1,
    ("interactions", "product_id"): 1,
}  # fmt: skip
_KIND = """
select c.relkind::text, exists (
    select from pg_locks as l
    where l.pid = pg_backend_pid() and l.relation = ('mart.' || %s)::regclass
    and l.mode = 'AccessExclusiveLock'
)
from pg_class as c
where c.oid = to_regclass('pg_temp.' || replace(%s, 'fact_', 'new_'))"""
DAYS = {stem: f"{stem}_at" for stem in ("placed", "created", "occurred", "returned")}


def computed_into(monkeypatch):
    """By fact that is loaded: kind of `new_<short>` while it is computed, and if it is locked."""
    found, run_script = {}, facts.run_script

    def noting(connection, name, *text):
        table = name.split("/")[1]
        if name == f"mart/{table}/load.sql" and table.startswith("fact_"):
            found[table] = connection.execute(_KIND, [table, table]).fetchone()
        run_script(connection, name, *text)

    monkeypatch.setattr(facts, "run_script", noting)
    return found


def _default(table: EntityTable, column: Column):
    if column.required:
        return column.allowed_values[0] if column.allowed_values else VALUES[column.type]
    return OPTIONAL.get((table.entity.table, column.name))


def silver_row(table: EntityTable, offset: int, values: dict) -> dict:
    """A row with something in each column that needs it; days follow their instants, in UTC."""
    unknown = set(values) - {*table.columns, "_deleted_at"}
    assert not unknown, f"{table.name} has no {sorted(unknown)}"
    row = {column.name: _default(table, column) for column in table.entity.columns}
    row |= {"_topic_id": table.entity.table, "_epoch": 0, "_partition": 0, "_offset": offset}
    row |= {"_committed_at": AT, "_deleted_at": None} | values
    if table.entity.table == "orders" and "total_cents" not in values:
        parts = ("subtotal_cents", "shipping_cents", "tax_cents")
        row["total_cents"] = sum(row[part] for part in parts) - row["discount_cents"]
    for derived in table.entity.derived:
        stem, _, kind = derived.name.rpartition("_")
        if stem in DAYS and derived.name not in values:
            day = row[DAYS[stem]]
            row[derived.name] = day.date() if kind == "date" else f"{day:%Y-%m}"
    if table.is_history:
        row = {"valid_from_at": row["updated_at"], "valid_to_at": None} | row
    return row


@dataclass
class MemorySource:
    """A silver table that remembers what changed in each of its versions."""

    silver_name: str
    table_id: str = field(default_factory=lambda: str(uuid4()))
    version: int = 0
    feed_from: int = 0
    rows_now: dict = field(default_factory=dict)
    log: list = field(default_factory=list)
    last_offset: int = -1

    @property
    def table(self) -> EntityTable:
        return BY_SILVER[self.silver_name]

    def commit(self, rows: Sequence[dict]) -> None:
        """One version. A row with `_deleted_at` is gone; one with `_removed` was never there.

        The feed has one row per key, the last one.
        """
        self.version += 1
        logged = {}
        for given in rows:
            values = dict(given)
            removed = values.pop("_removed", False)
            self.last_offset = max(self.last_offset + 1, values.get("_offset", 0))
            row = silver_row(self.table, values.get("_offset", self.last_offset), values)
            key = tuple(row[name] for name in self.table.key)
            gone = removed or row["_deleted_at"] is not None
            self.rows_now.pop(key, None)
            if not gone:
                self.rows_now[key] = row
            logged[key] = (self.version, row, gone)
        self.log += logged.values()

    def watermark(self, topic_id: str, epoch: int, partition: int) -> int | None:
        known = (topic_id, epoch, partition) == (self.table.entity.table, 0, 0)
        return self.last_offset if known and self.last_offset >= 0 else None

    def rows(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        yield self._frame([(self.version, row, False) for row in self.rows_now.values()], columns)

    def changes(self, columns: Sequence[str], *, since: int) -> Iterator[pl.DataFrame]:
        yield self._frame([one for one in self.log if one[0] > since][:1], columns)
        if since < self.feed_from:
            raise FeedGoneError(since)
        yield self._frame([one for one in self.log if one[0] > since], columns)

    def _frame(self, entries, columns):
        entity = self.table.entity
        schema = history_schema(entity) if self.table.is_history else silver_schema(entity)
        empty = pl.DataFrame(schema.empty_table())
        rows = [row | {"_commit_version": at, "_is_deleted": gone} for at, row, gone in entries]
        types = {name: empty.schema[name] for name in columns}
        types |= {"_commit_version": pl.Int64, "_is_deleted": pl.Boolean}
        return pl.DataFrame(rows, schema=types) if rows else pl.DataFrame(schema=types)


@dataclass
class MemoryCounts:
    """What silver has counted."""

    table_id: str = field(default_factory=lambda: str(uuid4()))
    version: int = 0
    seen: int = 0
    quarantined: int = 0

    def add(self, *, seen: int, quarantined: int = 0) -> None:
        self.version += 1
        self.seen += seen
        self.quarantined += quarantined

    def sums(self) -> Validated:
        return Validated(seen=self.seen, quarantined=self.quarantined)


class MemorySilver(Silver):
    """All silver tables, by name; `commit` takes names of the schema `entity`."""

    counts: MemoryCounts

    def __init__(self) -> None:
        super().__init__({name: MemorySource(name) for name in BY_SILVER}, MemoryCounts())

    def __reduce__(self):
        return _unpickled, (dict(self), self.counts)

    def commit(self, **rows: Sequence[dict]) -> None:
        for name, source in self.items():
            if BY_SILVER[name].name in rows:
                source.commit(rows[BY_SILVER[name].name])


def _unpickled(tables, counts):
    silver = MemorySilver()
    silver.update(tables)
    silver.counts = counts
    return silver


LIMIT = QuarantineLimit(max_share=0.2, min_changes=10)


def load_warehouse(dsn, silver, *, limit=LIMIT, **options):
    """With limits of their own, whatever the settings say."""
    return load.load_warehouse(dsn, silver, limit=limit, **options)


def rebuild_warehouse(dsn, silver, *, limit=LIMIT, **options):
    """With limits of their own, whatever the settings say."""
    return load.load_warehouse(dsn, silver, limit=limit, what="everything", **options)


LOADED = (
    *(f"entity.{table.name}" for table in BY_SILVER.values()),
    # Days are never deleted.
    *(f"mart.{table.name}" for table in mart().tables if table.name != "dim_dates"),
    *(f"mart.{name}" for name in views()),
)


def _is_made_up(table: str, row: dict) -> bool:
    return table.startswith("mart.dim_") and row.get(MEMBER_KEYS.get(table, ""), 0) < 0


MEMBER_KEYS = {
    "mart.dim_suppliers": "supplier_key",
    "mart.dim_products": "product_key",
    "mart.dim_customers": "customer_key",
}


@dataclass(frozen=True)
class Warehouse:
    """An empty, migrated warehouse."""

    dsn: str
    reader_dsn: str
    live_dsn: str

    def query(self, statement: str, *values):
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(statement, values or None).fetchall()

    def rows(self, table: str, columns: Sequence[str] | None = None) -> list[dict]:
        """Rows as JSON has them: instants and days as text. The unknown members are left out."""
        found = [row for (row,) in self.query(f"select to_jsonb(t) from {table} as t")]
        known = [row for row in found if not _is_made_up(table, row)]
        return [{name: row[name] for name in columns or row} for row in known]

    def contents(self) -> dict[str, list]:
        """All that a load makes, its views included, in an order of its own."""
        refresh_views(self.dsn)
        with psycopg.connect(self.dsn) as connection:
            return {
                table: sorted(map(str, connection.execute(f"select t::text from {table} as t")))
                for table in LOADED
            }

    def execute(self, statement: str, *values) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement, values or None)


TEMPLATE = "test_template"


@contextmanager
def template_warehouse(stack) -> Iterator[None]:
    """Migrate once; the warehouses of tests are copies."""
    with new_database(stack, TEMPLATE) as made:
        migrate(made.dsn)
        describe_shop(made.dsn, ShopSettings(time_zone="UTC"))
        yield


@contextmanager
def new_warehouse(stack) -> Iterator[Warehouse]:
    """An empty, migrated warehouse, gone afterwards."""
    with new_database(stack, f"test_{uuid4().hex[:12]}", template=TEMPLATE) as made:
        yield made


@contextmanager
def loaded_connection(stack, silver) -> Iterator[psycopg.Connection]:
    """To a warehouse that was loaded once: whoever damages it rolls back."""
    with new_warehouse(stack) as made:
        load_warehouse(made.dsn, silver)
        with psycopg.connect(made.dsn) as connection:
            yield connection


@contextmanager
def new_database(stack, name: str, *, template: str = "template1") -> Iterator[Warehouse]:
    """A database on the stack's warehouse server, gone afterwards; empty but for its template."""
    admin = warehouse_dsn(stack.warehouse, stack.secrets, role="admin")
    with psycopg.connect(admin, autocommit=True, dbname="postgres") as connection:
        connection.execute(f"create database {name} template {template}")
        try:
            connection.execute(f"revoke all on database {name} from public")
            connection.execute(f"grant connect, create, temporary on database {name} to batch")
            connection.execute(f"grant connect on database {name} to reader")
            connection.execute(f"grant connect, temporary on database {name} to live")
            roles = [
                make_conninfo(
                    warehouse_dsn(stack.warehouse, stack.secrets, role=role), dbname=name
                )
                for role in ("batch", "reader", "live")
            ]  # fmt: skip
            yield Warehouse(*roles)
        finally:
            connection.execute(f"drop database {name} with (force)")

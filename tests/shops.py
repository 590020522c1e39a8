"""A shop without a database: the simulator's engine, and tables that keep every version."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from producers.changes import Changes, Dirt, Statement
from producers.demand import HistoryClock
from producers.engine import Limits, advance, make_shop
from producers.keys import LOW, Keys
from producers.maintenance import begin_maintenance
from producers.rows import COLUMNS_OF
from producers.seed_data import KEYS_NEEDED, open_shop
from producers.visits import open_doors

ZONE = ZoneInfo("Europe/Paris")
STOP = datetime(2026, 11, 23, tzinfo=UTC)
DAYS = 21
ORDERS = 6_300
REFERENCES = {
    "products": {"supplier_id": "suppliers"},
    "orders": {"customer_id": "customers"},
    "order_lines": {"order_id": "orders", "product_id": "products"},
    "payments": {"order_id": "orders"},
    "stock_movements": {"product_id": "products", "order_id": "orders"},
    "interactions": {"customer_id": "customers", "product_id": "products"},
    "returns": {"order_id": "orders", "order_line_id": "order_lines"},
}

Row = dict[str, Any]


@dataclass
class Tables:
    """What a database would hold.

    `current` has the rows of now by table and key, `versions` all that ever were: those of a key
    from version 1 on, then None if it was deleted.
    """

    current: dict[str, dict[int, Row]] = field(
        default_factory=lambda: {table: {} for table in COLUMNS_OF}
    )
    versions: dict[str, dict[int, list[Row | None]]] = field(
        default_factory=lambda: {table: defaultdict(list) for table in COLUMNS_OF}
    )
    dirt: list[Dirt] = field(default_factory=list)
    transactions: int = 0

    def apply(self, changes: Changes) -> None:
        """One transaction. Refuses what the database would."""
        self.transactions += 1
        self.dirt += changes.dirt
        for table, rows in changes.inserts.items():
            for row in rows:
                assert row[0] not in self.versions[table], f"{table} {row[0]} a second time"
                self._write(table, row[0], row._asdict())
        for statement in changes.statements:
            keys = [row[0] for row in statement.rows]
            assert len(set(keys)) == len(keys), "one statement changes a row once"
            for row in statement.rows:
                self._execute(statement, row)
            for note in statement.dirt:
                versions = self.versions[note.table][note.key]
                self.dirt.append(note.with_version(len(versions)))

    def _execute(self, statement: Statement, row: tuple[Any, ...]) -> None:
        values = dict(zip(statement.columns, row[1:], strict=True))
        if statement.kind == "update":
            if row[0] in self.current[statement.table]:
                self._write(statement.table, row[0], values)
        elif statement.kind == "delete":
            self._delete(statement.table, row[0])
        else:
            for key, order in self.current["orders"].items():
                if order["customer_id"] == row[0]:
                    self._write("orders", key, {**values, "customer_id": None})

    def _write(self, table: str, key: int, values: Row) -> None:
        row = {**self.current[table].get(key, {}), **values}
        for column, referred in REFERENCES.get(table, {}).items():
            assert row[column] is None or row[column] in self.current[referred], (table, row)
        self.current[table][key] = row
        self.versions[table][key].append(row)

    def _delete(self, table: str, key: int) -> None:
        if self.current[table].pop(key, None) is None:
            return
        self.versions[table][key].append(None)
        if table == "customers":
            found = self.current["interactions"].items()
            for gone in [k for k, row in found if row["customer_id"] == key]:
                self._delete("interactions", gone)


class Sequences:
    """Hands out keys as the database does."""

    def __init__(self) -> None:
        self._next = dict.fromkeys(COLUMNS_OF, 1)

    def fill(self, keys: Keys, at_least: int = LOW) -> None:
        for table, count in keys.wanted(at_least).items():
            first = self._next[table]
            self._next[table] += count
            keys.add(table, range(first, first + count))


def play(
    *,
    seed: int = 1,
    orders: int = ORDERS,
    dirt_percent: float = 0,
    changes: int = 5_000,
    clock: HistoryClock | None = None,
) -> Tables:
    """Open a shop, sell so much, and return its tables.

    `changes`: size of a transaction. `clock`: by default, the days before `STOP`.
    """
    sequences, keys, tables = Sequences(), Keys(), Tables()
    sequences.fill(keys, KEYS_NEEDED)
    shop = make_shop(
        seed=seed, orders_before=0, dirt_percent=dirt_percent, base_currency="EUR", keys=keys
    )
    clock = clock or past(orders)
    shop.day_length = orders / DAYS
    shop.now = clock.instant(0)
    open_shop(shop)
    begin_maintenance(shop)
    open_doors(shop)
    while shop.orders_placed < orders:
        advance(shop, clock, Limits(until=float("inf"), orders=orders, changes=changes))
        tables.apply(shop.take_changes())
        sequences.fill(keys)
    return tables


def past(orders: int) -> HistoryClock:
    """The days before `STOP`."""
    start = STOP - timedelta(days=DAYS)
    return HistoryClock(start=start, stop=STOP, orders=orders, zone=ZONE)


@lru_cache
def three_weeks() -> Tables:
    """A shop to look at, not to change: three weeks of 300 orders a day, nothing wrong in it."""
    return play()

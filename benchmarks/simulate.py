"""How many orders a second the simulator writes: past days at full speed, and live at a rate.

Beside it, in turn, several times: a COPY of the very same rows, ready made and as they stand in
the end, into the same tables with their keys, checks and triggers. That is as fast as these tables
take rows; the simulator makes the rows up, and writes the updates and deletes in between, too. The
metrics are medians. WAL is logical, as for change capture, but nothing captures meanwhile.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

import psycopg
from psycopg import sql

from devtools.test_stack import TestStack, new_stack
from lakehouse.postgres import oltp_dsn
from lakehouse.settings import ShopSettings
from producers.meter import Measurement
from producers.plan import History, Live, Phase, Plan
from producers.rows import COLUMNS_OF
from producers.simulator import Simulator

SMALL = {"orders": 2_000, "rounds": 1, "live_minutes": 0.3}
ORDERS = 30_000
ROUNDS = 3
LIVE_ORDERS_PER_SECOND = 300.0
LIVE_MINUTES = 0.5
_SEED = 1
_END = datetime(2026, 11, 1, tzinfo=UTC)
_WINDOW_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Live:
    orders_per_second: float
    slowest_second: float
    behind_seconds: float


def run(
    orders: int = ORDERS,
    rounds: int = ROUNDS,
    live_orders_per_second: float = LIVE_ORDERS_PER_SECOND,
    live_minutes: float = LIVE_MINUTES,
) -> dict[str, float | int]:
    """Fill thirty days, copy the same rows, in turn; then sell live.

    Returns:
        Orders and rows per second, the ratio of the rows to those of a plain COPY, and how the
        live rate was held. A row is one inserted, updated or deleted.
    """
    with new_stack() as stack:
        stack.up("oltp")
        filled, copied = [], []
        for _ in range(rounds):
            filled.append(_fill(stack, orders))
            copied.append(_copy(stack))
        live = _sell(stack, live_orders_per_second, live_minutes)
    seconds = statistics.median(phase.counts.seconds for phase in filled)
    counts, copy = filled[0].counts, statistics.median(copied)
    return {
        "history_orders_per_second": round(orders / seconds, 1),
        "history_rows_per_second": round(counts.rows / seconds),
        "rows_per_order": round(counts.rows / orders, 2),
        "copy_rows_per_second": round(copy),
        "ratio": round(counts.rows / seconds / copy, 3),
        "live_asked_per_second": live_orders_per_second,
        "live_orders_per_second": round(live.orders_per_second, 1),
        "live_slowest_second": round(live.slowest_second, 1),
        "live_behind_seconds": round(live.behind_seconds, 3),
        "orders": orders,
        "rounds": rounds,
    }


def _fill(stack: TestStack, orders: int) -> Phase:
    """Fill an empty shop; the rows stay."""
    with _admin(stack) as admin:
        _empty(admin)
        admin.execute("checkpoint")
    plan = Plan(seed=_SEED, history=History(days=30, orders=orders, end=_END))
    return _simulator(stack).run(plan, stopping=Event()).phases[0]


def _copy(stack: TestStack) -> float:
    """Write all rows that are there again, by COPY. Returns rows per second."""
    with _admin(stack) as admin:
        columns = {table: _columns(admin, table) for table in COLUMNS_OF}
        data = {table: _read(admin, table, columns[table]) for table in COLUMNS_OF}
        rows = sum(text.count(b"\n") for text in data.values())
        _empty(admin)
        admin.execute("checkpoint")
        began = time.monotonic()
        with admin.transaction(), admin.cursor() as cursor:
            for table, text in data.items():
                statement = sql.SQL("copy {} ({}) from stdin")
                with cursor.copy(statement.format(sql.Identifier(table), columns[table])) as copy:
                    copy.write(text)
        return rows / (time.monotonic() - began)


def _sell(stack: TestStack, orders_per_second: float, minutes: float) -> _Live:
    """Sell live in an empty shop. The slowest second is validated by what was committed in it."""
    with _admin(stack) as admin:
        _empty(admin)
        admin.execute("checkpoint")
    seen: list[tuple[float, int]] = []

    def note(measurement: Measurement) -> None:
        seen.append((time.monotonic(), measurement.orders))

    plan = Plan(seed=_SEED, live=Live(orders_per_second=orders_per_second, minutes=minutes))
    phase = _simulator(stack).run(plan, stopping=Event(), on_progress=note).phases[0]
    return _Live(
        orders_per_second=phase.counts.orders / phase.counts.seconds,
        slowest_second=min(_rates(seen)),
        behind_seconds=phase.behind_seconds,
    )


def _rates(seen: list[tuple[float, int]]) -> Iterator[float]:
    """Orders per second, from each look to the first one at least a second later."""
    for position, (began, before) in enumerate(seen):
        for ended, after in seen[position:]:
            if ended - began >= _WINDOW_SECONDS:
                yield (after - before) / (ended - began)
                break


def _simulator(stack: TestStack) -> Simulator:
    return Simulator(
        oltp_dsn(stack.oltp, stack.secrets, role="simulator"),
        shop=ShopSettings(),
        slot_name=stack.connect.slot_name,
    )


@contextmanager
def _admin(stack: TestStack) -> Iterator[psycopg.Connection]:
    dsn = oltp_dsn(stack.oltp, stack.secrets, role="admin")
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def _empty(admin: psycopg.Connection) -> None:
    tables = sql.SQL(", ").join(sql.Identifier(table) for table in COLUMNS_OF)
    truncate = sql.SQL("truncate {}, ledger.dirt, ledger.progress restart identity")
    admin.execute(truncate.format(tables))


def _columns(admin: psycopg.Connection, table: str) -> sql.Composed:
    cursor = admin.execute(sql.SQL("select * from {} limit 0").format(sql.Identifier(table)))
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in cursor.description or ())


def _read(admin: psycopg.Connection, table: str, columns: sql.Composed) -> bytes:
    statement = sql.SQL("copy {} ({}) to stdout").format(sql.Identifier(table), columns)
    with admin.cursor() as cursor, cursor.copy(statement) as copy:
        return b"".join(map(bytes, copy))

"""Counters and rates of what the simulator has written."""

import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime

from producers.rows import COLUMNS_OF
from producers.statements import LEDGER, Tally

_WINDOW_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Current progress of the simulator.

    Attributes:
        asked: requested orders per second; None for full speed.
        instant: current time of the shop.
        slot_share: retained WAL of the connector's slot as a share of its limit.
    """

    orders: int
    orders_per_second: float
    rows_per_second: float
    asked: float | None
    instant: datetime
    slot_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCount:
    """Inserted, updated and deleted rows of a table."""

    table: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Totals of what was written in a period."""

    orders: int
    rows: int
    transactions: int
    seconds: float
    dirty_values: int
    tables: tuple[TableCount, ...]


class Meter:
    """Totals over committed transactions."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._tally: Tally = Counter()
        self._transactions = 0
        self._recent: deque[tuple[float, int, int]] = deque([(self._began, 0, 0)])

    @property
    def orders(self) -> int:
        """Orders placed so far."""
        return self._tally["orders", "inserted"]

    @property
    def rows(self) -> int:
        """Rows inserted, updated and deleted so far."""
        return self._tally.total() - self._tally[LEDGER, "inserted"]

    def add(self, tally: Tally) -> None:
        """Count one transaction."""
        self._tally += tally
        self._transactions += 1
        now = time.monotonic()
        self._recent.append((now, self.orders, self.rows))
        while now - self._recent[0][0] > _WINDOW_SECONDS and len(self._recent) > 2:
            self._recent.popleft()

    def speed(self) -> tuple[float, float]:
        """Return orders and rows per second, over the last few seconds."""
        began, orders, rows = self._recent[0]
        seconds = max(time.monotonic() - began, 1e-6)
        return (self.orders - orders) / seconds, (self.rows - rows) / seconds

    def counts(self) -> Counts:
        """Return the totals so far."""
        return Counts(
            orders=self.orders,
            rows=self.rows,
            transactions=self._transactions,
            seconds=time.monotonic() - self._began,
            dirty_values=self._tally[LEDGER, "inserted"],
            tables=tuple(
                TableCount(
                    table=table,
                    inserted=self._tally[table, "inserted"],
                    updated=self._tally[table, "updated"],
                    deleted=self._tally[table, "deleted"],
                )
                for table in COLUMNS_OF
            ),
        )

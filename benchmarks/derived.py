"""How fast changes reach silver by a derived contract, beside one written by hand.

A table of the shop, and its twin of another name, which has no contract of its own: the same
columns and the same changes, in alternation, half of them new rows and half of them updates. The
tables: customers, for which both contracts keep the history; and orders, of which only the derived
contract keeps it, so that it writes two tables instead of one.
"""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from batch.contracts.stored import refresh
from batch.reconcile.history import Examples
from batch.reconcile.silver import compare_silver
from batch.silver.run import SilverRules, consolidate_silver
from batch.silver.sizes import BatchLimits
from benchmarks.consolidation import as_sent
from benchmarks.history import Topic, land
from benchmarks.past import Size
from devtools.test_stack import TestStack, new_stack
from lakehouse.contracts import Entity
from lakehouse.lake import Lake
from lakehouse.postgres import oltp_dsn

SMALL = {"changes": 20_000, "rounds": 3}
CHANGES = 100_000
ROUNDS = 5
TABLES = ("customers", "orders")
_RULES = SilverRules(
    time_zone="Europe/Paris", retention_hours=168, batch=BatchLimits(records=100_000)
)


def run(changes: int = CHANGES, rounds: int = ROUNDS) -> dict[str, object]:
    """Apply the same changes by both contracts, in alternation, after a round that is not timed.

    Returns:
        Of each table: changes of a round, changes a second by either contract (medians), and the
        ratio of derived to written by hand: median, smallest and largest of the rounds.

    Raises:
        RuntimeError: a table is not exact at the end.
    """
    with new_stack() as stack:
        stack.up("oltp", "minio")
        lake = Lake.of(stack.minio, stack.secrets, user="admin")
        contracts = _contracts(stack, lake)
        found = [_measured(lake, contracts, table, changes, rounds) for table in TABLES]
        _require_exact(lake)
    return {"changes": changes, "rounds": rounds, "tables": found}


def _contracts(stack: TestStack, lake: Lake) -> Mapping[str, Entity]:
    with psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="admin")) as connection:
        for table in TABLES:
            make = sql.SQL("create table {} (like {} including all)")
            connection.execute(make.format(sql.Identifier(_twin(table)), sql.Identifier(table)))
    dsn = oltp_dsn(stack.oltp, stack.secrets, role="reconcile")
    return refresh(lake, dsn, {}, retention_hours=_RULES.retention_hours)


def _twin(table: str) -> str:
    return f"{table}_twin"


def _measured(
    lake: Lake, contracts: Mapping[str, Entity], table: str, changes: int, rounds: int
) -> dict[str, object]:
    pair = _Pair(lake=lake, hand=contracts[table], derived=contracts[_twin(table)])
    size = Size(orders=10 * changes * (rounds + 1))
    both = (pair.hand, pair.derived)
    topics = [Topic(name=entity.table, table=table) for entity in both]
    seconds: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for entity, topic in zip(both, topics, strict=True):
            land(lake, entity, topic.batch(changed(table, size, number, changes)))
        # Neither is always the first.
        order = both if number % 2 else both[::-1]
        for entity in order:
            took = pair.seconds(entity, changes)
            if number > 0:
                seconds.setdefault(entity.table, []).append(took)
    hand, derived = seconds[table], seconds[_twin(table)]
    ratios = [one / other for one, other in zip(hand, derived, strict=True)]
    return {
        "table": table,
        "hand_per_second": round(changes / statistics.median(hand)),
        "derived_per_second": round(changes / statistics.median(derived)),
        "ratio": round(statistics.median(ratios), 3),
        "smallest": round(min(ratios), 3),
        "largest": round(max(ratios), 3),
    }


def changed(
    table: str, size: Size, number: int, count: int
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield operation and row of new rows, and of updates of rows that an earlier round made."""
    new = count // 2
    numbers = pl.int_range(number * new, (number + 1) * new, eager=True).alias("n")
    for row in as_sent(table, pl.DataFrame(numbers), size):
        yield "c", row
    column = {"customers": "street", "orders": "coupon_code"}[table]
    old = numbers - new if number else numbers
    for row in as_sent(table, pl.DataFrame(old.head(count - new)), size):
        later = {"version": row["version"] + 1, "updated_at": "2026-12-01T00:00:00.000000Z"}
        yield "u", {**row, column: f"Changed {number}", **later}


@dataclass(kw_only=True)
class _Pair:
    """Two contracts whose bronze tables have the same changes."""

    lake: Lake
    hand: Entity
    derived: Entity

    def seconds(self, entity: Entity, changes: int) -> float:
        """Apply what has landed; return how long it took.

        Raises:
            RuntimeError: it did not apply all changes.
        """
        began = monotonic()
        (report,) = consolidate_silver(self.lake, _RULES, [entity])
        took = monotonic() - began
        if (report.read, report.quarantined) != (changes, 0):
            message = f"{entity.table}: {report}"
            raise RuntimeError(message)
        return took


def _require_exact(lake: Lake) -> None:
    for one in compare_silver(lake, _RULES, Examples()):
        if one.is_compared and not one.findings.is_exact:
            message = f"silver/{one.table} is not exact: {one.findings}"
            raise RuntimeError(message)

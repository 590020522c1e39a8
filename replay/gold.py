"""Recomputes the days of gold that some rows of silver affect, as if these rows had changed.

Sums over all time (customers' lifetime value, stock) are updated by differences from run to run, so
these tables are recomputed in full.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
from typing_extensions import override

from batch.gold.builders import affected, compute
from batch.gold.run import replace
from batch.gold.silver import SIGN, Silver, SilverTable, pin
from batch.gold.task import Task
from batch.silver.tables import Rows
from batch.table_diff import Differences, TableDiff, compare
from lakehouse.contracts.gold import CUSTOMER_LIFETIME_VALUE, GOLD_TABLES, STOCK_HEALTH, GoldTable
from lakehouse.delta import retry_later, scan
from lakehouse.errors import StopPipelineError
from lakehouse.lake import Lake

_BY_DIFFERENCES = (CUSTOMER_LIFETIME_VALUE.name, STOCK_HEALTH.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen(SilverTable):
    """A silver table that reports chosen rows as changed, since whatever version."""

    narrow: Rows | None

    @override
    def changes(self, since: int, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        sign = pl.lit(1, dtype=pl.Int64).alias(SIGN)
        version = pl.lit(self.version, dtype=pl.Int64).alias("_commit_version")
        rows = self.rows()
        chosen = rows.head(0) if self.narrow is None else self.narrow(rows)
        yield from chosen.select(*columns, sign, version).collect_batches(maintain_order=False)


def replay_gold(
    lake: Lake,
    chosen: Mapping[str, Rows] | None,
    *,
    on_progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> list[TableDiff]:
    """Recompute what the chosen rows of silver affect; gold must have silver's newest versions.

    Args:
        lake: with addresses and options.
        chosen: by silver table, which rows; None for all of gold. Gold tables computed from none
            of these silver tables are left unchanged.
        on_progress: called with the next table, how many tables are done, and of how many.

    Raises:
        StopPipelineError: a gold table does not exist.
        RetryLaterError: the object store does not answer, or another program commits.
    """
    diffs: list[TableDiff] = []
    tables = [
        table for table in GOLD_TABLES.values() if chosen is None or set(table.inputs) & set(chosen)
    ]
    for table in tables:
        on_progress(f"gold/{table.name}", len(diffs), len(tables))
        with retry_later(f"gold/{table.name} could not be replayed", then="Run it again."):
            diffs.append(_replayed(lake, table, chosen))
    return diffs


def affected_days(lake: Lake, chosen: Mapping[str, Rows]) -> dict[str, list[date] | None]:
    """Return the days that a replay recomputes, by gold table; None for all of the table.

    Raises:
        StopPipelineError: a gold table does not exist.
        RetryLaterError: the object store does not answer.
    """
    found: dict[str, list[date] | None] = {}
    for table in GOLD_TABLES.values():
        if not set(table.inputs) & set(chosen):
            continue
        found[table.name] = None
        if table.name not in _BY_DIFFERENCES:
            with _task(lake, table, chosen) as task:
                found[table.name] = sorted(affected(task) or ())
    return found


def _replayed(lake: Lake, table: GoldTable, chosen: Mapping[str, Rows] | None) -> TableDiff:
    with _task(lake, table, chosen) as task:
        before = scan(task.gold).collect()
        replace(task, compute(task, affected(task)), task.watermarks)
    task.gold.update_incremental()
    after = scan(task.gold).collect()
    found = Differences()
    compared = compare(table.key, after, before, found)
    return TableDiff(
        layer="gold", table=table.name, before=compared.before, after=compared.after,
        differences=found,
    )  # fmt: skip


@contextmanager
def _task(lake: Lake, table: GoldTable, chosen: Mapping[str, Rows] | None) -> Iterator[Task]:
    delta = lake.open("gold", table.name)
    if delta is None:
        message = f"gold/{table.name} does not exist: ./pipeline consolidate builds it."
        raise StopPipelineError(message)
    silver = _narrowed(pin(lake, table.inputs, {}), chosen or {})
    is_full = chosen is None or table.name in _BY_DIFFERENCES
    with tempfile.TemporaryDirectory(prefix="gold-") as scratch:
        yield Task(
            table=table,
            gold=delta,
            silver=silver,
            since=None if is_full else dict.fromkeys(table.inputs, 0),
            lake=lake,
            scratch=Path(scratch),
        )


def _narrowed(silver: Silver, chosen: Mapping[str, Rows]) -> Silver:
    return Silver(
        tables={
            name: _Chosen(name=name, delta=one.delta, narrow=chosen.get(name))
            for name, one in silver.tables.items()
        }
    )

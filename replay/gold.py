"""Recomputes the days of gold that selected rows of silver affect, as their change feed would.

Tables of all-time sums (customers, stock) are normally updated by differences, so here they are
recomputed from all of silver.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
from typing_extensions import override

from batch.gold.affected import Since
from batch.gold.builders import BUILDERS, Task
from batch.gold.commit import commit
from batch.gold.sale_lines import SaleLineSource
from batch.gold.silver import SIGN, Silver, SilverTable, pin
from batch.silver.tables import Rows
from batch.table_diff import Differences, TableDiff, compare
from lakehouse.contracts.gold import CUSTOMER_LIFETIME_VALUE, GOLD_TABLES, STOCK_HEALTH, GoldTable
from lakehouse.delta import retry_later, scan
from lakehouse.errors import StopPipelineError
from lakehouse.lake import Lake

_BY_DIFFERENCES = (CUSTOMER_LIFETIME_VALUE.name, STOCK_HEALTH.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen(SilverTable):
    """A silver table whose selected rows count as changed, whatever version is given."""

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
    """Recompute what the selected rows of silver affect; gold must be level with silver.

    Args:
        lake: the lake.
        chosen: the rows by silver table; None for all of gold. Gold tables that are built from
            none of these stay as they are.
        on_progress: called with the next step, the number of tables done, and their total.

    Raises:
        StopPipelineError: a gold table does not exist.
        RetryLaterError: the object store does not answer, or another writer commits.
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
    """Return the days that a replay recomputes, by gold table that is built from these rows.

    None stands for the whole table.

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
            with _working(lake, table, chosen) as work:
                found[table.name] = sorted(BUILDERS[table.name](work).days or ())
    return found


def _replayed(lake: Lake, table: GoldTable, chosen: Mapping[str, Rows] | None) -> TableDiff:
    with _working(lake, table, chosen) as work:
        delta = work.gold
        before = scan(delta).collect()
        tables = [work.silver[name] for name in table.inputs]
        watermarks = {one.app_id: one.version for one in tables if one.app_id is not None}
        commit(delta, table, BUILDERS[table.name](work), watermarks)
    delta.update_incremental()
    after = scan(delta).collect()
    found = Differences()
    compared = compare(table.key, after, before, found)
    return TableDiff(
        layer="gold", table=table.name, before=compared.before, after=compared.after,
        differences=found,
    )  # fmt: skip


@contextmanager
def _working(lake: Lake, table: GoldTable, chosen: Mapping[str, Rows] | None) -> Iterator[Task]:
    delta = lake.open("gold", table.name)
    if delta is None:
        message = f"gold/{table.name} does not exist: ./pipeline consolidate builds it."
        raise StopPipelineError(message)
    silver = _narrowed(pin(lake, table.inputs, {}), chosen or {})
    since = None if chosen is None or table.name in _BY_DIFFERENCES else _beginning(table)
    with tempfile.TemporaryDirectory(prefix="gold-") as aside:
        yield Task(
            silver=silver,
            silver_at=lambda versions: pin(lake, table.inputs, versions),
            lines=SaleLineSource(silver=silver, aside=Path(aside)),
            gold=delta,
            since=since,
        )


def _beginning(table: GoldTable) -> Since:
    return dict.fromkeys(table.inputs, 0)


def _narrowed(silver: Silver, chosen: Mapping[str, Rows]) -> Silver:
    return Silver(
        tables={
            name: _Chosen(name=name, delta=one.delta, narrow=chosen.get(name))
            for name, one in silver.tables.items()
        }
    )

"""Makes anew what some rows of silver stand for in gold: their days, as the change feed would.

Sums over all time (customers' worth, stock) are brought on by differences from run to run, so these
tables are made anew from all of silver.
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
    """A table of silver of which some rows are taken for changed, whatever version is asked for."""

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
    """Recompute what the chosen rows of silver stand for; gold must be level with silver.

    Args:
        lake: where it is.
        chosen: by silver table, which rows; None for all of gold. Tables of gold that are made from
            none of these stay as they are.
        on_progress: told what is done next, how many tables are done, and of how many.

    Raises:
        StopPipelineError: a table of gold is not there.
        RetryLaterError: the object store does not answer, or somebody else commits.
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
    """By table of gold that is made from these rows: the days that a replay recomputes.

    None stands for all of the table.

    Raises:
        StopPipelineError: a table of gold is not there.
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
        message = f"gold/{table.name} is not there: ./pipeline consolidate makes it."
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

"""Silver as gold reads it: each table at one version, its current rows or its changes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lakehouse.contracts import ENTITIES
from lakehouse.contracts.schemas import history_schema, silver_schema
from lakehouse.delta import require_no_deletion_vectors, scan
from lakehouse.lake import Lake

SCHEMAS: Mapping[str, pa.Schema] = {
    entity.silver: silver_schema(entity) for entity in ENTITIES.values()
} | {entity.history: history_schema(entity) for entity in ENTITIES.values() if entity.history}
KEY_TYPES = {
    entity.key: pl.Schema(SCHEMAS[entity.silver])[entity.key] for entity in ENTITIES.values()
}
"""Types of the shop's keys, by their columns."""
_MONTHS = {entity.silver: entity.partition for entity in ENTITIES.values() if entity.partition}
_OLD_IMAGES = ("update_preimage", "delete")
SIGN = "sign"
"""1 for the image of a row after a change, -1 for the image before it."""
MAX_CHANGES = 4_000_000
"""Above this number of changed rows in a table, a full read costs less memory and time."""


class MissingFeedError(Exception):
    """Changes of silver are unknown: the feed is too long, or it or an old version is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilverTable:
    """One table at one version. Without `delta` the table does not exist and reads as empty."""

    name: str
    delta: DeltaTable | None

    @property
    def app_id(self) -> str | None:
        """Id of the app transaction in which gold stores its watermark for this table."""
        return None if self.delta is None else f"silver/{self.name}/{self.delta.metadata().id}"

    @property
    def version(self) -> int:
        """The version that is read; 0 if the table does not exist."""
        return 0 if self.delta is None else self.delta.version()

    def rows(self) -> pl.LazyFrame:
        """Return all rows, deleted ones included."""
        if self.delta is None:
            empty = pl.DataFrame(pa.Table.from_batches([], schema=SCHEMAS[self.name]))
            return empty.lazy()
        return scan(self.delta)

    def current(self) -> pl.LazyFrame:
        """Return the rows that are not deleted."""
        return self.rows().filter(pl.col("_deleted_at").is_null())

    def matching(self, column: str, values: pl.Series) -> pl.LazyFrame:
        """Return current rows with one of these values; their bounds let the scan skip files."""
        if values.is_empty():
            return self.current().head(0)
        bounds = pl.col(column).is_between(pl.lit(values.min()), pl.lit(values.max()))
        wanted = pl.DataFrame({column: values}).lazy()
        return self.current().filter(bounds).join(wanted, on=column, how="semi")

    def of_month(self, month: str, days: Collection[date] | None = None) -> pl.LazyFrame:
        """Return current rows of some days of a month, or of all of it."""
        column = _MONTHS[self.name]
        rows = self.current().filter(pl.col(column) == month)
        return rows if days is None else rows.filter(pl.col(_date_of(column)).is_in(sorted(days)))

    def months(self) -> list[str]:
        """Return the months that partition the table, sorted."""
        column = _MONTHS.get(self.name)
        found = [] if self.delta is None else self.delta.partitions()
        return sorted(month for part in found if column and (month := part[column]) is not None)

    def newest_day(self) -> date:
        """Return the newest day of a current row; 1970-01-01 if there is none."""
        for month in reversed(self.months()):
            day = pl.col(_date_of(_MONTHS[self.name])).max()
            newest: date | None = self.of_month(month).select(day).collect().item()
            if newest is not None:
                return newest
        return date(1970, 1, 1)

    def changes(self, since: int, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield both images of all rows that changed after version `since`, in batches.

        Returns:
            `columns`, `sign` and `_commit_version`.

        Raises:
            MissingFeedError: the feed does not reach back that far, or has too many rows.
            StopPipelineError: another engine has made the feed unusable.
        """
        if self.delta is None or since >= self.version:
            return
        require_no_deletion_vectors(self.delta)
        seen = 0
        for batch in self._feed(self.delta, since, columns):
            seen += batch.num_rows
            if seen > MAX_CHANGES:
                message = f"{self.name}: more than {MAX_CHANGES} changes"
                raise MissingFeedError(message)
            is_old = pl.col("_change_type").is_in(_OLD_IMAGES)
            sign = pl.when(is_old).then(-1).otherwise(1).cast(pl.Int64)
            frame = pl.DataFrame(pa.table(batch)).with_columns(sign.alias(SIGN))
            yield frame.select(*columns, SIGN, "_commit_version")

    def _feed(
        self, delta: DeltaTable, since: int, columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        try:
            feed = delta.load_cdf(
                starting_version=since + 1,
                ending_version=self.version,
                columns=[*columns, "_change_type", "_commit_version"],
            )
            yield from pa.RecordBatchReader.from_stream(feed)
        except (DeltaError, OSError, pa.ArrowException) as error:
            # A full read also tells whether the feed or the store is unavailable.
            message = f"{self.name}: no changes since version {since}: {error}"
            raise MissingFeedError(message) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Silver:
    """The tables of silver, each at one version."""

    tables: Mapping[str, SilverTable]

    def __getitem__(self, name: str) -> SilverTable:
        """Return a table by name."""
        return self.tables[name]


def pin(lake: Lake, names: Sequence[str], versions: Mapping[str, int]) -> Silver:
    """Open tables, each at its version in `versions`, by default at its newest.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    return Silver(
        tables={
            name: SilverTable(
                name=name, delta=lake.open("silver", name, version=versions.get(name))
            )
            for name in names
        }
    )


def _date_of(month: str) -> str:
    """Return the date column that belongs to a month column."""
    return month.replace("_month", "_date")

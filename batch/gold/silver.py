"""Silver as gold reads it: at one version of each table, live rows only, or what changed since."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lakehouse.contracts import ENTITIES
from lakehouse.contracts.schemas import history_schema, silver_schema
from lakehouse.delta import scan
from lakehouse.lake import Lake

SCHEMAS: Mapping[str, pa.Schema] = {
    entity.silver: silver_schema(entity) for entity in ENTITIES.values()
} | {entity.history: history_schema(entity) for entity in ENTITIES.values() if entity.history}
_MONTHS = {entity.silver: entity.partition for entity in ENTITIES.values()}
_OLD_IMAGES = ("update_preimage", "delete")
SIGN = "sign"
"""1 for the image that a row has after a change, -1 for the one that it had before."""
MOST_CHANGES = 4_000_000
"""Beyond so many changed rows of a table, reading everything anew costs less memory and time."""


class MissingFeedError(Exception):
    """What changed cannot be told: the feed is past its retention, or longer than all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilverTable:
    """One table at one version. Without `delta` there is none yet, which reads as empty."""

    name: str
    delta: DeltaTable | None

    @property
    def app_id(self) -> str | None:
        """Id of the app transaction in which gold keeps how far it has read this table."""
        return None if self.delta is None else f"silver/{self.name}/{self.delta.metadata().id}"

    @property
    def version(self) -> int:
        """The version that is read."""
        return 0 if self.delta is None else self.delta.version()

    def rows(self) -> pl.LazyFrame:
        """All rows, those of deleted keys included."""
        if self.delta is None:
            empty = pl.DataFrame(pa.Table.from_batches([], schema=SCHEMAS[self.name]))
            return empty.lazy()
        return scan(self.delta)

    def live(self) -> pl.LazyFrame:
        """The rows of keys that there are."""
        return self.rows().filter(pl.col("_deleted_at").is_null())

    def months(self) -> list[str]:
        """The months that split the table, in order."""
        column = _MONTHS[self.name]
        found = [] if self.delta is None else self.delta.partitions()
        return sorted(month for part in found if column and (month := part[column]) is not None)

    def changes(self, since: int, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Both images of all rows that changed after version `since`, piece by piece.

        Returns:
            `columns`, `sign` and `_commit_version`.

        Raises:
            MissingFeedError: the feed does not reach back so far, or is too long.
        """
        if self.delta is None or since >= self.version:
            return
        seen = 0
        for batch in self._feed(since, columns):
            seen += batch.num_rows
            if seen > MOST_CHANGES:
                message = f"{self.name}: more than {MOST_CHANGES} changes"
                raise MissingFeedError(message)
            is_old = pl.col("_change_type").is_in(_OLD_IMAGES)
            sign = pl.when(is_old).then(-1).otherwise(1).cast(pl.Int64)
            frame = pl.DataFrame(pa.table(batch)).with_columns(sign.alias(SIGN))
            yield frame.select(*columns, SIGN, "_commit_version")

    def _feed(self, since: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if self.delta is None:
            return
        try:
            feed = self.delta.load_cdf(
                starting_version=since + 1,
                ending_version=self.version,
                columns=[*columns, "_change_type", "_commit_version"],
            )
            yield from pa.RecordBatchReader.from_stream(feed)
        except (DeltaError, OSError, pa.ArrowException) as error:
            # Whether the feed or the store is away, reading all of the table tells.
            message = f"{self.name}: no changes since version {since}: {error}"
            raise MissingFeedError(message) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Silver:
    """The tables of silver, each at one version."""

    tables: Mapping[str, SilverTable]

    def __getitem__(self, name: str) -> SilverTable:
        """A table by name."""
        return self.tables[name]


def pin(lake: Lake, names: Sequence[str], versions: Mapping[str, int]) -> Silver:
    """Open tables, each at the version that is given for it, else at its newest.

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

"""Bronze tables in Delta on the object store.

Grain: one row per Kafka record. Each commit carries the last offset of every partition it covers
as an application transaction, so rows and watermarks cannot diverge.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property

import pyarrow as pa
from deltalake import DeltaTable
from typing_extensions import override

from consumers.bronze.commit import BronzeTable
from consumers.bronze.files import PARTITION, STATISTICS, write_files
from lakehouse.delta import NO_HOOKS, open_or_create, table_properties, with_watermarks
from lakehouse.lake import BRONZE_SCHEMA, EPOCHS_PROPERTY
from lakehouse.object_store import Put, put_below
from lakehouse.offsets import Epoch, TopicPartition


class DeltaBronzeTable(BronzeTable):
    """A Delta table with `BRONZE_SCHEMA`, opened at one version."""

    def __init__(self, table: DeltaTable) -> None:
        self.delta = table
        # Reading it from the table walks through its log, for each partition.
        self._watermarks: dict[str, int | None] = {}

    @classmethod
    def open_or_create(
        cls, uri: str, options: Mapping[str, str], *, retention_hours: int
    ) -> "DeltaBronzeTable":
        """Open the table at `uri`, or create it. Concurrent creation yields one table.

        Raises:
            Exception: any error of the store; retrying is safe.
        """
        table = open_or_create(
            uri,
            options,
            BRONZE_SCHEMA,
            partition_by=[PARTITION],
            properties=_configuration(retention_hours),
        )
        return cls(table)

    @cached_property
    def _put(self) -> Put:
        return put_below(self.delta.table_uri, self.delta._storage_options or {})  # noqa: SLF001

    @override
    def watermark(self, partition: TopicPartition) -> int | None:
        app_id = partition.app_id
        if app_id not in self._watermarks:
            self._watermarks[app_id] = self.delta.transaction_version(app_id)
        return self._watermarks[app_id]

    @override
    def append(self, rows: pa.Table, watermarks: Mapping[TopicPartition, int]) -> None:
        known, self._watermarks = self._watermarks, {}
        before = self.delta.version()
        transactions = {p.app_id: last for p, last in watermarks.items()}
        self.delta.create_write_transaction(
            write_files(rows, self._put),
            mode="append",
            schema=self.delta.schema(),
            partition_by=[PARTITION],
            commit_properties=with_watermarks(transactions),
            post_commithook_properties=NO_HOOKS,
        )
        self.delta.update_incremental()
        # This handle may be at a version that includes commits of others. They may have landed our
        # partitions, and a later commit would not conflict with them: so read again.
        if self.delta.version() == before + 1:
            self._watermarks = {**known, **transactions}

    @override
    def reopen(self) -> None:
        self._watermarks = {}
        self.delta.update_incremental()

    def epochs(self) -> list[Epoch]:
        """Return all epochs, oldest first; empty before the first assignment."""
        stored = self.delta.metadata().configuration.get(EPOCHS_PROPERTY) or "[]"
        return [Epoch(**epoch) for epoch in json.loads(stored)]

    def begin_epoch(self, *, after: int, topic_id: str, partition_count: int) -> Epoch:
        """Record the epoch after `after`, unless another process has just done so."""
        self.reopen()
        epochs = self.epochs()
        if len(epochs) > after + 1:
            return epochs[-1]
        epoch = Epoch(epoch=after + 1, topic_id=topic_id, partition_count=partition_count)
        self.delta.alter.set_table_properties(
            {EPOCHS_PROPERTY: json.dumps([asdict(e) for e in [*epochs, epoch]])},
            raise_if_not_exists=False,
        )
        self.reopen()
        return epoch


def _configuration(retention_hours: int) -> dict[str, str]:
    return {
        "delta.dataSkippingStatsColumns": ",".join(STATISTICS),
        **table_properties(retention_hours=retention_hours, has_change_feed=False),
        EPOCHS_PROPERTY: "[]",
    }

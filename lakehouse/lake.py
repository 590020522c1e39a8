"""Addresses of the lake's tables, and credentials for them.

Grain of a bronze table: one row per Kafka record, unchanged. Columns of `BRONZE_SCHEMA`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from deltalake import DeltaTable

from lakehouse.delta import open_or_create, open_table, retry_later
from lakehouse.errors import GoneError
from lakehouse.object_store import addressing, credentials
from lakehouse.secrets import Secrets
from lakehouse.settings import MinioSettings

BRONZE_SCHEMA = pa.schema(
    [
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("_topic_id", pa.string()),
        ("_epoch", pa.int32()),
        ("_partition", pa.int32()),
        ("_offset", pa.int64()),
        ("_timestamp", pa.timestamp("us", tz="UTC")),
        ("_headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
        ("_date", pa.date32()),
    ]
)
"""`_timestamp` is the Kafka record's; `_date` is its UTC day, which partitions the table."""
EPOCHS_PROPERTY = "shop.epochs"
"""Table property of bronze: a JSON list of its epochs (`epoch`, `topic_id`, `partition_count`)."""
LOSS_LEDGER = "_loss_ledger"
"""Bronze table of losses. Grain: one row per kind and range."""
LOSS_LEDGER_SCHEMA = pa.schema(
    [
        ("recorded_at", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("topic", pa.string()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first_offset", pa.int64()),
        ("last_offset", pa.int64()),
        ("explanation", pa.string()),
    ]
)
"""Both offsets are inclusive; `last_offset` is null if it cannot be known.

Kinds are those of `consumers.bronze.loss.LossKind`. `slot_lost`: a WAL gap, changes may be missing
just before `first_offset`; `truncated`: rows ended before it without deletes;
`read_again`, at the same place: a full extraction up to `last_offset` resolved the loss.
"""


def table_uri(bucket: str, table: str) -> str:
    """Return the address of a Delta table."""
    return f"s3://{bucket}/{table}"


def storage_options(settings: MinioSettings, secrets: Secrets, *, user: str) -> dict[str, str]:
    """Return options for delta-rs and Polars. `user` is a MinIO user."""
    return {
        "AWS_ENDPOINT_URL": settings.url,
        **credentials(secrets, user=user),
        "AWS_REGION": settings.region,
        "AWS_ALLOW_HTTP": str(settings.url.startswith("http://")).lower(),
        "aws_conditional_put": "etag",
        **addressing(settings),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake:
    """Addresses of the layers, and the user that opens them.

    Attributes:
        handles: tables opened so far, by layer and name, if they are kept.
    """

    bronze: str
    silver: str
    gold: str
    options: Mapping[str, str]
    handles: dict[tuple[str, str], DeltaTable] | None = field(
        default=None, compare=False, repr=False
    )

    @classmethod
    def of(cls, settings: MinioSettings, secrets: Secrets, *, user: str) -> "Lake":
        """Return the lake on MinIO. `user` is a MinIO user, such as `batch` or `reader`."""
        return cls(
            bronze=f"s3://{settings.bronze_bucket}",
            silver=f"s3://{settings.silver_bucket}",
            gold=f"s3://{settings.gold_bucket}",
            options=storage_options(settings, secrets, user=user),
        )

    def keeping(self) -> "Lake":
        """Return the same lake with each table opened once, for a program of several steps.

        Whoever opens a table at its newest version then moves the handle of all who opened it. It
        takes delta-rs (1.6) several times as long to open a table as to follow it: each handle has
        a client of its own.
        """
        return self if self.handles is not None else replace(self, handles={})

    def afresh(self) -> "Lake":
        """Return the same lake with new handles, which move none of those kept."""
        return replace(self, handles=None)

    def open(self, layer: str, table: str, *, version: int | None = None) -> DeltaTable | None:
        """Open a table of a layer; None if it does not exist.

        Raises:
            GoneError: the table exists, but this version no longer does.
            RetryLaterError: the object store does not answer.
        """
        known = (self.handles or {}).get((layer, table))
        if known is None or version not in (None, known.version()):
            opened = open_table(self.uri(layer, table), self.options, version=version)
            return self._kept(layer, table, opened) if version is None else opened
        if version is None:
            with retry_later(f"{known.table_uri} cannot be followed"):
                known.update_incremental()
        return known

    def existing(self, layer: str, table: str, *, version: int | None = None) -> DeltaTable:
        """Open a table of a layer that was there before: without it, nothing may be computed.

        Raises:
            GoneError: it, or this version, no longer exists.
            RetryLaterError: the object store does not answer.
        """
        opened = self.open(layer, table, version=version)
        if opened is None:
            problem = f"{layer}/{table} is gone"
            raise GoneError(problem, "Run the same command again.")
        return opened

    def open_or_create(
        self,
        layer: str,
        table: str,
        schema: pa.Schema,
        *,
        partition_by: Sequence[str] = (),
        properties: Mapping[str, str],
    ) -> DeltaTable:
        """Open a table of a layer, or create it. Concurrent creation yields one table.

        Raises:
            Exception: any error of the store; retrying is safe.
        """
        known = (self.handles or {}).get((layer, table))
        if known is not None:
            known.update_incremental()
            return known
        opened = open_or_create(
            self.uri(layer, table),
            self.options,
            schema,
            partition_by=partition_by,
            properties=properties,
        )
        self._kept(layer, table, opened)
        return opened

    def _kept(self, layer: str, table: str, opened: DeltaTable | None) -> DeltaTable | None:
        if self.handles is not None and opened is not None:
            self.handles[layer, table] = opened
        return opened

    def uri(self, layer: str, table: str) -> str:
        """Return the address of a table. Layers: bronze, silver, gold."""
        return f"{getattr(self, layer)}/{table}"

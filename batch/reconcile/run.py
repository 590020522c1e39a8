"""Runs a reconciliation: takes a snapshot, waits until its changes have arrived, compares."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from minio.error import S3Error
from urllib3.exceptions import HTTPError

from batch.catalogue import LayerBehind, layers_behind
from batch.gold.silver import SCHEMAS
from batch.reconcile.arrival import BronzeArrival, pass_connect
from batch.reconcile.bronze import BronzeTable
from batch.reconcile.findings import Findings
from batch.reconcile.gold import compare_gold
from batch.reconcile.history import Examples
from batch.reconcile.layers import LayerReport, is_made
from batch.reconcile.losses import read_resolved
from batch.reconcile.report import Report, SnapshotReport, TableReport
from batch.reconcile.shop import HiddenRowsError, ShopSnapshot, TableChangedError
from batch.reconcile.silver import compare_silver
from batch.reconcile.table import Comparison, compare_table, slices_for
from batch.reconcile.tables import SourceTable
from batch.reconcile.topics import Topics
from batch.reconcile.warehouse import compare_warehouse
from batch.silver.run import SilverRules
from batch.spark.cluster import Cluster
from connectors.health import check
from connectors.masks import SALT, Masks, masks_in_effect
from lakehouse.contracts import Mask
from lakehouse.contracts.bronze import bronze_table
from lakehouse.errors import RetryLaterError
from lakehouse.kafka import captured_topic
from lakehouse.lake import Lake, storage_options
from lakehouse.object_store import explain_client, object_store
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import (
    ConnectSettings,
    KafkaSettings,
    MinioSettings,
    OltpSettings,
    ReconcileSettings,
    WarehouseSettings,
)

_USER = "reader"
_ROLE = "reconcile"


@dataclass(frozen=True, kw_only=True)
class ReconcileConfig:
    """Addresses and limits, by default from the environment."""

    oltp: OltpSettings = field(default_factory=OltpSettings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    connect: ConnectSettings = field(default_factory=ConnectSettings)
    minio: MinioSettings = field(default_factory=MinioSettings)
    warehouse: WarehouseSettings = field(default_factory=WarehouseSettings)
    limits: ReconcileSettings = field(default_factory=ReconcileSettings)
    rules: SilverRules = field(default_factory=lambda: SilverRules.of_settings())


def reconcile(
    secrets: Secrets,
    config: ReconcileConfig | None = None,
    *,
    cluster: Cluster | None = None,
    on_progress: Callable[[str], None] = lambda _stage: None,
) -> Report:
    """Compare the shop, as of one snapshot, with bronze, change by change; then each layer.

    Args:
        secrets: secrets of the roles `oltp_reconcile`, `oltp_monitor`, `minio_reader`,
            `warehouse_batch`.
        config: addresses and limits.
        cluster: of Spark, whose workers validate bronze again; None for this process.
        on_progress: called with a short description of each step.

    Raises:
        StopPipelineError: bronze cannot be compared.
        RetryLaterError: bronze did not catch up in time, or a service does not answer.
    """
    run = _Run(secrets, config or ReconcileConfig(), on_progress, cluster)
    with Topics(run.config.kafka.client) as topics:
        return run.run(topics)


def settle(
    secrets: Secrets,
    config: ReconcileConfig | None = None,
    *,
    on_progress: Callable[[str], None] = lambda _stage: None,
) -> None:
    """Wait until bronze holds all that the shop has committed so far.

    Raises:
        StopPipelineError: Connect is in a state that it does not leave by itself.
        RetryLaterError: bronze did not catch up in time, or a service does not answer.
    """
    run = _Run(secrets, config or ReconcileConfig(), on_progress)
    with Topics(run.config.kafka.client) as topics:
        run.settle(topics)


@dataclass(frozen=True, kw_only=True)
class CaughtUp:
    """A snapshot of the shop, and bronze at versions that include all that it sees."""

    shop: ShopSnapshot
    source: Sequence[SourceTable]
    bronze: Mapping[str, BronzeTable]
    """Bronze tables by topic."""
    topic_of: Callable[[str], str]
    """Returns the topic of a table."""
    masks: Masks
    """What the connector masks."""


@contextmanager
def caught_up(
    secrets: Secrets,
    config: ReconcileConfig,
    topics: Topics,
    *,
    on_progress: Callable[[str], None] = lambda _stage: None,
) -> Iterator[CaughtUp]:
    """Take a snapshot of the shop, and wait until bronze has everything up to it.

    Raises:
        StopPipelineError: Connect is in a state that it does not leave by itself.
        RetryLaterError: bronze did not catch up in time, or a service does not answer.
    """
    with _Run(secrets, config, on_progress).caught_up(topics) as found:
        yield found


class _Run:
    def __init__(
        self,
        secrets: Secrets,
        config: ReconcileConfig,
        on_progress: Callable[[str], None],
        cluster: Cluster | None = None,
    ) -> None:
        self.config = config
        self._cluster = cluster
        self._progress = on_progress
        self._secrets = secrets
        self._dsn = oltp_dsn(config.oltp, secrets, role=_ROLE)
        self._monitor_dsn = oltp_dsn(config.oltp, secrets, role="monitor")
        self._options = storage_options(config.minio, secrets, user=_USER)
        self._lake = Lake.of(config.minio, secrets, user=_USER)

    def run(self, topics: Topics) -> Report:
        started = time.monotonic()
        with self.caught_up(topics) as found:
            shop = found.shop
            compared = self._compare(shop, found.source, found.bronze)
            tables = [*compared, *self._dropped(found.source)]
        return Report(
            tables=tuple(sorted(tables, key=lambda table: table.table)),
            behind=tuple(self._behind()),
            layers=tuple(self._layers()),
            snapshot=SnapshotReport(snapshot=shop.snapshot, lsn=shop.lsn, taken_at=shop.taken_at),
            seconds=time.monotonic() - started,
        )

    @contextmanager
    def caught_up(self, topics: Topics) -> Iterator[CaughtUp]:
        self._progress("waiting for Connect to stream")
        self._pass_connect(topics)
        self._progress("taking a snapshot of the shop")
        with ShopSnapshot(self._dsn) as shop:
            self._progress("waiting for Connect to pass the snapshot")
            self._pass_connect(topics)
            masks = masks_in_effect(self.config.connect)
            source = shop.tables(masks, salt=self._salt(masks))
            bronze = self._wait_for_bronze(topics, source)
            yield CaughtUp(
                shop=shop, source=source, bronze=bronze, topic_of=self._topic, masks=masks
            )

    def _salt(self, masks: Masks) -> str:
        has_hash = any(Mask.HASH in columns.values() for columns in masks.values())
        return self._secrets[SALT] if has_hash else ""

    def settle(self, topics: Topics) -> None:
        self._progress("waiting for Connect")
        self._pass_connect(topics)
        with ShopSnapshot(self._dsn) as shop:
            source = shop.tables()
        self._wait_for_bronze(topics, source)

    def _pass_connect(self, topics: Topics) -> None:
        pass_connect(
            topics,
            f"{self.config.connect.topic_prefix}.cdc.heartbeat",
            self._dsn,
            timeout_seconds=self.config.limits.timeout_seconds,
            health=lambda: check(self.config.connect, self._monitor_dsn),
        )

    def _wait_for_bronze(
        self, topics: Topics, source: Sequence[SourceTable]
    ) -> dict[str, BronzeTable]:
        """Return the bronze tables by topic, at versions that include the snapshot."""
        wanted = {self._topic(table.name) for table in source}
        captured = topics.captured(self.config.connect.topic_prefix)
        ends = topics.ends({name: t for name, t in captured.items() if name in wanted})
        self._progress("waiting for bronze")
        bucket = self.config.minio.bronze_bucket
        tables = {t: BronzeTable(bucket, bronze_table(t), self._options) for t in sorted(wanted)}
        arrival = BronzeArrival(topics=topics, tables=tables)
        arrival.wait(ends, timeout_seconds=self.config.limits.timeout_seconds)
        return tables

    def _compare(
        self, shop: ShopSnapshot, source: Sequence[SourceTable], bronze: Mapping[str, BronzeTable]
    ) -> Iterator[TableReport]:
        losses = read_resolved(self._lake)
        for number, table in enumerate(source, start=1):
            self._progress(f"comparing {table.name} ({number} of {len(source)})")
            started = time.monotonic()
            topic = self._topic(table.name)
            landed = bronze[topic]
            how = Comparison(
                visibility=shop.visibility,
                slices=slices_for(*landed.size),
                examples=Examples(),
                losses=losses.get(topic, ()),
                recast=shop.recast,
            )
            findings, note, may_pass = Findings(), "", False
            try:
                findings = compare_table(table, shop.rows(table), landed.records(), how)
            except (HiddenRowsError, TableChangedError) as error:
                note, may_pass = str(error), isinstance(error, RetryLaterError)
            yield TableReport(
                table=table.name,
                bronze=landed.name,
                findings=findings,
                seconds=time.monotonic() - started,
                not_compared=table.skipped,
                note=note,
                may_pass=may_pass,
                has_key=bool(table.key),
            )

    def _layers(self) -> Iterator[LayerReport]:
        """Yield a report of every table above bronze, including those that cannot be compared."""
        lake = self._lake
        examples = Examples()
        silver: list[LayerReport] = []
        for report in compare_silver(lake, self.config.rules, examples, cluster=self._cluster):
            self._progress(f"compared silver {report.table}")
            silver.append(report)
        yield from silver
        if is_made(lake, SCHEMAS):
            dsn = warehouse_dsn(self.config.warehouse, self._secrets, role="batch")
            self._progress("comparing the warehouse with silver")
            yield from compare_warehouse(lake, dsn, examples)
            self._progress("comparing gold with the warehouse")
            yield from compare_gold(lake, dsn, examples)
        elif not all(report.is_compared for report in silver):
            # The warehouse may not be running yet.
            for layer in ("warehouse", "gold"):
                yield LayerReport.not_compared(layer, "all tables", "there is no silver yet")

    def _behind(self) -> Sequence[LayerBehind]:
        """Measure before the comparison: layers that change meanwhile have at least that."""
        if not is_made(self._lake, SCHEMAS):
            return ()
        self._progress("measuring how far each layer is behind")
        dsn = warehouse_dsn(self.config.warehouse, self._secrets, role="batch")
        return layers_behind(self._lake, dsn)

    def _dropped(self, source: Sequence[SourceTable]) -> Iterator[TableReport]:
        """Yield bronze tables whose table the shop has dropped. Their changes are kept."""
        minio = self.config.minio
        store = object_store(minio, self._secrets, user=_USER)
        try:
            folders = [str(o.object_name) for o in store.list_objects(minio.bronze_bucket)]
        except (S3Error, HTTPError) as error:
            raise explain_client(error, "The tables of bronze cannot be listed") from error
        known = {bronze_table(self._topic(table.name)) for table in source}
        for name in sorted(folder.removesuffix("/") for folder in folders):
            if name.startswith("raw_") and name not in known:
                records, _ = BronzeTable(minio.bronze_bucket, name, self._options).size
                yield TableReport(
                    table=name.removeprefix("raw_"),
                    bronze=name,
                    findings=Findings(changes=records),
                    seconds=0.0,
                    is_dropped=True,
                )

    def _topic(self, table: str) -> str:
        return captured_topic(self.config.connect.topic_prefix, table)

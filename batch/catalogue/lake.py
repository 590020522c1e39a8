"""The lake's tables, and metrics from their logs, without reading rows."""

import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler

from batch.catalogue.metrics import Behind, LakeTable, TableMetrics, Unit
from batch.delta_log import DeltaLog
from lakehouse.contracts import ENTITIES
from lakehouse.delta import retry_later
from lakehouse.lake import EPOCHS_PROPERTY, Lake
from lakehouse.layers import LAKE
from lakehouse.object_store import addressed
from lakehouse.offsets import EpochPartition, bronze_kind, count_missing

_BORN = ("_timestamp", "_committed_at")
_WRITTEN = pl.from_epoch("modification_time", time_unit="ms").dt.replace_time_zone("UTC")
"""Modification time of a file."""
_BELOW = {"silver": "bronze", "gold": "silver"}
_TABLES_AT_ONCE = 6


def lake_tables(lake: Lake, layers: Collection[str] = LAKE) -> list[LakeTable]:
    """List every folder of these layers, by layer and name. A first commit creates the table.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    found: list[LakeTable] = []
    for layer in (layer for layer in LAKE if layer in layers):
        root = getattr(lake, layer)
        with retry_later(f"{root} cannot be listed"):
            # A bucket's folder exists once the stack was up, and is empty at first.
            selector = pafs.FileSelector("", allow_not_found=True)
            store = pafs.PyFileSystem(DeltaStorageHandler(root, addressed(root, lake.options)))
            listed = store.get_file_info(selector)
        folders = (str(file.path).strip("/") for file in listed if not file.is_file)
        found += [LakeTable(layer=layer, name=name) for name in sorted(folders)]
    return found


@dataclass(frozen=True, slots=True)
class _Opened:
    """A table at one version, with what was read of it once."""

    table: LakeTable
    delta: DeltaTable
    log: DeltaLog
    transactions: Mapping[str, int]


def lake_metrics(lake: Lake, layers: Collection[str] = LAKE) -> list[TableMetrics]:
    """Return the metrics of every table of these layers.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    return LakeReader(lake).metrics(layers)


class LakeReader:
    """Metrics for who reads them repeatedly: only what was committed meanwhile is read again."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._opened: Mapping[LakeTable, _Opened] = {}

    @property
    def deltas(self) -> Mapping[LakeTable, DeltaTable]:
        """The tables that were last read, in the version of that time or a later one."""
        return {table: one.delta for table, one in self._opened.items()}

    def metrics(self, layers: Collection[str] = LAKE) -> list[TableMetrics]:
        """Return the metrics of every table of these layers, as of now.

        Raises:
            RetryLaterError: the object store does not answer.
        """
        # How far a table is behind is computed from the layer below it.
        needed = {*layers, *(_BELOW[layer] for layer in layers if layer in _BELOW)}
        with self._lock, ThreadPoolExecutor(_TABLES_AT_ONCE) as pool:
            opened = list(pool.map(self._read, lake_tables(self._lake, needed)))
            tables = {one.table: one for one in opened if one is not None}
            self._opened = tables
            wanted = [one for one in tables.values() if one.table.layer in layers]
            return list(pool.map(lambda one: _metrics(one, tables), wanted))

    def _read(self, table: LakeTable) -> _Opened | None:
        known = self._opened.get(table)
        if known is not None and (log := known.log.again()) is not None:
            return replace(known, log=log, transactions=log.transactions())
        delta = self._lake.open(table.layer, table.name)
        if delta is None:
            return None
        log = DeltaLog(delta)
        return _Opened(table, delta, log, log.transactions())


def _metrics(one: _Opened, tables: Mapping[LakeTable, _Opened]) -> TableMetrics:
    files = pl.DataFrame(pa.table(one.delta.get_add_actions(flatten=True)))
    counts = pl.Series(files["num_records"] if files.width else [], dtype=pl.Int64)
    metrics = TableMetrics(
        table=one.table,
        rows=None if counts.null_count() else int(counts.sum()),
        files=files.height,
        bytes=int(files["size_bytes"].sum()) if files.width else 0,
        version=one.delta.version(),
        newest_at=_newest(one, files),
    )
    return _WATERMARKS[one.table.layer](one, tables, metrics)


def _newest(one: _Opened, files: pl.DataFrame) -> datetime | None:
    """Return when the newest row was written at the source, or else the time of the last commit.

    A row with a timestamp in the future counts as of its file's modification time.
    """
    for name in _BORN:
        if f"max.{name}" in files.columns:
            made = pl.min_horizontal(pl.col(f"max.{name}"), _WRITTEN)
            newest = files.filter(pl.col(f"max.{name}").is_not_null()).select(made.max()).item()
            return newest if isinstance(newest, datetime) else None
    for commit in one.log.before(one.delta.version()):
        if commit.changes_data:
            return commit.at
    return None


def _of_bronze(one: _Opened, _: Mapping[LakeTable, _Opened], metrics: TableMetrics) -> TableMetrics:
    return replace(metrics, offsets=_landed(one))


def _of_silver(
    one: _Opened, tables: Mapping[LakeTable, _Opened], metrics: TableMetrics
) -> TableMetrics:
    offsets = _read_by("", one)
    readers = {e.reader for e in ENTITIES.values()} - {""}
    by_reader = {reader: found for reader in readers if (found := _read_by(reader, one))}
    behind = sum(
        count_missing(_landed(bronze), read)
        for read in (offsets, *by_reader.values())
        for bronze in _sources(one.table.name, read, tables.values())
    )
    return replace(
        metrics, offsets=offsets, offsets_by_reader=by_reader,
        behind=Behind(count=behind, unit=Unit.OFFSETS),
    )  # fmt: skip


def _read_by(reader: str, one: _Opened) -> dict[EpochPartition, int]:
    return {
        EpochPartition(epoch=int(epoch), topic_id=topic_id, partition=int(partition)): last
        for (topic_id, epoch, partition), last in _named(one, bronze_kind(reader), 3)
    }


def _of_gold(
    one: _Opened, tables: Mapping[LakeTable, _Opened], metrics: TableMetrics
) -> TableMetrics:
    versions: dict[str, int] = {}
    behind = 0
    for (name, table_id), version in _named(one, "silver", 2):
        silver = tables.get(LakeTable(layer="silver", name=name))
        if silver is not None and str(silver.delta.metadata().id) == table_id:
            versions[name] = version
            behind += sum(commit.changes_data for commit in silver.log.after(version))
    return replace(metrics, versions=versions, behind=Behind(count=behind, unit=Unit.VERSIONS))


_WATERMARKS: Mapping[
    str, Callable[[_Opened, Mapping[LakeTable, _Opened], TableMetrics], TableMetrics]
] = {"bronze": _of_bronze, "silver": _of_silver, "gold": _of_gold}


def _named(one: _Opened, kind: str, parts: int) -> Iterator[tuple[Sequence[str], int]]:
    """Yield the app transactions `kind/…` with this many parts behind it, in order."""
    for app_id, version in sorted(one.transactions.items()):
        found, _, names = app_id.partition("/")
        # A topic id is base64: it may contain a slash.
        rest = names.rsplit("/", parts - 1)
        if found == kind and len(rest) == parts:
            yield rest, version


def _sources(
    silver: str, offsets: Iterable[EpochPartition], tables: Iterable[_Opened]
) -> Iterator[_Opened]:
    """Yield the bronze tables of a silver table: its entity's, or those that it has read."""
    own = {e.bronze for e in ENTITIES.values() if silver in (e.silver, e.history)}
    topics = {partition.topic_id for partition in offsets}
    for one in tables:
        is_own = one.table.name in own if own else not topics.isdisjoint(_topics(one))
        if one.table.layer == "bronze" and is_own:
            yield one


def _topics(bronze: _Opened) -> set[str]:
    return {topic_id for (topic_id, _), _ in _named(bronze, "kafka", 2)}


def _landed(bronze: _Opened) -> dict[EpochPartition, int]:
    """Return the last landed offset of each partition in the newest epoch."""
    stored = bronze.delta.metadata().configuration.get(EPOCHS_PROPERTY) or "[]"
    epochs = {epoch["topic_id"]: int(epoch["epoch"]) for epoch in json.loads(stored)}
    return {
        EpochPartition(epoch=epochs[topic_id], topic_id=topic_id, partition=int(partition)): last
        for (topic_id, partition), last in _named(bronze, "kafka", 2)
        if topic_id in epochs
    }

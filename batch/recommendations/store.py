"""Writes what a training made: gold, one commit per table, then the mart, in one transaction.

Gold carries the versions of silver that it was trained from, under app ids of their own: it is
trained once a night, so that it is not behind when silver has newer versions.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
import psycopg
from deltalake import write_deltalake
from psycopg import sql

from batch.gold.silver import pin
from batch.lock import first_of
from batch.recommendations.history import read_history
from batch.recommendations.training import SEED, Tested, Training, train
from batch.runs import Run
from batch.warehouse.locks import WAIT_SECONDS
from batch.warehouse.session import loading
from batch.warehouse.views import flag_stale, refresh_views
from lakehouse.commit import a_few_times, until_known
from lakehouse.contracts.gold import (
    RECOMMENDATION_QUALITY,
    RECOMMENDATIONS,
    SIMILAR_PRODUCTS,
    TRAINED_TABLES,
    GoldTable,
)
from lakehouse.contracts.schemas import gold_schema
from lakehouse.delta import (
    CHECKPOINTS,
    retry_later,
    scan,
    table_properties,
    with_watermarks,
    writer_of,
)
from lakehouse.errors import WrongArgumentError
from lakehouse.lake import Lake
from lakehouse.shop_time import shop_time

_SLICE_ROWS = 100_000
Progress = Callable[[str], None]
_LOCK = "training of recommendations"
_MART = {
    RECOMMENDATIONS.name: "recommendation",
    SIMILAR_PRODUCTS.name: "similar_product",
    RECOMMENDATION_QUALITY.name: "recommendation_quality",
}
"""Tables of schema etl, by gold table."""


def train_and_publish(
    lake: Lake,
    warehouse: str,
    *,
    retention_hours: int,
    until: datetime | None = None,
    seed: int = SEED,
    on_progress: Progress = lambda _what: None,
) -> Training | None:
    """Train from silver, then write gold and the mart.

    Args:
        lake: opened as a user that may write gold.
        warehouse: connection to the migrated warehouse as its role `batch`.
        retention_hours: how long a new table keeps its log and replaced files.
        until: the instant up to which purchases are read; by default all are.
        seed: of the random baseline.
        on_progress: called with the next step.

    Returns:
        None if silver has no purchase; the lists are then empty.

    Raises:
        WrongArgumentError: silver has no purchase up to the instant, but later ones.
        RetryLaterError: the object store or the warehouse does not answer, or another training runs
            (`BusyError`).
    """
    with first_of(warehouse, "recommend train", _LOCK):
        return _train(
            lake, warehouse, retention_hours=retention_hours, until=until, seed=seed,
            on_progress=on_progress,
        )  # fmt: skip


def _train(
    lake: Lake,
    warehouse: str,
    *,
    retention_hours: int,
    until: datetime | None,
    seed: int,
    on_progress: Progress,
) -> Training | None:
    on_progress("reading silver")
    with retry_later("silver cannot be read"):
        silver = pin(lake, RECOMMENDATIONS.inputs, {})
        history = read_history(silver, until)
        if history is None and until is not None and read_history(silver) is not None:
            problem = f"Silver has no purchase up to {shop_time(until)}"
            raise WrongArgumentError(problem, "Train with a later --until, or without.")
    watermarks = {
        f"trained/{one.app_id}": one.version
        for one in silver.tables.values()
        if one.app_id is not None
    }
    training = None if history is None else train(history, seed=seed, on_progress=on_progress)
    for table in TRAINED_TABLES.values():
        on_progress(f"gold/{table.name}")
        write_gold(lake, table, _rows_of(training, table), watermarks, retention_hours)
    publish(lake, warehouse, on_progress=on_progress)
    return training


def _rows_of(training: Training | None, table: GoldTable) -> pl.DataFrame | None:
    return None if training is None else getattr(training, table.name)


def write_gold(
    lake: Lake,
    table: GoldTable,
    rows: pl.DataFrame | None,
    watermarks: Mapping[str, int],
    retention_hours: int,
) -> None:
    """Replace a table's rows in one commit; the quality of earlier trainings stays.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    schema = gold_schema(table)

    def attempt() -> None:
        delta = lake.open_or_create(
            "gold", table.name, schema,
            properties=table_properties(retention_hours=retention_hours, has_change_feed=False),
        )  # fmt: skip
        new = pl.DataFrame(schema.empty_table()) if rows is None else rows.select(schema.names)
        if table is RECOMMENDATION_QUALITY:
            earlier = scan(delta).collect()
            if rows is not None:
                earlier = earlier.join(rows, on="trained_until_at", how="anti")
            new = pl.concat([earlier, new.cast(earlier.schema)])
        write_deltalake(
            delta,
            new.to_arrow().cast(schema),
            mode="overwrite",
            writer_properties=writer_of(schema),
            commit_properties=with_watermarks(watermarks, is_alone=True),
            post_commithook_properties=CHECKPOINTS,
        )

    uri = lake.uri("gold", table.name)
    until_known(attempt, reopen=lambda: None, wait=a_few_times(uri))


def publish(lake: Lake, dsn: str, *, on_progress: Progress = lambda _what: None) -> None:
    """Copy gold's recommendations into the warehouse, in one transaction.

    Raises:
        RetryLaterError: the warehouse or the object store does not answer.
    """
    on_progress("loading the warehouse")
    with (
        loading(dsn, "the recommendations", on_progress, WAIT_SECONDS) as connection,
        connection.transaction(),
    ):
        _copy(lake, connection)
    refresh_views(dsn, on_progress=on_progress)


def _copy(lake: Lake, connection: psycopg.Connection) -> None:
    flag_stale(connection)
    for name, target in _MART.items():
        delta = lake.open("gold", name)
        if delta is not None:
            with retry_later(f"gold/{name} cannot be read"):
                rows = scan(delta).collect()
            _replace(connection, target, TRAINED_TABLES[name].names, rows)


def _replace(
    connection: psycopg.Connection, target: str, columns: Sequence[str], rows: pl.DataFrame
) -> None:
    table = sql.Identifier("etl", target)
    connection.execute(sql.SQL("delete from {}").format(table))
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    copying = sql.SQL("copy {} ({}) from stdin (format csv)").format(table, names)
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        for some in rows.select(columns).iter_slices(_SLICE_ROWS):
            copy.write(some.write_csv(include_header=False))


def note_training(run: Run, training: Training | None) -> dict[str, Any]:
    """Add a training to a run's record; return what was added."""
    if training is None:
        details: dict[str, Any] = {"quality": [], "verdicts": [], "digest": None}
    else:
        details = {
            "trained_until": training.until.isoformat(),
            "quality": [told(one) for one in training.tested],
            "verdicts": list(training.verdicts()),
            "digest": str(training.digest),
        }
    rows = 0 if training is None else training.recommendations.height
    run.note(rows_written=rows, details=details)
    return details


def told(tested: Tested) -> dict[str, Any]:
    """Return a row of the table of quality, as people read it."""
    quality = tested.quality
    return {
        "list": str(tested.kind),
        "model": tested.model,
        "customers": quality.customers,
        "recall@10": f"{quality.recall:.4f}",
        "nDCG@10": f"{quality.ndcg:.4f}",
        "coverage": f"{quality.coverage:.3f}",
        "novelty": f"{quality.novelty:.2f}",
    }

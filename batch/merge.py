"""Replacement of rows in a Delta table by one merge."""

import polars as pl
from deltalake import CommitProperties, DeltaTable

from lakehouse.delta import CHECKPOINTS, schema_of, writer_of

_IS_GONE = "_is_gone"


def replace_rows(
    delta: DeltaTable,
    rows: pl.DataFrame,
    gone: pl.DataFrame,
    *,
    where: str,
    scope: str | None = None,
    properties: CommitProperties | None = None,
) -> None:
    """Upsert and delete rows of a table. A merge that changes nothing commits nothing.

    Args:
        delta: the table.
        rows: new rows, with all columns of the table.
        gone: keys of rows to delete, with the columns that `where` compares.
        where: condition that a row of the table (`t`) and one of these (`s`) are the same.
        scope: rows of the table that are also deleted, unless they are among `rows`.
        properties: properties of the commit.

    Raises:
        DeltaError: a conflict with another commit, or the store does not answer.
    """
    source = pl.concat(
        [rows.with_columns(pl.lit(value=False).alias(_IS_GONE)),
         gone.with_columns(pl.lit(value=True).alias(_IS_GONE))],
        how="diagonal",
    )  # fmt: skip
    values = {name: f"s.{name}" for name in rows.columns}
    merging = (
        delta.merge(
            source.to_arrow(),
            predicate=where,
            source_alias="s",
            target_alias="t",
            writer_properties=writer_of(schema_of(delta)),
            commit_properties=properties,
            post_commithook_properties=CHECKPOINTS,
        )
        .when_matched_delete(predicate=f"s.{_IS_GONE}")
        .when_matched_update(values)
        .when_not_matched_insert(values, predicate=f"not s.{_IS_GONE}")
    )
    if scope is not None:
        merging = merging.when_not_matched_by_source_delete(predicate=scope)
    merging.execute()

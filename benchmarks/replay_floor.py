"""Plain Polars from bronze to the latest change of each key: `python -m benchmarks.replay_floor`.

Table by table it reads the Parquet files that bronze's log names, parses the records and keeps the
newest of each key. Nothing is cleaned, validated, compared or written.
"""

import io
import sys

import polars as pl
from deltalake import DeltaTable

from lakehouse.connections import lake_of_reader
from lakehouse.contracts import ENTITIES, Entity


def main() -> None:
    """Do it for every table, and say how many rows came out."""
    lake = lake_of_reader()
    options = dict(lake.options)
    options.pop("aws_conditional_put")
    rows = 0
    for entity in ENTITIES.values():
        uri = lake.uri("bronze", entity.bronze)
        files = DeltaTable(uri, storage_options=dict(lake.options)).file_uris()
        rows += _latest(entity, pl.read_parquet(files, storage_options=options)).height
    sys.stdout.write(f"{rows}\n")


def _latest(entity: Entity, records: pl.DataFrame) -> pl.DataFrame:
    names = [column.source for column in entity.columns]
    image = pl.Struct(dict.fromkeys(names, pl.String))
    schema = pl.Schema({"op": pl.String(), "before": image, "after": image})
    lines = io.BytesIO(b"\n".join(records["value"]))
    parsed = pl.read_ndjson(lines, schema=schema)
    row = pl.when(pl.col("after").is_not_null()).then("after").otherwise("before")
    coordinates = records.select("_epoch", "_offset")
    told = pl.concat([parsed.select("op", row=row).unnest("row"), coordinates], how="horizontal")
    key = entity.column(entity.key).source
    return told.sort("_epoch", "_offset").unique(key, keep="last")


if __name__ == "__main__":
    main()

"""Tables read by Spark SQL: run with its own Python, with a JSON of what to read, and how.

Prints for each table what `tests.second_reader.Reading` holds.
"""

import json
import sys

from pyspark.sql import DataFrame, SparkSession

SUMS = {
    "string": "sum(octet_length({}))",
    "binary": "sum(octet_length({}))",
    "timestamp": "sum(unix_micros({}))",
    "date": "sum(datediff({}, date'1970-01-01'))",
    "boolean": "sum(cast({} as int))",
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint", "float", "double"), "sum({})"),
}


def reading(table: DataFrame) -> dict[str, object]:
    columns = dict(table.dtypes)
    sums = {name: SUMS[kind] for name, kind in columns.items() if kind in SUMS}
    asked = [
        "count(*) as `rows`",
        *(f"count_if(`{name}` is null) as `nulls.{name}`" for name in columns),
        *(f"{how.format(f'`{name}`')} as `sums.{name}`" for name, how in sums.items()),
    ]
    (row,) = table.selectExpr(*asked).collect()
    found = row.asDict()
    return {
        "rows": found["rows"],
        "nulls": {name: found[f"nulls.{name}"] for name in columns},
        "sums": {name: found[f"sums.{name}"] for name in sums},
    }


def main() -> None:
    task = json.loads(sys.stdin.read())
    builder = SparkSession.builder.master("local[2]")
    for name, value in task["settings"].items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    for statement in task["statements"]:
        spark.sql(statement)
    json.dump({name: reading(spark.table(name)) for name in task["tables"]}, sys.stdout)


if __name__ == "__main__":
    main()

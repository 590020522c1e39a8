#!/bin/sh
# delta-rs: a predicate that compares an instant with a literal of SQL's type timestamp.
#
# One would guess: what a MERGE and a query understand, `delete` understands, too; and a literal with
# its type is at least as good as a bare text.
# Seen: `delete` and `update` fail with "Invalid comparison operation", whatever the type's precision,
# and take the bare text; the MERGE takes both.
# With: deltalake 1.6.6.
. "$(dirname "$0")/common.sh"
install_deltalake
"$python" - "$folder" <<'PYTHON'
import sys
from datetime import UTC, datetime

import pyarrow
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import DeltaError

days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
rows = pyarrow.table({"id": [1, 2, 3], "at": pyarrow.array(days, pyarrow.timestamp("us", "UTC"))})
tables = iter(range(100))


def table():
    place = f"{sys.argv[1]}/table-{next(tables)}"
    write_deltalake(place, rows)
    return DeltaTable(place)


def tried(do):
    try:
        return do()
    except DeltaError as error:
        return "Invalid comparison" if "Invalid comparison operation" in str(error) else str(error)


def merged(predicate):
    merge = table().merge(
        rows, f"s.id = t.id and t.{predicate}", source_alias="s", target_alias="t"
    )
    return merge.when_matched_delete().execute()["num_target_rows_deleted"]


def queried(predicate):
    builder = QueryBuilder().register("t", table())
    found = builder.execute(f"select id from t where {predicate}").read_all()
    return pyarrow.table(found).num_rows


found = {}
for predicate in (
    "at > '2026-01-01T12:00:00Z'",
    "at > timestamp '2026-01-01T12:00:00Z'",
    "at > cast('2026-01-01T12:00:00Z' as timestamp)",
    "at > to_timestamp_micros(1767268800000000)",
):
    found[predicate] = (
        queried(predicate),
        merged(predicate),
        tried(lambda predicate=predicate: table().delete(predicate)["num_deleted_rows"]),
        tried(
            lambda predicate=predicate: table().update({"id": "0"}, predicate=predicate)[
                "num_updated_rows"
            ]
        ),
    )
print("guess: each of them finds two rows in a query, a merge, a delete and an update")
for predicate, answers in found.items():
    print("seen: ", predicate, answers)
bare, *typed = found.values()
assert bare == (2, 2, 2, 2)
refused = "Invalid comparison"
assert typed == [(2, 2, refused, refused)] * 3
PYTHON

#!/bin/sh
# delta-rs: a MERGE that matches nothing, with an application's transaction to remember how far it came.
#
# One would guess: it commits, as an append of no rows does, so that the next reader of
# `transaction_version` knows that this batch has been dealt with.
# Seen: it makes no commit, says nothing, and the transaction is lost. A stream that keeps its
# position so reads the same batch for ever while nothing in it matches.
# With: deltalake 1.6.6.
. "$(dirname "$0")/common.sh"
install_deltalake
"$python" - "$folder/table" <<'PYTHON'
import sys

import pyarrow
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

table = sys.argv[1]
rows = pyarrow.table({"id": [1], "price": [10]})


def until(version):
    return CommitProperties(app_transactions=[Transaction("stream", version)])


def state():
    now = DeltaTable(table)
    return now.version(), now.transaction_version("stream")


write_deltalake(table, rows, commit_properties=until(1))
merge = DeltaTable(table).merge(
    rows, "s.id = t.id", source_alias="s", target_alias="t", commit_properties=until(2)
)
merge.when_matched_update({"price": "s.price"}, predicate="s.price > t.price").execute()
merged = state()
write_deltalake(table, rows.slice(0, 0), mode="append", commit_properties=until(3))
appended = state()
print("(the table's version, the stream's transaction)")
print("guess: after a merge of nothing (1, 2), after an append of nothing (2, 3)")
print("seen:  after a merge of nothing", merged, "after an append of nothing", appended)
assert merged == (0, 1)
assert appended == (1, 3)
PYTHON

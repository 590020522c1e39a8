#!/bin/sh
# delta-rs: a sum in a MERGE that is beyond 64 bits.
#
# One would guess: an error, as from PostgreSQL, from Arrow's own `add_checked`, or from Spark in its
# ANSI mode, above all where money is kept in cents.
# Seen: it wraps around, and the smallest integer is committed.
# With: deltalake 1.6.6.
. "$(dirname "$0")/common.sh"
install_deltalake
"$python" - "$folder/table" <<'PYTHON'
import sys

import pyarrow
from deltalake import DeltaTable, write_deltalake

table, largest = sys.argv[1], 2**63 - 1
write_deltalake(table, pyarrow.table({"id": [1], "cents": [largest]}))
more = pyarrow.table({"id": [1], "cents": [1]})
merge = DeltaTable(table).merge(more, "s.id = t.id", source_alias="s", target_alias="t")
merge.when_matched_update({"cents": "t.cents + s.cents"}).execute()
[found] = DeltaTable(table).to_pyarrow_table()["cents"].to_pylist()
print("guess: an error")
print("seen: ", largest, "+ 1 =", found)
assert found == -(2**63)
PYTHON

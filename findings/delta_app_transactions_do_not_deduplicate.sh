#!/bin/sh
# delta-rs: a commit with an application's transaction (`txn`) that the table has already.
#
# One would guess: a second commit with the same application id and version writes nothing, or is
# refused, as Spark skips a write with the same txnAppId and txnVersion.
# Seen: rows are appended again, and an older version than the one there is taken, too: from then on
# it is the one that the table tells. Only who asks for the version first, on the very handle that
# commits, is safe.
# With: deltalake 1.6.6.
. "$(dirname "$0")/common.sh"
install_deltalake
"$python" - "$folder/table" <<'PYTHON'
import sys

import pyarrow
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

table = sys.argv[1]
found = []
for version in (7, 7, 3):
    properties = CommitProperties(app_transactions=[Transaction("writer", version)])
    rows = pyarrow.table({"id": [1]})
    write_deltalake(table, rows, mode="append", commit_properties=properties)
    now = DeltaTable(table)
    found.append((version, now.transaction_version("writer"), now.to_pyarrow_table().num_rows))
print("(version committed, version told, rows in the table)")
print("guess: [(7, 7, 1), (7, 7, 1), (3, 7, 1)], or an error")
print("seen: ", found)
assert found == [(7, 7, 1), (7, 7, 2), (3, 3, 3)]
PYTHON

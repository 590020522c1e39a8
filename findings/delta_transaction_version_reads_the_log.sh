#!/bin/sh
# delta-rs: an opened table's app transactions, such as the offsets up to which it was filled.
#
# One would guess: `DeltaTable.transaction_version()` answers from the state that was read when the
# table was opened, as `version()`, `metadata()` and `get_add_actions()` do: it takes no I/O.
# Seen: each call reads the log from the store again, all entries since the last checkpoint. With
# the log out of reach, the others still answer, and this one fails. A table with a hundred commits
# since its checkpoint and offsets of eight partitions takes eight hundred reads.
# With: deltalake 1.6.6.
. "$(dirname "$0")/common.sh"
install_deltalake
"$python" - "$folder/table" <<'PYTHON'
import pathlib
import sys

import pyarrow
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

table = pathlib.Path(sys.argv[1])
for number in range(3):
    properties = CommitProperties(app_transactions=[Transaction("topic/0", number)])
    rows = pyarrow.table({"id": [number]})
    write_deltalake(table, rows, mode="append", commit_properties=properties)
opened = DeltaTable(table)
assert opened.transaction_version("topic/0") == 2
(table / "_delta_log").rename(table / "_elsewhere")
print("without its log: version", opened.version(), "files", opened.get_add_actions().num_rows)
assert opened.version() == 2
assert opened.get_add_actions().num_rows == 3
print("guess: transaction 2")
try:
    opened.transaction_version("topic/0")
except DeltaError as error:
    print("seen:", str(error).replace(str(table), "TABLE"))
else:
    raise AssertionError("it was answered from memory")
PYTHON

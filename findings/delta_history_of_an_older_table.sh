#!/bin/sh
# delta-rs: the history of a table that was opened earlier, or at an older version.
#
# One would guess: `DeltaTable.history()` lists the commits up to the version of the handle, each
# with its own number; or, if it looks at the log anew, all of them, each with its own number.
# Seen: it lists the commits that others have made since, too, and numbers them downwards from the
# handle's version. Each commit has the number of another one, and the first ones are negative.
# With: deltalake 1.6.6.
. "$(dirname "$0")/common.sh"
install_deltalake
"$python" - "$folder/table" <<'PYTHON'
import sys

import pyarrow
from deltalake import CommitProperties, DeltaTable, write_deltalake

table = sys.argv[1]


def commit(name):
    properties = CommitProperties(custom_metadata={"name": name})
    rows = pyarrow.table({"id": [1]})
    write_deltalake(table, rows, mode="append", commit_properties=properties)


def history(handle):
    return [(entry["version"], entry["name"]) for entry in handle.history()]


for name in ("zero", "one", "two"):
    commit(name)
opened = DeltaTable(table)
commit("three")
commit("four")
found = history(opened)
print("the handle's version:", opened.version())
print("guess: [(2, 'two'), (1, 'one'), (0, 'zero')]")
print("seen: ", found)
print("anew: ", history(DeltaTable(table)))
assert opened.version() == 2
assert found == [(2, "four"), (1, "three"), (0, "two"), (-1, "one"), (-2, "zero")]
assert history(DeltaTable(table, version=0))[0] == (0, "four")
PYTHON

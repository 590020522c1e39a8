#!/bin/sh
# delta-rs: opening a version whose log entries have been cleaned up behind a checkpoint.
#
# One would guess: an error that says that this version has expired, as one that is too high is told.
# Seen: TableNotFoundError, while the table itself opens. Who takes that error for "not made yet, so
# empty" reads an expired version as a table without rows.
# With: deltalake 1.6.6.
. "$(dirname "$0")/common.sh"
install_deltalake
"$python" - "$folder/table" <<'PYTHON'
import sys
from pathlib import Path

import pyarrow
from deltalake import DeltaTable, write_deltalake

table = sys.argv[1]
for number in range(4):
    write_deltalake(table, pyarrow.table({"id": [number]}), mode="append")
DeltaTable(table).create_checkpoint()
for number in (0, 1):  # as the clean-up of expired log entries does
    Path(table, "_delta_log", f"{number:020}.json").unlink()


def opened(version):
    try:
        return f"version {DeltaTable(table, version=version).version()}"
    except Exception as error:
        return type(error).__name__


found = {"newest": opened(None), "expired": opened(1), "never made": opened(9)}
print("guess: newest opens, expired and never made are told alike, and not as a table that is absent")
for what, told in found.items():
    print("seen: ", what, told)
assert found["newest"] == "version 3"
assert found["expired"] == "TableNotFoundError"
assert found["never made"] not in ("TableNotFoundError", "version 9")
PYTHON

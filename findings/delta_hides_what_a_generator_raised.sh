#!/bin/sh
# delta-rs: an error in the rows that are being written, from a reader made of a generator.
#
# One would guess: what the generator raised comes out of `write_deltalake`, or is the cause of what does.
# Seen: a DeltaError without a cause, for a fault of the data (ValueError) and of the network (OSError)
# alike. `except ValueError` never sees it, and who tries again on DeltaError does so on bad data.
# With: deltalake 1.6.6, pyarrow 26.0.1.
. "$(dirname "$0")/common.sh"
install_deltalake
"$python" - "$folder/table" <<'PYTHON'
import sys

import pyarrow
from deltalake import write_deltalake

schema = pyarrow.schema({"id": pyarrow.int64()})


def told(raised):
    def batches():
        yield pyarrow.record_batch({"id": [1]})
        raise raised

    try:
        write_deltalake(sys.argv[1], pyarrow.RecordBatchReader.from_batches(schema, batches()))
    except Exception as error:
        return type(error).__name__, error.__cause__, error.__context__, str(raised) in str(error)


found = {type(e).__name__: told(e) for e in (ValueError("a bad row"), OSError("a lost socket"))}
print("(class, cause, context, is the text in it)")
print("guess: ('ValueError', …) and ('OSError', …), or these as causes")
for raised, error in found.items():
    print("seen: ", raised, "->", error)
assert set(found.values()) == {("DeltaError", None, None, True)}
PYTHON

#!/bin/sh
# Debezium: dates before Christ and infinite ones, as the snapshot and as the stream tell them.
#
# One would guess: a row is told with the same values whether it is read or streamed; a date before
# Christ, which is a plain number of days, is either right or refused.
# Seen: the stream is right. The snapshot gives a date before Christ as the same day after Christ,
# and an infinite date as some day 1.7 million years ago.
# With: Debezium 3.7.0.Final, PostgreSQL 18.4, Java 25.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/debezium.sh"
install_postgres
install_debezium
start_postgres
"$python" - "$folder" 2>"$folder/errors" <<'PYTHON' || { tail -n 20 "$folder/errors" >&2; exit 1; }
from debezium import connection, records

VALUES = ("0001-12-31 BC", "4714-11-24 BC", "infinity", "-infinity", "2026-01-01")
connection.execute("create table days (id int primary key, day date)")


def insert(first):
    for number, value in enumerate(VALUES, first):
        connection.execute("insert into days values (%s, %s::date)", (number, value))


insert(0)
told = {}
for record in records("days", time_precision_mode="microseconds"):
    after = record.value().getStruct("after")
    told[int(after.getInt32("id"))] = int(after.getInt32("day"))
    if len(told) == len(VALUES):
        insert(len(VALUES))
    if len(told) == 2 * len(VALUES):
        break

print("(days since 1970-01-01: in the snapshot, in the stream)")
print("guess: the two are equal; 0001-12-31 BC is -719163")
found = {
    value: (told[number], told[number + len(VALUES)]) for number, value in enumerate(VALUES)
}
for value, pair in found.items():
    print("seen: ", value, pair)
assert found["2026-01-01"] == (20454, 20454)
assert found["0001-12-31 BC"] == (-718798, -719163)
assert found["4714-11-24 BC"] == (1002552, -2440588)
assert found["infinity"][0] != found["infinity"][1]
assert found["-infinity"][0] != found["-infinity"][1]
PYTHON

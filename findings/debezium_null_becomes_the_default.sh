#!/bin/sh
# Debezium with Connect's JsonConverter: a null in a column that has a default.
#
# One would guess: a null is written as null.
# Seen: it is written as the default, whether the row is read or streamed, old or new. With
# replace.null.with.default=false it is null.
# With: Debezium 3.7.0.Final, Kafka Connect 4.3.1, PostgreSQL 18.4, Java 25.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/debezium.sh"
install_postgres
install_debezium
start_postgres
"$python" - "$folder" 2>"$folder/errors" <<'PYTHON' || { tail -n 20 "$folder/errors" >&2; exit 1; }
import json

import jpype
from debezium import connection, records

connection.execute("create table things (id int primary key, v text default 'x')")
connection.execute("alter table things replica identity full")
connection.execute("insert into things values (1, null)")
Converter = jpype.JClass("org.apache.kafka.connect.json.JsonConverter")


def converter(**options):
    made, settings = Converter(), jpype.java.util.HashMap()
    for name, value in {"schemas.enable": "false", **options}.items():
        settings.put(name, value)
    made.configure(settings, False)
    return made


plain = converter()
faithful = converter(**{"replace.null.with.default": "false"})
told = []
for record in records("things"):
    both = [
        json.loads(bytes(one.fromConnectData(record.topic(), record.valueSchema(), record.value())))
        for one in (plain, faithful)
    ]
    told.append([(change["op"], change["before"], change["after"]) for change in both])
    if len(told) == 2:
        break
    connection.execute("update things set id = id")

null, default = {"id": 1, "v": None}, {"id": 1, "v": "x"}
print("guess:", [("r", None, null), ("u", null, null)])
print("seen: ", [usual for usual, _ in told])
print("with replace.null.with.default=false:", [right for _, right in told])
assert [usual for usual, _ in told] == [("r", None, default), ("u", default, default)]
assert [right for _, right in told] == [("r", None, null), ("u", null, null)]
PYTHON

#!/bin/sh
# psycopg: the class of the error when a value is too long for an index.
#
# One would guess: a value that cannot be stored is a DataError or a ProgrammingError, as one that is
# too long for its column is; OperationalError is for servers and connections that fail, and doing
# the same again may help.
# Seen: a text in a key of more than a third of a page is an OperationalError (ProgramLimitExceeded,
# 54000), as all of class 54 is. Code that tries again on OperationalError does so for ever.
# With: psycopg 3.3.9, PostgreSQL 18.4.
. "$(dirname "$0")/common.sh"
install_postgres
start_postgres
"$python" - <<'PYTHON'
import hashlib

import psycopg

long = "".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(100))
found = {}
with psycopg.connect(autocommit=True) as connection:
    print("PostgreSQL", connection.execute("show server_version").fetchone()[0])
    connection.execute("create table regions (name text primary key, code varchar(3))")
    for what, value in (
        ("for its index", (long, "abc")),
        ("for its column", ("a", long)),
    ):
        try:
            connection.execute("insert into regions values (%s, %s)", value)
        except psycopg.Error as error:
            family = type(error).__mro__[1].__name__
            found[what] = (error.sqlstate, type(error).__name__, family)
    for number in (1700, 1600):
        columns = ", ".join(f"c{n} int" for n in range(number))
        try:
            connection.execute(f"create table wide_{number} ({columns})")
        except psycopg.Error as error:
            family = type(error).__mro__[1].__name__
            found[f"of {number} columns"] = (error.sqlstate, type(error).__name__, family)
print("guess: none of them is an OperationalError")
for what, told in found.items():
    print("seen:  too long" if "for" in what else "seen:  a table", what, told)
assert found == {
    "for its index": ("54000", "ProgramLimitExceeded", "OperationalError"),
    "for its column": ("22001", "StringDataRightTruncation", "DataError"),
    "of 1700 columns": ("54011", "TooManyColumns", "OperationalError"),
}
PYTHON

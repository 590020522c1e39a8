#!/bin/sh
# psycopg: why the server turned a connection down.
#
# One would guess: a class and an SQLSTATE of its own for each, as in a session: an unknown database
# 3D000, an unknown role 28000, too many connections 53300; so that the program can tell what may go
# away from what a person has to mend.
# Seen: a bare OperationalError, `sqlstate` None and an empty `diag` for each, as where nobody listens.
# Only the text differs, and that is in the server's language.
# With: psycopg 3.3.9, PostgreSQL 18.4.
. "$(dirname "$0")/common.sh"
install_postgres
start_postgres
"$python" - <<'PYTHON'
import psycopg

with psycopg.connect(autocommit=True) as connection:
    print("PostgreSQL", connection.execute("show server_version").fetchone()[0])
    connection.execute("create role nobody_more login connection limit 0")
    connection.execute("create role closed nologin")

    def told(**to):
        try:
            psycopg.connect(**to)
        except psycopg.Error as error:
            print("seen: ", to, "->", type(error).__name__, error.sqlstate, error.diag.sqlstate)
            return type(error).__name__, error.sqlstate, error.diag.sqlstate

    print("guess: 3D000, 28000, 28000, 53300, and none where nobody listens")
    found = [
        told(dbname="nowhere"),
        told(user="unknown"),
        told(user="closed"),
        told(user="nobody_more"),
        told(port=1),
    ]
assert found == [("OperationalError", None, None)] * 5
PYTHON

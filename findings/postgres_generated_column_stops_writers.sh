#!/bin/sh
# PostgreSQL: a generated column in a published table with REPLICA IDENTITY FULL.
#
# One would guess: a publication without `publish_generated_columns` leaves the column out, and is
# no concern of whoever writes to the table.
# Seen: `alter table … add … generated … stored` succeeds, and from then on every UPDATE and DELETE of
# the table is refused, with or without a subscriber, until the publication has the columns, or the
# replica identity is another. For a virtual column (the default kind since 18) no publication helps.
# With: PostgreSQL 18.4.
. "$(dirname "$0")/common.sh"
install_postgres
start_postgres
"$python" - <<'PYTHON'
import psycopg

STORED = "set (publish_generated_columns = stored)"

with psycopg.connect(autocommit=True) as connection:
    print("PostgreSQL", connection.execute("show server_version").fetchone()[0])

    def tried(statement):
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            return f"{error.sqlstate} {error.diag.message_detail}"
        return "done"

    found = {}
    for kind in ("stored", "virtual"):
        table = f"prices_{kind}"
        connection.execute(f"create table {table} (id int, cents int)")
        connection.execute(f"alter table {table} replica identity full")
        connection.execute(f"create publication of_{kind} for table {table}")
        connection.execute(f"insert into {table} values (1, 100)")
        update = f"update {table} set cents = cents + 1"
        add = f"alter table {table} add tax int generated always as (cents / 5) {kind}"
        before, added, after = tried(update), tried(add), tried(update)
        connection.execute(f"alter publication of_{kind} {STORED}")
        found[kind] = (before, added, after, tried(update))

print("(update, the column is added, update, update after `publish_generated_columns = stored`)")
print("guess: each of them is done")
for kind, told in found.items():
    print("seen: ", kind, told)
refused = "42P10 Replica identity must not contain unpublished generated columns."
assert found["stored"] == ("done", "done", refused, "done")
assert found["virtual"] == ("done", "done", refused, refused)
PYTHON

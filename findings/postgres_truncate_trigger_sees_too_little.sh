#!/bin/sh
# PostgreSQL: a BEFORE TRUNCATE trigger that keeps or deletes the rows that are about to go.
#
# One would guess: TRUNCATE holds its exclusive lock when the trigger runs, so the trigger sees
# every row that TRUNCATE removes.
# Seen: the trigger sees what the transaction's snapshot shows, and TRUNCATE removes what is there. In
# repeatable read, a row that another session has committed since goes, and the trigger never saw it.
# Nothing is raised: an audit or a change log that is fed so lacks the row.
# With: PostgreSQL 18.4.
. "$(dirname "$0")/common.sh"
install_postgres
start_postgres
"$python" - <<'PYTHON'
import psycopg

found = {}
for level in ("read committed", "repeatable read"):
    with psycopg.connect(autocommit=True) as truncating, psycopg.connect(autocommit=True) as other:
        other.execute("drop table if exists stock, gone")
        other.execute("create table stock (id int)")
        other.execute("create table gone (id int)")
        other.execute(
            "create or replace function keep() returns trigger language plpgsql as "
            "$$ begin insert into gone select id from stock; return null; end $$"
        )
        other.execute(
            "create trigger keep before truncate on stock execute function keep()"
        )
        other.execute("insert into stock values (1)")
        truncating.execute(f"begin isolation level {level}")
        truncating.execute("select 1 from stock limit 0")
        other.execute("insert into stock values (2)")
        truncating.execute("truncate stock")
        truncating.execute("commit")
        left = other.execute("select count(*) from stock").fetchone()[0]
        kept = [row[0] for row in other.execute("select id from gone order by id")]
        found[level] = (left, kept)
        print("PostgreSQL", other.execute("show server_version").fetchone()[0], level)
print("(rows left, rows that the trigger saw)")
print("guess: (0, [1, 2]) at both levels, or an error")
for level, told in found.items():
    print("seen: ", level, told)
assert found == {"read committed": (0, [1, 2]), "repeatable read": (0, [1])}
PYTHON

#!/bin/sh
# PostgreSQL: triggers that fire always, after all triggers were disabled and enabled for a load.
#
# One would guess: `disable trigger all` and `enable trigger all`, which pg_dump --disable-triggers puts
# around its data, leave each trigger as it was.
# Seen: one that was `enable always` is `enable` afterwards. It no longer fires where
# session_replication_role is replica, so behind a subscription or in the next restore, in silence.
# With: PostgreSQL 18.4.
. "$(dirname "$0")/common.sh"
install_postgres
start_postgres
"$python" - <<'PYTHON'
import psycopg

with psycopg.connect(autocommit=True) as connection:
    print("PostgreSQL", connection.execute("show server_version").fetchone()[0])
    connection.execute("create table stock (id int, version int)")
    connection.execute(
        "create function one() returns trigger language plpgsql as "
        "$$ begin new.version := 1; return new; end $$"
    )
    connection.execute("create trigger one before insert on stock for each row execute function one()")
    connection.execute("alter table stock enable always trigger one")

    def fires_for_a_subscription():
        connection.execute("truncate stock")
        connection.execute("set session_replication_role = replica")
        connection.execute("insert into stock values (1)")
        connection.execute("set session_replication_role = origin")
        return connection.execute("select version from stock").fetchone()[0] == 1

    before = fires_for_a_subscription()
    connection.execute("alter table stock disable trigger all")
    connection.execute("alter table stock enable trigger all")
    after = fires_for_a_subscription()
    state = connection.execute("select tgenabled from pg_trigger where tgname = 'one'").fetchone()
print("guess: it fires before True, and after True")
print("seen:  it fires before", before, "and after", after, "- tgenabled is", state[0])
assert (before, after, state[0]) == (True, False, "O")
PYTHON

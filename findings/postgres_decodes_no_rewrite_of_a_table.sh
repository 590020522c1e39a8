#!/bin/sh
# PostgreSQL: what logical decoding tells of an ALTER TABLE that writes each row anew.
#
# One would guess: `alter column … type … using` changes values, so whoever follows the log learns
# the new ones, as after an UPDATE; the rewrite is in the WAL, after all.
# Seen: not one row is told. The next change of the table brings its new type, and with REPLICA
# IDENTITY FULL an old image that no consumer has ever been told: the rewritten value.
# The same goes for a new column whose default is computed for each row.
# With: PostgreSQL 18.4, pgoutput.
. "$(dirname "$0")/common.sh"
install_postgres
start_postgres
"$python" - <<'PYTHON'
import psycopg

PUBLICATION = "'proto_version', '4', 'publication_names', 'all_of_it'"
READ = f"select data from pg_logical_slot_get_binary_changes('s', null, null, {PUBLICATION})"

with psycopg.connect(autocommit=True) as connection:
    print("PostgreSQL", connection.execute("show server_version").fetchone()[0])
    connection.execute("create table prices (id int primary key, cents text)")
    connection.execute("alter table prices replica identity full")
    connection.execute("create publication all_of_it for table prices")
    connection.execute("select pg_create_logical_replication_slot('s', 'pgoutput')")

    def told(statement):
        """Kinds of the messages (begin, relation, insert, update, commit); their bytes."""
        file = connection.execute("select pg_relation_filenode('prices')").fetchone()
        connection.execute(statement)
        is_rewritten = connection.execute("select pg_relation_filenode('prices')").fetchone() != file
        messages = [row[0] for row in connection.execute(READ)]
        return "".join(chr(message[0]) for message in messages), is_rewritten, b"".join(messages)

    inserted = told("insert into prices values (1, '19.95'), (2, '5.00')")
    retyped = told("alter table prices alter cents type int using (cents::numeric * 100)::int")
    filled = told("alter table prices add token uuid default gen_random_uuid()")
    updated = told("update prices set id = 3 where id = 1")

print("(messages, is the table written anew)")
print("guess: the new type is told with two rows, so with U or I")
for what, found in (("insert", inserted), ("new type", retyped), ("new column", filled)):
    print("seen: ", what, found[:2])
print("seen:  update afterwards", updated[:2], "old image says 1995:", b"1995" in updated[2])
assert inserted[:2] == ("BRIIC", False)
assert retyped[1] and filled[1]
assert not {"I", "U", "D", "T"} & set(retyped[0] + filled[0])
assert updated[0] == "BRUC"
assert updated[2].count(b"1995") == 2
PYTHON

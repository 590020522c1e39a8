#!/bin/sh
# PostgreSQL 16 and 18: what a logical slot tells after its publication was dropped and made again.
#
# One would guess: while the publication is missing, reading the slot fails and nothing is lost;
# once it is made again under its name, with the same tables, reading goes on.
# Seen: 16 fails for good, "publication does not exist", though `pg_publication` has it: decoding
# looks it up as of each change, so the slot never passes what was written without one.
# 18 never fails, only warns, and leaves out what was written meanwhile: also with the publication
# back before anything is read, the change is lost without an error.
# With: PostgreSQL 16.2 (pgserver 0.1.4) and 18.4, pgoutput.
. "$(dirname "$0")/common.sh"
install_postgres
# Only its servers are used: unpacked beside the other package, which has the newer ones.
"$python" -m pip install --quiet --disable-pip-version-check --no-deps pgserver==0.1.4

seen_by() {
  PGAPPNAME=$1 "$python" - <<'PYTHON'
import os

import psycopg

READ = """select count(*) filter (where get_byte(data, 0) = ascii('I'))
from pg_logical_slot_get_binary_changes('s', null, null,
  'proto_version', '1', 'publication_names', 'all_of_it')"""
MAKE = "create publication all_of_it for table orders"

with psycopg.connect(autocommit=True) as connection:
    print("PostgreSQL", connection.execute("show server_version").fetchone()[0])

    def rows_told():
        try:
            return connection.execute(READ).fetchone()[0]
        except psycopg.errors.UndefinedObject as error:
            return error.diag.message_primary

    def insert():
        connection.execute("insert into orders default values")

    connection.execute("create table orders (id bigint generated always as identity primary key)")
    connection.execute(MAKE)
    connection.execute("select pg_create_logical_replication_slot('s', 'pgoutput')")
    insert()
    with_it = rows_told()
    connection.execute("drop publication all_of_it")
    insert()
    connection.execute(MAKE)
    insert()
    made_again = rows_told()
    (exists,) = connection.execute("select count(*) from pg_publication").fetchone()
    print("guess: 1 row with the publication, and 1 or 2 rows after it is made again")
    print("seen: ", with_it, "|", made_again, "| publications that exist:", exists)
    again = rows_told()
    print("seen:  asked again:", again)
    assert (with_it, exists) == (1, 1)
    if os.environ["PGAPPNAME"] == "16":
        assert made_again == again == 'publication "all_of_it" does not exist'
    else:
        assert (made_again, again) == (1, 0)
PYTHON
}

start_postgres
seen_by 18
pg_ctl stop --silent --mode=fast
rm -rf "$folder/data"
start_postgres "$(inside pgserver pginstall/bin)"
seen_by 16

"""Prepares the shop's database for capture: publication, heartbeat, signals, grants."""

from pathlib import Path

import psycopg
from psycopg import sql

from lakehouse.postgres import explaining
from lakehouse.settings import ConnectSettings
from lakehouse.trouble import Service, Trouble

CAPTURED_SCHEMA = "public"
"""Every table in it is captured, those to come included."""
HEARTBEAT_TABLE = "cdc.heartbeat"
SIGNAL_TABLE = "cdc.signal"

_SOURCE_SQL = Path(__file__).with_name("source.sql")
_AS_SUPERUSER = "Prepare it as superuser, after its roles are made: ./pipeline up does both."
_TABLE_IS_OPEN = (
    "A transaction of the shop has a table open that has to be altered, and nothing is to wait "
    "behind that. Try again soon."
)
_SCHEMAS = sql.SQL("public, cdc")
# Generated columns are part of the row; a truncate is told as deletes, by a trigger.
_OPTIONS = sql.SQL("publish = 'insert, update, delete', publish_generated_columns = stored")


def prepare(admin_dsn: str, settings: ConnectSettings) -> None:
    """Make the database ready for the connector; changes nothing where it is ready already.

    Tables made later in schema `public` need nothing more: the publication covers the schema,
    and an event trigger gives them REPLICA IDENTITY FULL, grants, and what tells their truncates.

    Args:
        admin_dsn: a superuser's connection; its roles exist (`stack.postgres.roles`).
        settings: names the publication.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: it refuses.
    """
    what = "The shop's database cannot be prepared for capture"
    then = {
        Trouble.RIGHTS: _AS_SUPERUSER,
        Trouble.SCHEMA: _AS_SUPERUSER,
        Trouble.BUSY: _TABLE_IS_OPEN,
    }
    with explaining(Service.SHOP, what, then=then), psycopg.connect(admin_dsn) as connection:
        # Two preparations at once would trip over each other's catalog rows.
        connection.execute("select pg_advisory_xact_lock(hashtext('cdc.prepare'))")
        # Where it alters a table, the shop's own statements would wait behind it. Less than
        # `deadlock_timeout`: of two that wait for each other, it is this one that gives up.
        connection.execute("set local lock_timeout = '250ms'")
        connection.execute(_SOURCE_SQL.read_bytes())
        _publish(connection, settings.publication_name)


def _publish(connection: psycopg.Connection, publication: str) -> None:
    name = sql.Identifier(publication)
    exists = connection.execute(
        "select from pg_catalog.pg_publication where pubname = %s", [publication]
    ).fetchone()
    if exists is None:
        statement = sql.SQL("create publication {} for tables in schema {} with ({})")
        connection.execute(statement.format(name, _SCHEMAS, _OPTIONS))
        return
    connection.execute(
        sql.SQL("alter publication {} set tables in schema {}").format(name, _SCHEMAS)
    )
    connection.execute(sql.SQL("alter publication {} set ({})").format(name, _OPTIONS))

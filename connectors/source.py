"""Preparation of the shop's database for capture: publication, heartbeat, signals, grants."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from connectors.partitions import read_partitions, require_no_switch, via_root
from lakehouse.postgres import explaining
from lakehouse.settings import ConnectSettings
from lakehouse.trouble import Service, Trouble

OLDEST = 15
"""Major version of Postgres that publishes schemas."""
GENERATED_SINCE = 18
"""Major version of Postgres that publishes generated columns."""
CAPTURED_SCHEMA = "public"
"""Schema of which every table is captured, including future ones."""

_SOURCE_SQL = Path(__file__).with_name("source.sql")
_AS_SUPERUSER = (
    "It has to be prepared by a superuser once its roles exist: ./pipeline up does both."
)
_TABLE_IS_OPEN = (
    "A transaction of the shop has a table open that has to be altered, and the shop must not "
    "wait for the alteration. Try again."
)
_SCHEMAS = sql.SQL("public, cdc")
# Generated columns are part of the row; a trigger captures a truncate as deletes.
_OPTIONS = sql.SQL("publish = 'insert, update, delete', {}")
_GENERATED = sql.SQL("publish_generated_columns = stored, {}")


def prepare(
    admin_dsn: str,
    settings: ConnectSettings,
    roles: Callable[[psycopg.Connection], None] | None = None,
) -> None:
    """Prepare the database for the connector. Idempotent.

    Tables created later in schema `public` need no further step: the publication covers the schema,
    and an event trigger gives them REPLICA IDENTITY FULL, grants and the truncate trigger.

    Args:
        admin_dsn: a superuser's connection.
        settings: the publication, and how it publishes partitions.
        roles: creates the roles in the same transaction, if they do not exist yet.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: the database refuses the login or a statement, or partitions have been
            captured otherwise until now.
    """
    what = "The shop's database cannot be prepared for capture"
    then = {
        Trouble.RIGHTS: _AS_SUPERUSER,
        Trouble.SCHEMA: _AS_SUPERUSER,
        Trouble.BUSY: _TABLE_IS_OPEN,
    }
    with explaining(Service.SHOP, what, then=then), psycopg.connect(admin_dsn) as connection:
        # Concurrent preparations would fail on each other's catalog updates.
        connection.execute("select pg_advisory_xact_lock(hashtext('cdc.prepare'))")
        # While this waits to alter a table, the shop's statements queue behind it. Less than
        # `deadlock_timeout`, so that in a deadlock this session gives up, not the shop's.
        connection.execute("set local lock_timeout = '250ms'")
        if roles is not None:
            roles(connection)
        connection.execute(_SOURCE_SQL.read_bytes())
        _publish(connection, settings)


def _publish(connection: psycopg.Connection, settings: ConnectSettings) -> None:
    found = read_partitions(connection, settings.publication_name)
    require_no_switch(found, settings)
    version = connection.info.server_version // 10_000
    for one in _statements(settings, version, is_there=found.is_via_root is not None):
        connection.execute(one)


def _statements(
    settings: ConnectSettings, version: int, *, is_there: bool
) -> Iterator[sql.Composed]:
    name = sql.Identifier(settings.publication_name)
    options = via_root(settings)
    if version >= GENERATED_SINCE:
        options = _GENERATED.format(options)
    options = _OPTIONS.format(options)
    if not is_there:
        statement = sql.SQL("create publication {} for tables in schema {} with ({})")
        yield statement.format(name, _SCHEMAS, options)
        return
    yield sql.SQL("alter publication {} set tables in schema {}").format(name, _SCHEMAS)
    yield sql.SQL("alter publication {} set ({})").format(name, options)


def preparation(settings: ConnectSettings, version: int, *, is_published: bool) -> str:
    """Return the SQL of `prepare`, for a superuser who runs it by hand.

    Args:
        settings: the publication, and how it publishes partitions.
        version: major version of the server.
        is_published: whether the publication exists.
    """
    publication = _statements(settings, version, is_there=is_published)
    texts = (f"{one.as_string()};" for one in publication)
    return "\n".join((_SOURCE_SQL.read_text(encoding="utf-8"), *texts))

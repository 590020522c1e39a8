"""Preparation of the shop's database for capture: publication, heartbeat, signals, grants."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import psycopg
from psycopg import sql

from connectors.partitions import GENERATED_SINCE, read_partitions, require_no_switch, via_root
from lakehouse.postgres import explaining
from lakehouse.settings import ConnectSettings
from lakehouse.trouble import Service, Trouble

OLDEST = 15
"""Major version of Postgres that publishes schemas."""
EXTRACT_TRUNCATED = "./pipeline extract TABLE --full --allow-deletes ROWS"
"""Deletes the rows of a truncate that was not captured."""
CAPTURED_SCHEMA = "public"
"""Schema of which every table is captured, including future ones."""

_FOLDER = Path(__file__).parent
_AS_SUPERUSER = (
    "An event trigger and a publication of the schema take a superuser, or what a provider has "
    "instead. Use one, or give --sql to one; or prepare the tables that the login owns, within "
    "limits: ./pipeline source check URL --apply --owned."
)
_NO_ROLES = (
    "Its roles do not exist: ./pipeline up creates them, or source check --apply for a shop "
    "elsewhere."
)
_AS_OWNER = (
    "The login may not do that. It needs CREATE on the database and CREATEROLE; and from "
    "PostgreSQL 16 on REPLICATION, unless somebody has created the role debezium."
)
_TABLE_IS_OPEN = (
    "A transaction of the shop has a table open that has to be altered, and the shop must not "
    "wait for the alteration. Try again."
)
_SCHEMAS = sql.SQL("tables in schema public, cdc")
_OUR_TABLES = sql.SQL("table cdc.heartbeat, cdc.signal")
# Generated columns are part of the row; a trigger captures a truncate as deletes.
_OPTIONS = sql.SQL("publish = 'insert, update, delete', {}")
_GENERATED = sql.SQL("publish_generated_columns = stored, {}")


class Extent(StrEnum):
    """How much of a database is prepared.

    Attributes:
        SCHEMA: each table of the schema, including future ones, with old values and truncates.
        OWNED: the tables that the login owns, with old values.
        OWNED_AS_THEY_ARE: the same, without a change of their REPLICA IDENTITY.
    """

    SCHEMA = "schema"
    OWNED = "owned"
    OWNED_AS_THEY_ARE = "owned_as_they_are"


def prepare(
    admin_dsn: str,
    settings: ConnectSettings,
    roles: Callable[[psycopg.Connection], None] | None = None,
    extent: Extent = Extent.SCHEMA,
) -> None:
    """Prepare the database for the connector. Idempotent.

    Tables created later in schema `public` need no further step: the publication covers the schema,
    and an event trigger gives them REPLICA IDENTITY FULL, grants and the truncate trigger.

    Args:
        admin_dsn: a superuser's connection, but for tables of the login's own.
        settings: the publication, and how it publishes partitions.
        roles: creates the roles in the same transaction, if they do not exist yet.
        extent: which tables, and how.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: the database refuses the login or a statement, or partitions have been
            captured otherwise until now.
    """
    what = "The shop's database cannot be prepared for capture"
    needed = _AS_SUPERUSER if extent is Extent.SCHEMA else _AS_OWNER
    then = {
        Trouble.RIGHTS: needed,
        Trouble.SCHEMA: _NO_ROLES,
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
        found = read_partitions(connection, settings.publication_name)
        require_no_switch(found, settings)
        version = connection.info.server_version // 10_000
        for one in _all(settings, version, extent, is_there=found.is_via_root is not None):
            connection.execute(one)


def _all(
    settings: ConnectSettings, version: int, extent: Extent, *, is_there: bool
) -> Iterator[sql.Composed]:
    yield _of_file("signals.sql")
    publication = _publication(settings, version, extent, is_there=is_there)
    if extent is Extent.SCHEMA:
        yield _of_file("source.sql")
        yield from publication
        return
    yield _of_file("owned.sql")
    yield from publication
    call = "select cdc.capture_owned(with_old_values => {})"
    yield sql.SQL(call).format(sql.Literal(extent is Extent.OWNED))


def _of_file(name: str) -> sql.Composed:
    return sql.Composed([sql.SQL((_FOLDER / name).read_text(encoding="utf-8"))])


def _publication(
    settings: ConnectSettings, version: int, extent: Extent, *, is_there: bool
) -> Iterator[sql.Composed]:
    name = sql.Identifier(settings.publication_name)
    options = via_root(settings)
    if version >= GENERATED_SINCE:
        options = _GENERATED.format(options)
    options = _OPTIONS.format(options)
    tables = _SCHEMAS if extent is Extent.SCHEMA else _OUR_TABLES
    if not is_there:
        yield sql.SQL("create publication {} for {} with ({})").format(name, tables, options)
        return
    if extent is Extent.SCHEMA:
        yield sql.SQL("alter publication {} set {}").format(name, tables)
    yield sql.SQL("alter publication {} set ({})").format(name, options)


def preparation(
    settings: ConnectSettings, version: int, extent: Extent, *, is_published: bool
) -> str:
    """Return the SQL of `prepare`, for somebody who runs it by hand.

    Args:
        settings: the publication, and how it publishes partitions.
        version: major version of the server.
        extent: which tables, and how.
        is_published: whether the publication exists.
    """
    statements = _all(settings, version, extent, is_there=is_published)
    texts = (one.as_string().rstrip() for one in statements)
    return "\n".join(text if text.endswith(";") else f"{text};" for text in texts)

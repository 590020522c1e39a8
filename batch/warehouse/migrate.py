"""Migrates the warehouse's schema: migrations once and in order, other SQL whenever it changes.

Tables of `entity` and `live` are generated from the contracts; a table of the mart that does not
exist is created by the `table.sql` of its folder.

`etl.migration` records the applied files. Grain: one row per file.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import psycopg
import structlog

from batch.warehouse.comments import comments
from batch.warehouse.entities import TABLES
from batch.warehouse.entity_schema import entity_sql
from batch.warehouse.locks import LIMITED, WAIT_SECONDS, patiently
from batch.warehouse.marts import mart
from batch.warehouse.scripts import FOLDER, TEXTS, script, scripts, with_key_types
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.keys import TO_CHANGE_KEYS, key_types
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import explaining, trouble_of
from lakehouse.trouble import Service

_log = structlog.get_logger(__name__)
_LOCK = "select pg_advisory_lock(hashtext('warehouse.migrate'))"
_LEDGER = """
create schema if not exists etl;
create table if not exists etl.migration (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default now()
);
"""
_GRANTS = "grants/"
_REPEATABLE = ("functions/*.sql", "mart/*/view.sql", "views/*/view.sql", "grants/*.sql")


def migrate(dsn: str) -> list[str]:
    """Apply pending files; a second call applies nothing.

    Args:
        dsn: connection to the warehouse as its role `batch`, which owns the objects. The role
            `reader` exists.

    Returns:
        Names of the applied files, in order.

    Raises:
        RetryLaterError: the warehouse does not answer, or a lock is held for too long.
        StopPipelineError: an applied file has changed or gone, or a statement fails.
    """
    with (
        explaining(Service.WAREHOUSE, "The warehouse cannot be migrated"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        return _migrate(connection, dict(scripts("migrations/*.sql")))


def _migrate(connection: psycopg.Connection, files: Mapping[str, bytes]) -> list[str]:
    # Held to the end of the session: two at once would apply the same file twice.
    connection.execute(LIMITED)
    connection.execute(_LOCK)
    connection.execute("set client_min_messages = warning")
    connection.execute(_LEDGER)
    applied = _applied(connection)
    refuse_changed(files, applied)
    done = [name for name in files if name not in applied]
    for name in done:
        _apply(connection, name, files[name])
    for name, text in _missing_tables(connection):
        _apply(connection, name, text)
        done.append(name)
    for name, read in _repeatable():
        text = read(connection)
        if applied.get(name) != _checksum(text) or (done and name == "comments"):
            _apply(connection, name, text)
            done.append(name)
        elif name.startswith(_GRANTS):
            # For new tables, and for rights that were revoked from a role. If another user has put
            # a table beside ours, only its owner could grant them.
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute(text)
    return done


def require_same_keys(dsn: str) -> None:
    """Refuse a warehouse made with other types of keys; one that does not answer is not refused.

    Raises:
        StopPipelineError: its keys have other types.
    """
    with contextlib.suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("select to_regclass('etl.migration')").fetchone() != (None,):
            refuse_other_keys(dict(scripts("migrations/*.sql")), _applied(connection))


def pending(connection: psycopg.Connection) -> list[str]:
    """Return the names of what `migrate` would apply, without applying it.

    Raises:
        RetryLaterError: the warehouse does not answer.
        StopPipelineError: an applied file has changed or gone.
    """
    files = dict(scripts("migrations/*.sql"))
    with explaining(Service.WAREHOUSE, "Its migrations cannot be read"):
        if connection.execute("select to_regclass('etl.migration')").fetchone() == (None,):
            return list(files)
        applied = _applied(connection)
        refuse_changed(files, applied)
        new = [name for name in files if name not in applied]
        texts = ((name, read(connection)) for name, read in _repeatable())
        new += [name for name, _ in _missing_tables(connection)]
        return [*new, *(name for name, text in texts if applied.get(name) != _checksum(text))]


def refuse_changed(files: Mapping[str, bytes], applied: Mapping[str, str]) -> None:
    """Compare migrations with those applied, given by name with their checksum.

    Raises:
        StopPipelineError: one has changed, is gone, or would run before an applied one.
    """
    past = sorted(name for name in applied if name.startswith("migrations/"))
    for name in past:
        if name not in files:
            problem = f"{name} was applied to this warehouse and is gone"
            raise StopPipelineError(problem, "Restore the file.")
        if _checksum(files[name]) != applied[name]:
            refuse_other_keys(files, applied)
            problem = f"{name} was applied to this warehouse and has changed since"
            action = "Restore it, and put the change into a migration of its own."
            raise StopPipelineError(problem, action)
    late = [name for name in files if past and name < past[-1] and name not in applied]
    if late:
        problem = f"{late[0]} comes before {past[-1]}, which was applied"
        raise StopPipelineError(problem, "Give it a higher number.")


def refuse_other_keys(files: Mapping[str, bytes], applied: Mapping[str, str]) -> None:
    """Compare the types of keys with those that migrations were applied with.

    Raises:
        StopPipelineError: they are others; the message names the keys.
    """
    if all(_checksum(text) == applied.get(name, _checksum(text)) for name, text in files.items()):
        return
    if others := _other_keys(applied):
        kinds = ", ".join(
            f"{key} was {'an integer' if key in TEXTS else 'a text'}, and is "
            f"{'a text' if key in TEXTS else 'an integer'} now"
            for key in others
        )
        problem = f"This warehouse was made with other types of keys: {kinds}"
        raise StopPipelineError(problem, TO_CHANGE_KEYS)


def _other_keys(applied: Mapping[str, str]) -> Sequence[str]:
    """Return the keys that had another type when migrations were applied, if nothing else changed.

    A checksum is of the text with the types of that time: few keys are tried before many.
    """
    files = {name: FOLDER / name for name in applied if name.startswith("migrations/")}
    texts = {name: file.read_bytes() for name, file in files.items() if file.is_file()}
    keys = sorted(key_types(ENTITIES.values()))
    for count in range(1, len(keys) + 1 if texts else 1):
        for others in combinations(keys, count):
            then = TEXTS.symmetric_difference(others)
            if all(
                _checksum(with_key_types(text, then)) == applied[name]
                for name, text in texts.items()
            ):
                return others
    return ()


def _missing_tables(connection: psycopg.Connection) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the mart's tables that do not exist: new ones need no migration."""
    for table in mart().tables:
        exists = connection.execute("select to_regclass(%s)", [f"mart.{table.name}"]).fetchone()
        if exists == (None,):
            yield table.file("table.sql"), script(table.file("table.sql"))


def _repeatable() -> list[tuple[str, Callable[[psycopg.Connection], bytes]]]:
    """Return what is applied again if its text changes: tables, what reads them, comments."""
    texts = [
        ("entity/functions.sql", script("entity/functions.sql")),
        *((f"entity/{table.name}", entity_sql(table)) for table in TABLES),
        *(one for pattern in _REPEATABLE for one in scripts(pattern)),
    ]
    return [
        *((name, lambda _connection, text=text: text) for name, text in texts),
        ("comments", comments),
    ]


def _apply(connection: psycopg.Connection, name: str, text: bytes) -> None:
    try:
        patiently(
            connection,
            f"warehouse_sql/{name}",
            lambda: _run(connection, name, text),
            wait_seconds=WAIT_SECONDS,
            on_wait=lambda who: _log.warning("migration_waits", file=name, holder=who),
        )
    except psycopg.Error as error:
        if trouble_of(error).passes:
            raise
        message = f"warehouse_sql/{name} fails: {error}"
        raise StopPipelineError(message) from error


def _run(connection: psycopg.Connection, name: str, text: bytes) -> None:
    connection.execute(text)
    connection.execute(
        "insert into etl.migration (name, checksum) values (%s, %s) "
        "on conflict (name) do update set checksum = excluded.checksum, applied_at = now()",
        [name, _checksum(text)],
    )


def _applied(connection: psycopg.Connection) -> dict[str, str]:
    return dict(connection.execute("select name, checksum from etl.migration").fetchall())


def _checksum(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()

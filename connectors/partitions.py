"""How partitioned tables are captured: each partition as a table, or all by the root's name.

The publication says which, since every reader of the shop's catalog has to agree with it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from lakehouse.errors import StopPipelineError
from lakehouse.kafka import CAPTURED_NAME, is_capturable
from lakehouse.postgres import explaining
from lakehouse.settings import ConnectSettings
from lakehouse.trouble import Service

GENERATED_SINCE = 18
"""Major version of Postgres that publishes generated columns."""
_SNAPSHOT_KEY = "snapshot.include.collection.list"
_EXTRACTED_KEY = "column.exclude.list"
_NO_COLUMN = r"cdc\.none\.none"
_TREES: LiteralString = """
select
    c.relname::text as table_name,
    c.relkind = 'p' as is_partitioned,
    exists (
        select from pg_partition_ancestors(c.oid) as a
        inner join pg_class as k on a.relid = k.oid
        where k.oid <> c.oid and k.relnamespace = c.relnamespace
    ) as is_below,
    exists (
        select from pg_constraint as p where p.conrelid = c.oid and p.contype = 'p'
    ) as has_key
from pg_class as c
where
    c.relnamespace = 'public'::regnamespace
    and c.relpersistence = 'p'
    and (c.relkind = 'p' or (c.relkind = 'r' and c.relispartition))
order by c.relname"""
_LEFT_OUT: LiteralString = """
select c.relname::text, c.relispartition
from pg_class as c
inner join pg_publication as p on p.pubname = %s
where
    c.relnamespace = 'public'::regnamespace
    and c.relkind in ('r', 'p')
    and c.relpersistence = 'p'
    and exists (select from pg_publication_rel as r where r.prpubid = p.oid)
    and not exists (
        select from pg_publication_rel as r
        where
            r.prpubid = p.oid
            and (
                r.prrelid = c.oid
                or r.prrelid in (select a.relid from pg_partition_ancestors(c.oid) as a)
            )
    )
order by c.relname"""
_VIA_ROOT: LiteralString = "select pubviaroot from pg_publication where pubname = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """Tables that are captured from now on, and those that are not any more.

    `keyless` are those of the former that cannot be extracted.
    """

    begun: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    keyless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """Partitioned tables of the shop's schema and their partitions, and what is published.

    Attributes:
        is_via_root: whether all partitions are published by the name of their root; None without a
            publication.
        roots: topmost partitioned tables.
        leaves: partitions that have rows. A partition without a root in the schema is one, too.
        between: partitions that are partitioned themselves.
        keyless: those of all of these that have no primary key.
    """

    is_via_root: bool | None
    roots: tuple[str, ...]
    leaves: tuple[str, ...]
    between: tuple[str, ...]
    keyless: frozenset[str] = frozenset()

    @property
    def not_snapshotted(self) -> tuple[str, ...]:
        """Return the tables whose rows another captured table has, too."""
        if self.is_via_root:
            return (*self.between, *self.leaves)
        return (*self.roots, *self.between)

    def captured(self, *, is_via_root: bool) -> tuple[str, ...]:
        """Return the tables that would be captured, of those that this is about."""
        return tuple(filter(is_capturable, self.roots if is_via_root else self.leaves))


def read_partitions(connection: psycopg.Connection, publication: str) -> Partitions:
    """Return what the shop has and publishes. Any role may call it."""
    published = connection.execute(_VIA_ROOT, [publication]).fetchone()
    rows = connection.execute(_TREES).fetchall()

    def names(*, is_partitioned: bool, is_below: bool) -> tuple[str, ...]:
        return tuple(name for name, *kind, _ in rows if kind == [is_partitioned, is_below])

    return Partitions(
        is_via_root=published[0] if published else None,
        roots=names(is_partitioned=True, is_below=False),
        leaves=names(is_partitioned=False, is_below=True),
        between=names(is_partitioned=True, is_below=True),
        keyless=frozenset(name for name, *_, has_key in rows if not has_key),
    )


def read_left_out(connection: psycopg.Connection, publication: str) -> dict[str, bool]:
    """Return the tables that a publication by table does not include: none of one by schema.

    Returns:
        By name in the catalog: whether it is a partition. Any role may call it.
    """
    return dict(connection.execute(_LEFT_OUT, [publication]).fetchall())


def snapshot_config(dsn: str, settings: ConnectSettings) -> Mapping[str, str]:
    """Return the connector's configuration that lets snapshots read what they can, once.

    Debezium lists partitioned tables beside their partitions, and selects from all of them; and it
    lists tables that a publication by table does not include. It is empty in a shop without
    either. What streams does not depend on it.

    An extraction selects all columns of a table and fails over the generated ones, which it does
    not expect; unless a list excludes columns, whichever: then it selects those that it expects.
    From Postgres 18 on these are streamed, and such a row would lack them.

    Args:
        dsn: any role of the shop's database.
        settings: names the publication.

    Raises:
        RetryLaterError: the database does not answer.
    """
    with (
        explaining(Service.SHOP, "The shop's partitions cannot be listed"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        found = read_partitions(connection, settings.publication_name)
        left_out = read_left_out(connection, settings.publication_name)
        is_streamed = connection.info.server_version >= GENERATED_SINCE * 10_000
    extracted = {} if is_streamed else {_EXTRACTED_KEY: _NO_COLUMN}
    return {**snapshot_list([*found.not_snapshotted, *left_out]), **extracted}


def snapshot_list(left_out: Collection[str]) -> Mapping[str, str]:
    """Return the configuration with which an initial snapshot leaves these tables out."""
    names = sorted(filter(is_capturable, left_out))
    if not names:
        return {}
    # Debezium matches the list in any case, unlike Postgres' names.
    others = rf"public\.(?-i:(?!(?:{'|'.join(map(re.escape, names))})$){CAPTURED_NAME})"
    return {_SNAPSHOT_KEY: rf"{others},cdc\.heartbeat"}


def with_snapshot(config: Mapping[str, str], snapshot: Mapping[str, str]) -> dict[str, str]:
    """Return a connector's configuration with another `snapshot_config`."""
    own = (_SNAPSHOT_KEY, _EXTRACTED_KEY)
    return {k: v for k, v in config.items() if k not in own} | dict(snapshot)


def require_no_switch(found: Partitions, settings: ConnectSettings) -> None:
    """Check that the publication is as CONNECT_PARTITIONS says, where that makes a difference.

    Raises:
        StopPipelineError: tables would begin empty.
    """
    is_via_root = settings.partitions == "root"
    if found.is_via_root in (None, is_via_root) or not found.roots:
        return
    now = "root" if found.is_via_root else "each"
    empty = found.captured(is_via_root=is_via_root)
    problem = (
        f"CONNECT_PARTITIONS is {settings.partitions}, and the shop is captured with {now}: "
        f"{_listed(empty)} would begin without the rows that are there"
    )
    action = f"./pipeline connect partitions applies it; or set it to {now} again."
    raise StopPipelineError(problem, action)


def switch(admin_dsn: str, settings: ConnectSettings) -> Switched:
    """Publish partitions as CONNECT_PARTITIONS says, from the next transaction on.

    Args:
        admin_dsn: a superuser's connection.
        settings: the setting, and the publication.

    Returns:
        What changes; nothing if it was published so already.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: there is no publication, or the role may not alter it.
    """
    is_via_root = settings.partitions == "root"
    name = settings.publication_name
    with (
        explaining(Service.SHOP, "The publication cannot be altered"),
        psycopg.connect(admin_dsn) as connection,
    ):
        found = read_partitions(connection, name)
        if found.is_via_root is None:
            problem = f"The shop has no publication {name}"
            action = (
                "./pipeline up oltp, or ./pipeline source check URL --apply where others run it"
            )
            raise StopPipelineError(problem, action)
        connection.execute(
            sql.SQL("alter publication {} set ({})").format(
                sql.Identifier(name), via_root(settings)
            )
        )
    if found.is_via_root == is_via_root:
        return Switched()
    begun = found.captured(is_via_root=is_via_root)
    return Switched(
        begun=tuple(name for name in begun if name not in found.keyless),
        ended=found.captured(is_via_root=not is_via_root),
        keyless=tuple(name for name in begun if name in found.keyless),
    )


def via_root(settings: ConnectSettings) -> sql.Composed:
    """Return the publication's option for CONNECT_PARTITIONS."""
    value: LiteralString = "true" if settings.partitions == "root" else "false"
    return sql.SQL("publish_via_partition_root = {}").format(sql.SQL(value))


def _listed(names: Sequence[str]) -> str:
    most = 5
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

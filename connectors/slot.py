"""The shop's replication slot: confirmed position and retained WAL."""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from lakehouse.postgres import explaining
from lakehouse.settings.servers import PUBLICATION
from lakehouse.trouble import Service, again

_SLOT = """
select
    s.active as is_active,
    s.wal_status,
    -- both since PostgreSQL 17
    to_jsonb(s) ->> 'invalidation_reason' as invalidation_reason,
    s.confirmed_flush_lsn::text as confirmed_position,
    pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint as lag_bytes,
    pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint as held_bytes,
    nullif(m.setting::bigint, -1) * 1024 * 1024 as limit_bytes,
    extract(
        epoch from clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz
    )::float8 as inactive_seconds,
    clock_timestamp() as asked_at,
    p.oid is not null as has_publication,
    -- What it includes is added once, whereas its own row is altered by each preparation: that
    -- tells the age of one for all tables, which has no others. An age is negative once 2^31
    -- transactions have passed, as freezing leaves xmin alone.
    not exists (
        select from (
            select n.pnpubid as publication, n.xmin as added_by
            from pg_publication_namespace as n
            union all
            select r.prpubid, r.xmin from pg_publication_rel as r
            union all
            select p.oid, p.xmin
        ) as t
        where
            t.publication = p.oid
            and (age(t.added_by) > age(s.catalog_xmin) or age(t.added_by) < 0)
    ) as precedes_publication,
    current_setting('server_version_num')::integer as server_version
from pg_replication_slots as s
cross join pg_settings as m
left join pg_publication as p on p.pubname = %s
where s.slot_name = %s and m.name = 'max_slot_wal_keep_size'"""
_PEEK = """
select count(*)
from pg_logical_slot_peek_binary_changes(
    %s, null, null, 'proto_version', '1', 'publication_names', %s
)"""
_LOST = "lost"
_FAILOVER_SINCE = 170_000
SKIPS_SINCE = 180_000
"""From this version on, changes without a publication are skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A row of `pg_replication_slots`.

    Attributes:
        is_active: whether a client reads it at the moment.
        wal_status: `reserved`, `extended`, `unreserved` (about to be lost) or `lost`.
        invalidation_reason: why it is lost, as PostgreSQL 17 and newer name it.
        confirmed_position: WAL position (LSN) up to which Connect has confirmed.
        lag_bytes: WAL written since.
        held_bytes: WAL that is retained for the slot.
        limit_bytes: maximum of retained WAL (`max_slot_wal_keep_size`); None is without limit.
        inactive_seconds: time since a client last read it; None before PostgreSQL 17.
        asked_at: time of the query, by the database's clock.
        has_publication: whether the publication exists. From Postgres 18 on, its absence fails no
            reader: the slot moves on, and has no change.
        precedes_publication: whether the publication was made after what the slot reads next.
        server_version: of the server, as Postgres numbers it.
    """

    is_active: bool
    wal_status: str | None
    invalidation_reason: str | None
    confirmed_position: str | None
    lag_bytes: int | None
    held_bytes: int | None
    limit_bytes: int | None
    inactive_seconds: float | None
    asked_at: datetime
    has_publication: bool = True
    precedes_publication: bool = False
    server_version: int = SKIPS_SINCE

    @property
    def needs_publication(self) -> bool:
        """Whether changes made without the publication keep it from reading any behind them.

        Postgres looks the publication up as of the change, so to make it again does not help.
        """
        return self.server_version < SKIPS_SINCE

    @property
    def is_lost(self) -> bool:
        """Whether changes that Connect needs are gone."""
        return self.wal_status == _LOST or self.invalidation_reason is not None

    @property
    def held_share(self) -> float | None:
        """Retained WAL as a share of the limit."""
        if self.held_bytes is None or not self.limit_bytes:
            return None
        return self.held_bytes / self.limit_bytes


def read_slot(monitor_dsn: str, name: str) -> Slot | None:
    """Return the slot of this name; None if there is none.

    Args:
        monitor_dsn: a role that may read `pg_replication_slots`.
        name: name of the slot.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: the database refuses the login or the query.
    """
    with (
        explaining(Service.SHOP, "Its replication slots cannot be read"),
        psycopg.connect(monitor_dsn, autocommit=True) as connection,
        connection.cursor(row_factory=class_row(Slot)) as cursor,
    ):
        return cursor.execute(_SLOT, [PUBLICATION, name]).fetchone()


def drop_slot(replication_dsn: str, name: str) -> None:
    """Drop the slot, if it exists. It must be inactive.

    Args:
        replication_dsn: a role with REPLICATION.
        name: name of the slot.

    Raises:
        RetryLaterError: the database does not answer, or the slot is active.
    """
    drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
    with (
        explaining(Service.SHOP, f"Slot {name} cannot be dropped now", then=again("Try again.")),
        psycopg.connect(replication_dsn, autocommit=True) as connection,
    ):
        connection.execute(f"{drop} where slot_name = %s", [name])


def lacks_publication(replication_dsn: str, slot: Slot, name: str) -> bool:
    """Return whether the slot cannot be read, as the publication was made after what it reads next.

    Args:
        replication_dsn: a role with REPLICATION.
        slot: the slot, which must be inactive.
        name: its name.

    Raises:
        RetryLaterError: the database does not answer, or the slot is active.
    """
    if not (slot.needs_publication and slot.precedes_publication):
        return False
    with (
        explaining(Service.SHOP, f"Slot {name} cannot be read now", then=again("Try again.")),
        psycopg.connect(replication_dsn, autocommit=True) as connection,
    ):
        try:
            connection.execute(_PEEK, [name, PUBLICATION])
        except psycopg.errors.UndefinedObject:
            return True
    return False


def make_slot(replication_dsn: str, name: str) -> str:
    """Create the slot; changes committed from now on are retained for Connect.

    Standbys of PostgreSQL 17 and newer may synchronize it, so that it survives a failover.

    Args:
        replication_dsn: a role with REPLICATION.
        name: name of the slot.

    Returns:
        The WAL position (LSN) at which it begins.

    Raises:
        RetryLaterError: the database does not answer, or all its slots are in use.
    """
    make = "select lsn::text from pg_create_logical_replication_slot(%s, 'pgoutput'{})"
    with (
        explaining(Service.SHOP, f"Slot {name} cannot be created now", then=again("Try again.")),
        psycopg.connect(replication_dsn, autocommit=True) as connection,
    ):
        can_fail_over = connection.info.server_version >= _FAILOVER_SINCE
        options = ", failover => true" if can_fail_over else ""
        row = connection.execute(make.format(options), [name]).fetchone()
    assert row is not None  # noqa: S101 - the function has one row
    return str(row[0])

"""The shop's replication slot: how far Connect has confirmed, and how much WAL waits for it."""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from lakehouse.postgres import explaining
from lakehouse.trouble import Service, again

_SLOT = """
select
    s.active as is_active,
    s.wal_status,
    s.invalidation_reason,
    s.confirmed_flush_lsn::text as confirmed_position,
    pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint as lag_bytes,
    pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint as held_bytes,
    nullif(m.setting::bigint, -1) * 1024 * 1024 as limit_bytes,
    extract(epoch from clock_timestamp() - s.inactive_since)::float8 as inactive_seconds,
    clock_timestamp() as asked_at
from pg_replication_slots as s
cross join pg_settings as m
where s.slot_name = %s and m.name = 'max_slot_wal_keep_size'"""
_LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A replication slot, as the database sees it.

    Attributes:
        is_active: whether somebody reads it at the moment.
        wal_status: `reserved`, `extended`, `unreserved` (about to be lost) or `lost`.
        invalidation_reason: why it is lost, in Postgres' word.
        confirmed_position: WAL position (LSN) up to which Connect has confirmed.
        lag_bytes: WAL written since.
        held_bytes: WAL that the slot keeps from being removed.
        limit_bytes: how much it may hold (`max_slot_wal_keep_size`); None is without limit.
        inactive_seconds: how long nobody has read it.
        asked_at: the database's clock.
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

    @property
    def is_lost(self) -> bool:
        """Whether changes that Connect needs are gone."""
        return self.wal_status == _LOST or self.invalidation_reason is not None

    @property
    def held_share(self) -> float | None:
        """What it holds, as a share of what it may hold."""
        if self.held_bytes is None or not self.limit_bytes:
            return None
        return self.held_bytes / self.limit_bytes


def read_slot(monitor_dsn: str, name: str) -> Slot | None:
    """The slot of this name; None when there is none.

    Args:
        monitor_dsn: a role that may read `pg_replication_slots`.
        name: the slot's.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: it refuses.
    """
    with (
        explaining(Service.SHOP, "Its replication slots cannot be looked at"),
        psycopg.connect(monitor_dsn, autocommit=True) as connection,
        connection.cursor(row_factory=class_row(Slot)) as cursor,
    ):
        return cursor.execute(_SLOT, [name]).fetchone()


def drop_slot(replication_dsn: str, name: str) -> None:
    """Drop the slot, if it is there. Nobody may be reading it.

    Args:
        replication_dsn: a role with REPLICATION.
        name: the slot's.

    Raises:
        RetryLaterError: the database does not answer, or somebody reads the slot.
    """
    drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
    with (
        explaining(Service.SHOP, f"Slot {name} cannot be dropped now", then=again("Try again.")),
        psycopg.connect(replication_dsn, autocommit=True) as connection,
    ):
        connection.execute(f"{drop} where slot_name = %s", [name])


def make_slot(replication_dsn: str, name: str) -> str:
    """Make the slot; changes committed from now on are kept for Connect.

    Args:
        replication_dsn: a role with REPLICATION.
        name: the slot's.

    Returns:
        The WAL position (LSN) at which it begins.

    Raises:
        RetryLaterError: the database does not answer, or has no room for a slot at the moment.
    """
    make = "select lsn::text from pg_create_logical_replication_slot(%s, 'pgoutput')"
    with (
        explaining(Service.SHOP, f"Slot {name} cannot be made now", then=again("Try again.")),
        psycopg.connect(replication_dsn, autocommit=True) as connection,
    ):
        row = connection.execute(make, [name]).fetchone()
    assert row is not None  # noqa: S101 - the function has one row
    return str(row[0])

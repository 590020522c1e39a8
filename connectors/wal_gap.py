"""Changes that the slot has skipped: found, and gone on behind once somebody accepts it.

Debezium refuses to go on from a slot that begins behind its own position, or that is gone. What
was committed in between is in no topic.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from connectors.rest import ConnectApi
from connectors.slot import Slot, drop_slot, make_slot, read_slot
from lakehouse.errors import RetryLaterError

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class WalGap:
    """WAL positions (LSN): the last that Connect has handed on, and the first that the slot has.

    `first` is None while there is no slot, or none that can be read.
    """

    last: int
    first: int | None

    @property
    def words(self) -> str:
        """What is lost, for a person."""
        until = "the slot that is still to be made" if self.first is None else lsn_text(self.first)
        return f"changes committed between WAL positions {lsn_text(self.last)} and {until}"


def find_wal_gap(position: int | None, slot: Slot | None) -> WalGap | None:
    """Whether the slot lacks changes that Connect needs. None also when Connect never began.

    Args:
        position: WAL position that Connect has stored.
        slot: the slot; None when there is none.
    """
    if position is None:
        return None
    if slot is None or slot.is_lost or slot.confirmed_position is None:
        return WalGap(last=position, first=None)
    first = lsn_number(slot.confirmed_position)
    return WalGap(last=position, first=first) if first > position else None


def accept_wal_gap(
    api: ConnectApi,
    *,
    monitor_dsn: str,
    replication_dsn: str,
    slot_name: str,
    record: Callable[[WalGap], object],
    timeout_seconds: float,
) -> WalGap | None:
    """Stop the connector; if changes are lost, record that, and put it behind them.

    It stays stopped: whoever applies the definition starts it. Done again after a crash, it finds
    the same gap, or none once the position is behind it.

    Args:
        api: the connector.
        monitor_dsn: a role that may read `pg_replication_slots`.
        replication_dsn: a role that may make and drop the slot.
        slot_name: the slot's.
        record: called before anything is changed, while nothing is written to Kafka.
        timeout_seconds: longest wait for the connector to stop.

    Returns:
        What is lost; None if nothing is.

    Raises:
        RetryLaterError: something is away, or takes too long; doing it again is safe.
    """
    if api.state() is None:
        return None
    stop(api, timeout_seconds=timeout_seconds)
    slot = read_slot(monitor_dsn, slot_name)
    gap = find_wal_gap(api.stored().position, slot)
    if gap is None:
        return None
    record(gap)
    first = gap.first
    if first is None:
        drop_slot(replication_dsn, slot_name)
        first = lsn_number(make_slot(replication_dsn, slot_name))
    api.put_position(first)
    return WalGap(last=gap.last, first=first)


def stop(api: ConnectApi, *, timeout_seconds: float) -> None:
    """Stop the connector, and wait until its task has written its last.

    Raises:
        RetryLaterError: it does not stop in time.
    """
    deadline = time.monotonic() + timeout_seconds
    api.stop()
    while not api.is_stopped():
        if time.monotonic() > deadline:
            message = f"Connector {api.name} does not stop. See ./pipeline logs connect; try again."
            raise RetryLaterError(message)
        time.sleep(_POLL_SECONDS)


def lsn_number(text: str) -> int:
    """A WAL position out of Postgres' text, such as 0/16B3748."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def lsn_text(number: int) -> str:
    """A WAL position as Postgres writes it."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"

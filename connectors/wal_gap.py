"""WAL gaps: changes that the slot has skipped. They are found, recorded and skipped on request.

Debezium refuses to resume from a slot that begins after its own position, or that was dropped.
Changes committed in between are not in Kafka.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from connectors.plain_words import no_publication
from connectors.rest import ConnectApi
from connectors.slot import Slot, drop_slot, lacks_publication, make_slot, read_slot
from lakehouse.errors import RetryLaterError, StopPipelineError

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class WalGap:
    """WAL positions (LSN): the last one written to Kafka, and the first one that the slot has.

    `first` is None while there is no usable slot.
    """

    last: int
    first: int | None

    @property
    def words(self) -> str:
        """The lost range in words, for messages and the loss ledger."""
        until = "the start of the new slot" if self.first is None else lsn_text(self.first)
        return f"changes committed between WAL positions {lsn_text(self.last)} and {until}"


def find_wal_gap(position: int | None, slot: Slot | None) -> WalGap | None:
    """Return the gap between Connect's position and the slot; None if nothing is missing.

    Args:
        position: WAL position that Connect has stored; None before its first transaction.
        slot: the slot; None if there is none.
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
    """Stop the connector; if changes are lost, record them and set its position after them.

    The connector stays stopped until `connectors.registration.apply` starts it. Repeated after a
    crash, it finds the same gap, or none if the position was set already.

    Args:
        api: the connector.
        monitor_dsn: a role that may read `pg_replication_slots`.
        replication_dsn: a role that may create and drop the slot.
        slot_name: name of the slot.
        record: called with the gap before anything is changed, while the connector is stopped.
        timeout_seconds: maximum wait for the connector to stop.

    Returns:
        The gap; None if nothing is lost.

    Raises:
        StopPipelineError: the publication is missing.
        RetryLaterError: a service is unavailable or too slow; repeating is safe.
    """
    if api.state() is None:
        return None
    slot = read_slot(monitor_dsn, slot_name)
    if slot is not None and not slot.has_publication:
        # A new slot would have no changes.
        raise StopPipelineError(no_publication(is_stuck=slot.needs_publication))
    stop(api, timeout_seconds=timeout_seconds)
    slot = read_slot(monitor_dsn, slot_name)
    position = api.stored().position
    gap = find_wal_gap(position, slot)
    if gap is None and slot and position and lacks_publication(replication_dsn, slot, slot_name):
        gap = WalGap(last=position, first=None)
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
    """Stop the connector, and wait until its task has ended.

    Raises:
        RetryLaterError: it does not stop in time.
    """
    deadline = time.monotonic() + timeout_seconds
    api.stop()
    while not api.is_stopped():
        if time.monotonic() > deadline:
            problem = f"Connector {api.name} does not stop"
            raise RetryLaterError(problem, "See ./pipeline logs connect; try again.")
        time.sleep(_POLL_SECONDS)


def lsn_number(text: str) -> int:
    """Parse an LSN as Postgres writes it, such as 0/16B3748."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def lsn_text(number: int) -> str:
    """Format an LSN as Postgres writes it."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"

"""Throttle of the simulator by the WAL that the connector's slot retains."""

import psycopg

_HELD_BACK = """
select
    pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)
    / nullif(pg_size_bytes(current_setting('max_slot_wal_keep_size')), 0)
from pg_replication_slots as s
where s.slot_name = %s and s.restart_lsn is not null
"""


def slot_share(connection: psycopg.Connection, slot_name: str) -> float:
    """Return the slot's retained WAL as a share of its limit; 0 without slot or limit."""
    row = connection.execute(_HELD_BACK, [slot_name]).fetchone()
    # An unlimited slot has a limit of -1, and so a negative share.
    return max(float(row[0]), 0.0) if row is not None and row[0] is not None else 0.0


def speed(share: float, budget: float) -> float:
    """Return a fraction of full speed: 1 within the budget, 0 from halfway to the limit."""
    return min(max(1 - 2 * (share - budget) / (1 - budget), 0.0), 1.0) if budget < 1 else 1.0

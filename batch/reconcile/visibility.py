"""Visibility of transactions in a snapshot of the shop, by the 32 bits of their id in a change."""

from dataclasses import dataclass

import polars as pl

_WHEEL = 1 << 32
_HALF = 1 << 31
_LONG_AGO_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """Contents of `pg_current_snapshot()`: it sees all ids below `xmax` except those `in_progress`.

    `taken_us` is the database's clock at that time, in microseconds since 1970.
    """

    xmax: int
    in_progress: frozenset[int]
    taken_us: int

    @classmethod
    def parse(cls, snapshot: str, *, taken_us: int) -> "Visibility":
        """Parse Postgres' text `xmin:xmax:xid,xid,…`."""
        _, xmax, in_progress = snapshot.split(":")
        ids = (int(xid) for xid in in_progress.split(",") if xid)
        return cls(xmax=int(xmax), in_progress=frozenset(ids), taken_us=taken_us)

    def sees(self, tx_id: pl.Expr, committed_us: pl.Expr) -> pl.Expr:
        """Return whether the snapshot sees a transaction.

        Ids wrap around: an id that appears to lie ahead by less than 2^31 has not begun yet, or is
        from before the last wraparound. Its commit time decides: a commit an hour before the
        snapshot is visible, because 2^31 transactions do not fit into an hour.
        """
        is_behind = (tx_id.cast(pl.Int64) - self.xmax) % _WHEEL >= _HALF
        is_running = tx_id.cast(pl.Int64).is_in([xid % _WHEEL for xid in self.in_progress])
        is_old = committed_us < self.taken_us - _LONG_AGO_US
        return (is_behind & ~is_running) | is_old

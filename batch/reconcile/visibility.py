"""Which transactions a snapshot of the shop sees, by the 32 bits of their id in a change."""

from dataclasses import dataclass

import polars as pl

_WHEEL = 1 << 32
_HALF = 1 << 31
_LONG_AGO_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """What `pg_current_snapshot()` saw: all ids below `xmax` but those `in_progress`.

    `taken_us` is the database's clock then, in microseconds since 1970.
    """

    xmax: int
    in_progress: frozenset[int]
    taken_us: int

    @classmethod
    def parse(cls, snapshot: str, *, taken_us: int) -> "Visibility":
        """From Postgres' text `xmin:xmax:xid,xid,…`."""
        _, xmax, in_progress = snapshot.split(":")
        ids = (int(xid) for xid in in_progress.split(",") if xid)
        return cls(xmax=int(xmax), in_progress=frozenset(ids), taken_us=taken_us)

    def sees(self, tx_id: pl.Expr, committed_us: pl.Expr) -> pl.Expr:
        """Whether the snapshot sees a transaction.

        Ids go round: one that seems to lie ahead by less than half the wheel is not begun yet, or
        so old that the wheel has turned. Its commit time tells: what was committed an hour before
        the snapshot is in it, and nobody turns half the wheel in an hour.
        """
        is_behind = (tx_id.cast(pl.Int64) - self.xmax) % _WHEEL >= _HALF
        is_running = tx_id.cast(pl.Int64).is_in([xid % _WHEEL for xid in self.in_progress])
        is_old = committed_us < self.taken_us - _LONG_AGO_US
        return (is_behind & ~is_running) | is_old

"""Checks of clocks: this machine's compared with those of the servers."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import LiteralString

import psycopg

from lakehouse.http import http_client
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.findings import Said, fine, unchecked, wrong

MOST_SECONDS = 2.0
SET_CLOCKS = "synchronise the clocks: timedatectl set-ntp true, on both machines"
_NOW = "select clock_timestamp()"
_HEARTBEATS: LiteralString = "select f.clock_ahead_seconds, f.state from mart.live_freshness as f"


def _clocks(measurements: Measurements) -> Sequence[Said]:
    asked: Mapping[str, Callable[[], float]] = {
        "oltp": lambda: ahead_of_us(measurements.oltp("monitor")),
        "warehouse": lambda: ahead_of_us(measurements.warehouse("batch")),
        "minio": lambda: _of_store(measurements.config.minio.url),
    }
    away = measurements.not_ready(asked)
    return diagnose_clocks({name: ask() for name, ask in asked.items() if name not in away})


def diagnose_clocks(ahead: Mapping[str, float]) -> Sequence[Said]:
    """Diagnose whether the servers' clocks agree with this machine's.

    Args:
        ahead: seconds by which each server's clock is ahead of this machine's.
    """
    if not ahead:
        return [unchecked("no server is up to compare with")]
    wrong_ones = {name: skew for name, skew in ahead.items() if abs(skew) > MOST_SECONDS}
    return [
        wrong(f"{name}'s clock is {abs(s):,.1f} s {'ahead' if s > 0 else 'behind'}", SET_CLOCKS)
        for name, s in wrong_ones.items()
    ] or [fine(f"{', '.join(ahead)}: within {MOST_SECONDS:.0f} s of this machine's")]


def _heartbeats(measurements: Measurements) -> Sequence[Said]:
    with psycopg.connect(measurements.warehouse("monitor"), autocommit=True) as connection:
        row = connection.execute(_HEARTBEATS).fetchone()
    return diagnose_heartbeats(*row) if row else [unchecked("unknown in the warehouse")]


def diagnose_heartbeats(ahead: float | None, state: str) -> Sequence[Said]:
    """Diagnose whether timestamps of the shop's heartbeats agree with the warehouse's clock.

    Args:
        ahead: seconds by which they are ahead; None if the clocks seem to agree.
        state: state of the live charts.
    """
    if ahead is None:
        return [fine(f"timestamps agree with the warehouse's clock; charts are {state}")]
    if ahead > 0:
        words = f"the shop's last heartbeat is dated {ahead:,.0f} s ahead of the warehouse's clock"
        return [wrong(words, f"{SET_CLOCKS}; the next heartbeat shows whether that was sufficient")]
    words = (
        f"all heartbeats of the shop are dated {-ahead:,.0f} s behind the warehouse's clock: the "
        "shop's clock is behind, or all of them are delayed"
    )
    return [wrong(words, f"if clocks above is wrong, {SET_CLOCKS}; else ./pipeline connect status")]


def ahead_of_us(dsn: str) -> float:
    """Return seconds by which a Postgres server's clock is ahead, corrected for the round trip.

    Raises:
        psycopg.Error: it does not answer.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = datetime.now(UTC)
        row = connection.execute(_NOW).fetchone()
        after = datetime.now(UTC)
    return _ahead(before, row[0] if row else before, after)


def _of_store(url: str) -> float:
    """Return seconds ahead by the Date header of a response, which has whole seconds."""
    before = datetime.now(UTC).replace(microsecond=0)
    with http_client(url, timeout=5) as client:
        told = parsedate_to_datetime(client.get("/minio/health/live").headers["Date"])
    return _ahead(before, told, datetime.now(UTC))


def _ahead(before: datetime, told: datetime, after: datetime) -> float:
    """Return 0 if the difference is within the uncertainty of the measurement."""
    if before <= told <= after:
        return 0.0
    return (told - after).total_seconds() if told > after else (told - before).total_seconds()


CHECKS: Sequence[Check] = [
    Check(area="machine", title="clocks", run=_clocks),
    Check(area="machine", title="heartbeats", needs=("warehouse",), run=_heartbeats),
]

"""Clocks: this machine's against those of the servers."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import psycopg

from stack.doctor.model import Check, Said, fine, unchecked, wrong
from stack.doctor.readings import Readings

_MOST_SECONDS = 2.0
_NOW = "select clock_timestamp()"


def checks() -> Sequence[Check]:
    """Of this area."""
    return [Check(area="machine", title="clocks", look=_clocks)]


def _clocks(readings: Readings) -> Sequence[Said]:
    asked: Mapping[str, Callable[[], float]] = {
        "oltp": lambda: _of_postgres(readings.oltp("monitor")),
        "warehouse": lambda: _of_postgres(readings.warehouse("batch")),
        "minio": lambda: _of_store(readings.config.minio.url),
    }
    away = readings.not_ready(asked)
    return judge_clocks({name: ask() for name, ask in asked.items() if name not in away})


def judge_clocks(ahead: Mapping[str, float]) -> Sequence[Said]:
    """Whether the servers' clocks agree with this machine's.

    Args:
        ahead: seconds that a server's clock is ahead of ours.
    """
    if not ahead:
        return [unchecked("no server is up that could tell")]
    wrong_ones = {name: skew for name, skew in ahead.items() if abs(skew) > _MOST_SECONDS}
    remedy = "set the clocks by a time service: timedatectl set-ntp true, on both machines"
    return [
        wrong(f"{name}'s clock is {abs(s):,.1f} s {'ahead' if s > 0 else 'behind'}", remedy)
        for name, s in wrong_ones.items()
    ] or [fine(f"{', '.join(ahead)}: within {_MOST_SECONDS:.0f} s of this machine's")]


def _of_postgres(dsn: str) -> float:
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = datetime.now(UTC)
        row = connection.execute(_NOW).fetchone()
        after = datetime.now(UTC)
    return _ahead(before, row[0] if row else before, after)


def _of_store(url: str) -> float:
    """By the date of an answer, which leaves out parts of a second."""
    before = datetime.now(UTC).replace(microsecond=0)
    with httpx.Client(trust_env=False, timeout=5) as client:
        told = parsedate_to_datetime(client.get(f"{url}/minio/health/live").headers["Date"])
    return _ahead(before, told, datetime.now(UTC))


def _ahead(before: datetime, told: datetime, after: datetime) -> float:
    """0 if it may have been that time when it was told."""
    if before <= told <= after:
        return 0.0
    return (told - after).total_seconds() if told > after else (told - before).total_seconds()

"""Request for an extraction, and the signal that sends it to Debezium. Pure."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import orjson

from connectors.captured import CapturedTable
from lakehouse.errors import WrongArgumentError

_MOST_BYTES = 2048
"""Maximum length of `data` in the signal table."""
_DIGEST = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Days in the shop's time zone, the last one inclusive; None is without end."""

    first: date
    last: date | None
    time_zone: str

    @property
    def start_at(self) -> datetime:
        """The instant at which the first day begins."""
        return self._midnight(self.first)

    @property
    def stop_at(self) -> datetime | None:
        """The instant at which the last day ends; None without a last day."""
        return None if self.last is None else self._midnight(self.last + timedelta(days=1))

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.time_zone)).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Tables to read: all rows, or those of some days."""

    tables: tuple[CapturedTable, ...]
    days: Days | None

    @property
    def names(self) -> list[str]:
        """Names of the tables."""
        return [table.table_name for table in self.tables]

    @property
    def digest(self) -> str:
        """Digest of the request; the signal's id begins with it."""
        days = self.days and (self.days.start_at, self.days.stop_at)
        return hashlib.sha256(orjson.dumps([self.names, days])).hexdigest()[:_DIGEST]

    def data(self) -> str:
        """Return the signal's data as JSON.

        Raises:
            WrongArgumentError: the tables do not fit into one signal.
        """
        asked: dict[str, object] = {
            "type": "incremental",
            "data-collections": [collection(name) for name in self.names],
        }
        if conditions := _conditions(self.tables, self.days):
            asked["additional-conditions"] = conditions
        text = orjson.dumps(asked).decode()
        if len(text) > _MOST_BYTES:
            problem = f"{len(self.tables)} tables are too many for one request"
            raise WrongArgumentError(problem, "Name fewer of them.")
        return text


def parse_days(since: str, until: str | None, *, time_zone: str, today: date) -> Days:
    """Parse the options --since and --until, YYYY-MM-DD.

    Raises:
        WrongArgumentError: one is not a day or in the future, or they are in the wrong order.
    """
    first = _day(since, "--since")
    last = None if until is None else _day(until, "--until")
    if last is not None and last < first:
        problem = f"--until {last} lies before --since {first}"
        raise WrongArgumentError(problem, "Give the earlier day to --since.")
    if first > today:
        message = f"--since {first} lies in the future: it is {today} in {time_zone}."
        raise WrongArgumentError(message)
    days = Days(first=first, last=last, time_zone=time_zone)
    try:
        _ = days.start_at, days.stop_at
    except OverflowError as error:
        problem = f"--since {since}, --until {until}: out of range"
        raise WrongArgumentError(problem, "Give days between year 1 and 9999.") from error
    return days


def collection(table: str) -> str:
    """Return a table in Debezium's notation: a regular expression for the whole name."""
    is_plain = re.fullmatch(r"\w+", table) is not None
    return f"public.{table if is_plain else re.escape(table)}"


def table_of(named: str) -> str:
    """Return the table of `public.orders` or `shop.public.orders`, as Debezium reports it."""
    return named.split("public.", 1)[-1].strip('"')


def _conditions(tables: Sequence[CapturedTable], days: Days | None) -> list[dict[str, str]]:
    """Return one condition per group of tables that share it, since signals are short."""
    names: dict[str, list[str]] = {}
    for table in tables:
        if bounds := [*_of_days(table, days), *_of_its_own(table)]:
            condition = f"({' and '.join(bounds)})"
            names.setdefault(condition, []).append(collection(table.table_name))
    return [
        {"data-collection": "|".join(names[condition]), "filter": condition}
        for condition in sorted(names)
    ]


def _of_days(table: CapturedTable, days: Days | None) -> list[str]:
    if days is None or table.dated_by is None:
        return []
    bounds = [f"{table.dated_by} >= timestamptz '{days.start_at.isoformat()}'"]
    if days.stop_at is not None:
        bounds.append(f"{table.dated_by} < timestamptz '{days.stop_at.isoformat()}'")
    return bounds


def _of_its_own(table: CapturedTable) -> list[str]:
    """Return a condition that excludes rows of child tables: Debezium does not select from ONLY."""
    if not table.has_children:
        return []
    name = table.table_name.replace('"', '""').replace("'", "''")
    return [f"tableoid = 'public.\"{name}\"'::regclass"]


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        problem = f"{option} {text}: not a date"
        raise WrongArgumentError(problem, "Write it as YYYY-MM-DD, such as 2026-11-25.") from None

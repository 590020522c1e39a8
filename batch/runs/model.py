"""Model of a run record."""

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg.types.json import Jsonb

from lakehouse.errors import PipelineError
from lakehouse.postgres import explained
from lakehouse.trouble import Service, Trouble

Facts = Mapping[str, Any]
"""Values stored as JSON; timestamps become text."""
_log = structlog.get_logger(__name__)
_LONGEST_MESSAGE = 4000
as_json = partial(Jsonb, dumps=partial(json.dumps, default=str))


class Kind(StrEnum):
    """Kinds of runs."""

    CONSOLIDATION = "consolidation"
    REPLAY = "replay"
    EXTRACTION = "extraction"
    REBUILD = "rebuild"
    MAINTENANCE = "maintenance"
    REDRIVE = "redrive"
    TRAINING = "training"


class Outcome(StrEnum):
    """Outcome of a run. `interrupted` is derived from the missing lock; it is never stored."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its process ended without recording an outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One row of `etl.runs`; `what` describes the scope in one line."""

    run_number: int
    run_id: UUID
    kind: str
    what: str
    scope: Facts
    code_version: str
    contract_version: str
    who: str
    outcome: str
    rows_read: int | None
    rows_written: int | None
    digest: Facts | None
    details: Facts
    message: str | None
    started_at: datetime
    noted_at: datetime
    finished_at: datetime | None

    @property
    def seconds(self) -> float:
        """Return its duration so far; of an interrupted run, until its last update."""
        end = datetime.now(UTC) if self.outcome == Outcome.RUNNING else self.noted_at
        # Timestamps are the warehouse's, whose clock may be ahead of this machine's.
        return max(0.0, ((self.finished_at or end) - self.started_at).total_seconds())

    def to_json(self) -> Facts:
        """Return all fields by name."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Facts that a run has recorded so far."""

    scope: Facts
    rows_read: int | None = None
    rows_written: int | None = None
    digest: Facts | None = None
    details: Facts = field(default_factory=dict)

    def to_row(self) -> dict[str, object]:
        """Return the values by column."""
        return {
            "scope": as_json(self.scope),
            "rows_read": self.rows_read,
            "rows_written": self.rows_written,
            "digest": None if self.digest is None else as_json(self.digest),
            "details": as_json(self.details),
        }


def whoami() -> str:
    """Return user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def message_of(error: BaseException) -> str:
    """Return an error's text for the record; errors of other libraries also get their type."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
    return text[:_LONGEST_MESSAGE]


_AWAY = "Runs cannot be recorded or read"


@contextmanager
def unrecorded(*, is_required: bool = True, what: str = _AWAY) -> Iterator[None]:
    """Convert errors of the warehouse with `complain`.

    Raises:
        RetryLaterError: the warehouse does not answer, and a record is required.
        StopPipelineError: its schema is older than this code, and a record is required.
    """
    try:
        yield
    except psycopg.Error as error:
        complain(error, is_required=is_required, what=what)


def complain(error: psycopg.Error, *, is_required: bool, what: str = _AWAY) -> None:
    """Raise that the run cannot be recorded or, if a record is not required, log a warning.

    Raises:
        RetryLaterError: the warehouse does not answer, and a record is required.
        StopPipelineError: its schema is older than this code, and a record is required.
    """
    if not is_required:
        _log.warning("run_not_recorded", error=" ".join(str(error).split()))
        return
    older = {Trouble.SCHEMA: "./pipeline up brings the warehouse's schema up to date."}
    raise explained(error, Service.WAREHOUSE, what, then=older) from error

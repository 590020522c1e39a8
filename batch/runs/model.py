"""What is known of a run."""

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
"""What becomes JSON in the table; instants become text."""
_log = structlog.get_logger(__name__)
_LONGEST_MESSAGE = 4000
as_json = partial(Jsonb, dumps=partial(json.dumps, default=str))


class Kind(StrEnum):
    """What a run does."""

    CONSOLIDATION = "consolidation"
    REPLAY = "replay"
    EXTRACTION = "extraction"
    REBUILD = "rebuild"
    MAINTENANCE = "maintenance"
    REDRIVE = "redrive"


class Outcome(StrEnum):
    """How a run stands. That one is interrupted is not written: it is seen."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its process died without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, as `etl.runs` has it; and `what` it was asked for, in a line."""

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
        """How long it took, or has been going on; of one that died, until it was last heard of."""
        end = datetime.now(UTC) if self.outcome == Outcome.RUNNING else self.noted_at
        # Instants are the warehouse's, and its clock may be ahead of this machine's.
        return max(0.0, ((self.finished_at or end) - self.started_at).total_seconds())

    def to_json(self) -> Facts:
        """All of it, by name."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What a run has said of itself so far."""

    scope: Facts
    rows_read: int | None = None
    rows_written: int | None = None
    digest: Facts | None = None
    details: Facts = field(default_factory=dict)

    def to_row(self) -> dict[str, object]:
        """By column."""
        return {
            "scope": as_json(self.scope),
            "rows_read": self.rows_read,
            "rows_written": self.rows_written,
            "digest": None if self.digest is None else as_json(self.digest),
            "details": as_json(self.details),
        }


def whoami() -> str:
    """User and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def message_of(error: BaseException) -> str:
    """What a record keeps of an error. Ours say all there is to say."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
    return text[:_LONGEST_MESSAGE]


_AWAY = "Runs cannot be recorded or read"


@contextmanager
def unrecorded(*, is_required: bool = True, what: str = _AWAY) -> Iterator[None]:
    """Let errors of the warehouse be `complain`'s.

    Raises:
        RetryLaterError: the warehouse does not answer, and it has to.
        StopPipelineError: its schema is older than this code, and a record is required.
    """
    try:
        yield
    except psycopg.Error as error:
        complain(error, is_required=is_required, what=what)


def complain(error: psycopg.Error, *, is_required: bool, what: str = _AWAY) -> None:
    """Say what it means that the warehouse keeps no record; where none is required, in the log.

    Raises:
        RetryLaterError: the warehouse does not answer, and it has to.
        StopPipelineError: its schema is older than this code, and a record is required.
    """
    if not is_required:
        _log.warning("run_not_recorded", error=" ".join(str(error).split()))
        return
    older = {Trouble.SCHEMA: "./pipeline up brings the warehouse's schema up to date."}
    raise explained(error, Service.WAREHOUSE, what, then=older) from error

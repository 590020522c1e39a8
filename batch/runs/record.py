"""Record of a run, updated while it runs, so that an interrupted run leaves what it had noted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import structlog
from typing_extensions import override

from batch.runs.model import (
    Facts,
    Kind,
    Noted,
    Outcome,
    complain,
    message_of,
    unrecorded,
    whoami,
)
from batch.runs.session import Session

_log = structlog.get_logger(__name__)
_WRITE: LiteralString = """
update etl.runs
set
    scope = %(scope)s, rows_read = %(rows_read)s, rows_written = %(rows_written)s,
    digest = %(digest)s, details = %(details)s, outcome = %(outcome)s, message = %(message)s,
    noted_at = clock_timestamp(),
    finished_at = case when %(outcome)s <> 'running' then clock_timestamp() end
where run_id = %(run_id)s"""


class Run:
    """A running run. This base class records nothing."""

    def __init__(self, run_id: UUID | None = None, scope: Facts | None = None) -> None:
        self.run_id = run_id or uuid4()
        self.noted = Noted(scope=dict(scope or {}))

    def note(
        self,
        *,
        rows_read: int | None = None,
        rows_written: int | None = None,
        digest: Facts | None = None,
        details: Facts | None = None,
        scope: Facts | None = None,
    ) -> None:
        """Add facts to the record. If a name is noted twice, the last value counts.

        Args:
            rows_read: total of rows or changes read.
            rows_written: total of rows inserted, changed or deleted.
            digest: by table, before and after.
            details: metrics by table or step.
            scope: what was asked for, resolved.
        """
        known = self.noted
        self.noted = replace(
            known,
            rows_read=known.rows_read if rows_read is None else rows_read,
            rows_written=known.rows_written if rows_written is None else rows_written,
            digest=known.digest if digest is None else {**(known.digest or {}), **digest},
            details={**known.details, **(details or {})},
            scope={**known.scope, **(scope or {})},
        )
        self._keep()

    def end(self, outcome: Outcome, message: str | None) -> None:
        """Record the outcome, and release the lock.

        Raises:
            psycopg.Error: the warehouse does not answer.
        """

    def _keep(self) -> None:
        """Do nothing, because the run is not recorded."""


class KeptRun(Run):
    """A run that is recorded."""

    def __init__(self, run_id: UUID, scope: Facts, session: Session) -> None:
        super().__init__(run_id, scope)
        self._session = session

    @override
    def _keep(self) -> None:
        try:
            self.write(Outcome.RUNNING, None)
        except psycopg.Error as error:
            # The outcome's update writes it again.
            _log.warning("run_progress_not_recorded", run=str(self.run_id), error=str(error))

    @override
    def end(self, outcome: Outcome, message: str | None) -> None:
        try:
            self.write(outcome, message)
        finally:
            self._session.close()

    def write(self, outcome: Outcome, message: str | None) -> None:
        """Write all facts.

        Raises:
            psycopg.Error: the warehouse does not answer.
        """
        values = {
            **self.noted.to_row(), "run_id": self.run_id, "outcome": str(outcome),
            "message": message,
        }  # fmt: skip

        def update(connection: psycopg.Connection) -> None:
            connection.execute(_WRITE, values)

        self._session.write(update)


@contextmanager
def recorded(
    dsn: str, *, kind: Kind, scope: Facts, who: str | None = None, is_required: bool = True
) -> Iterator[Run]:
    """Record the outcome of the block, and what it notes meanwhile.

    Args:
        dsn: connection to the migrated warehouse, as its role `batch`.
        kind: of the run.
        scope: what was asked for: layers, tables, offsets, times.
        who: by default user and machine.
        is_required: fail if the run cannot be recorded. Otherwise a warning is logged.

    Raises:
        RetryLaterError: the warehouse does not answer, and a record is required.
        StopPipelineError: its schema is older than this code, and a record is required.
    """
    run = _begun(dsn, kind, scope, who or whoami(), is_required=is_required)
    with ending(run, is_required=is_required):
        yield run


@contextmanager
def ending(run: Run, *, is_required: bool) -> Iterator[None]:
    """Record the outcome at the end of the block. An error in the block is passed on.

    Raises:
        RetryLaterError: the block succeeded, but the warehouse does not answer.
    """
    try:
        yield
    except BaseException as error:
        with unrecorded(is_required=False):
            run.end(Outcome.FAILED, message_of(error))
        raise
    with unrecorded(
        is_required=is_required, what="The run succeeded, but its outcome is not recorded"
    ):
        run.end(Outcome.SUCCEEDED, None)


def _begun(dsn: str, kind: Kind, scope: Facts, who: str, *, is_required: bool) -> Run:
    run_id = uuid4()
    try:
        session = Session(dsn, who=who, is_stepwise=False)
        session.begin(run_id, kind, scope)
    except psycopg.Error as error:
        complain(error, is_required=is_required)
        return Run(run_id, scope)
    return KeptRun(run_id, scope, session)

"""A record of a run, written while it goes on: one that dies leaves what it had noted."""

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
    """A run that goes on. Where it is not recorded, what it notes goes nowhere."""

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
        """Add to what is known of the run. Of a name noted twice, the last counts.

        Args:
            rows_read: rows or changes applied, in all.
            rows_written: rows inserted, changed or taken away, in all.
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
        """Write how it ended, and let go.

        Raises:
            psycopg.Error: the warehouse does not answer.
        """

    def _keep(self) -> None:
        """Nowhere, here."""


class KeptRun(Run):
    """One that is recorded."""

    def __init__(self, run_id: UUID, scope: Facts, session: Session) -> None:
        super().__init__(run_id, scope)
        self._session = session

    @override
    def _keep(self) -> None:
        try:
            self.write(Outcome.RUNNING, None)
        except psycopg.Error as error:
            # The end writes it again.
            _log.warning("run_not_noted", run=str(self.run_id), error=str(error))

    @override
    def end(self, outcome: Outcome, message: str | None) -> None:
        try:
            self.write(outcome, message)
        finally:
            self._session.close()

    def write(self, outcome: Outcome, message: str | None) -> None:
        """Write all that is known.

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
    """Keep a record of what the block does: how it ends, and what it notes meanwhile.

    Args:
        dsn: of the migrated warehouse, as its role `batch`.
        kind: of the run.
        scope: what was asked for: layers, tables, offsets, times.
        who: by default the user and the machine.
        is_required: without a record there is no run. Otherwise, a warning has to do.

    Raises:
        RetryLaterError: the warehouse does not answer, and a record is required.
        StopPipelineError: its schema is older than this code, and a record is required.
    """
    run = _begun(dsn, kind, scope, who or whoami(), is_required=is_required)
    with ending(run, is_required=is_required):
        yield run


@contextmanager
def ending(run: Run, *, is_required: bool) -> Iterator[None]:
    """Write at the end of the block how it went. An error in it goes on.

    Raises:
        RetryLaterError: it went well, but the warehouse does not answer.
    """
    try:
        yield
    except BaseException as error:
        with unrecorded(is_required=False):
            run.end(Outcome.FAILED, message_of(error))
        raise
    with unrecorded(is_required=is_required, what="This is done, but its end is not recorded"):
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

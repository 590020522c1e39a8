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
    as_json,
    complain,
    message_of,
    unrecorded,
    whoami,
)
from lakehouse.version import code_version, contracts_version

_log = structlog.get_logger(__name__)
_BEGIN: LiteralString = """
insert into etl.runs (
    run_id, kind, scope, code_version, contract_version, who, outcome, is_stepwise, details,
    started_at, noted_at
)
values (
    %(run_id)s, %(kind)s, %(scope)s, %(code_version)s, %(contract_version)s, %(who)s, 'running',
    false, '{}', now(), now()
)
returning run_number"""
_LOCK: LiteralString = "select pg_advisory_lock(hashtext('etl.runs'), %s::integer)"
_NOTE: LiteralString = """
update etl.runs
set
    scope = %(scope)s, rows_read = %(rows_read)s, rows_written = %(rows_written)s,
    digest = %(digest)s, details = %(details)s, noted_at = clock_timestamp()
where run_id = %(run_id)s"""
_END: LiteralString = """
update etl.runs
set outcome = %(outcome)s, message = %(message)s, finished_at = clock_timestamp()
where run_id = %(run_id)s"""


class Run:
    """A run that goes on. Where it is not recorded, what it notes goes nowhere."""

    def __init__(self, run_id: UUID, scope: Facts) -> None:
        self.run_id = run_id
        self.noted = Noted(scope=dict(scope))

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
            rows_read: rows or changes taken in, in all.
            rows_written: rows inserted, changed or taken away, in all.
            digest: by table, before and after.
            details: figures by table or step.
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

    def _keep(self) -> None:
        """Nowhere, here."""


class _RecordedRun(Run):
    """One with a row. Its session holds the lock that tells that its process lives."""

    def __init__(self, dsn: str, run_id: UUID, kind: Kind, scope: Facts, who: str) -> None:
        super().__init__(run_id, scope)
        self._dsn = dsn
        self._connection = _session(dsn, f"{kind} of {who}")
        values = {
            "run_id": run_id, "kind": str(kind), "scope": as_json(scope), "who": who,
            "code_version": code_version(), "contract_version": contracts_version(),
        }  # fmt: skip
        try:
            # In one transaction: nobody sees a running row without its lock.
            with self._connection.transaction():
                for (number,) in self._connection.execute(_BEGIN, values):
                    self._number = int(number)
                self._connection.execute(_LOCK, [self._number])
        except psycopg.Error:
            self._connection.close()
            raise

    @override
    def _keep(self) -> None:
        try:
            self._write((_NOTE, self.noted.to_row()))
        except psycopg.Error as error:
            # The end writes it again.
            _log.warning("run_not_noted", run=str(self.run_id), error=str(error))

    def end(self, outcome: Outcome, message: str | None) -> None:
        """Write how it ended, and let go.

        Raises:
            psycopg.Error: the warehouse does not answer.
        """
        try:
            ended = {"outcome": str(outcome), "message": message}
            self._write((_NOTE, self.noted.to_row()), (_END, ended))
        finally:
            self._connection.close()

    def _write(self, *statements: tuple[LiteralString, Facts]) -> None:
        if self._connection.closed:
            # The server was restarted: the lock went with the session.
            self._connection = _session(self._dsn, f"run {self._number}")
            self._connection.execute(_LOCK, [self._number])
        with self._connection.transaction():
            for statement, values in statements:
                self._connection.execute(statement, {**values, "run_id": self.run_id})


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
    try:
        yield run
    except BaseException as error:
        with unrecorded(is_required=False):
            _end(run, Outcome.FAILED, message_of(error))
        raise
    with unrecorded(is_required=is_required, what="This is done, but its end is not recorded"):
        _end(run, Outcome.SUCCEEDED, None)


def _begun(dsn: str, kind: Kind, scope: Facts, who: str, *, is_required: bool) -> Run:
    run_id = uuid4()
    try:
        return _RecordedRun(dsn, run_id, kind, scope, who)
    except psycopg.Error as error:
        complain(error, is_required=is_required)
    return Run(run_id, scope)


def _end(run: Run, outcome: Outcome, message: str | None) -> None:
    if isinstance(run, _RecordedRun):
        run.end(outcome, message)


def _session(dsn: str, name: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, application_name=name[:63])

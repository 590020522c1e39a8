"""A warehouse session that holds the lock of a run, which shows that the run is alive."""

from collections.abc import Callable
from typing import LiteralString
from uuid import UUID

import psycopg

from batch.runs.model import Facts, Kind, as_json
from lakehouse.version import code_version, contracts_version

_BEGIN: LiteralString = """
insert into etl.runs as r (
    run_id, kind, scope, code_version, contract_version, who, outcome, is_stepwise, details,
    started_at, noted_at
)
values (
    %(run_id)s, %(kind)s, %(scope)s, %(code_version)s, %(contract_version)s, %(who)s, 'running',
    %(is_stepwise)s, '{}', now(), now()
)
on conflict (run_id) do update
set
    outcome = 'running', message = null, finished_at = null, noted_at = now()
returning r.run_number"""
# Before the insert: every insert that conflicts would use up a run number.
_GO_ON: LiteralString = """
update etl.runs as r
set
    outcome = 'running', message = null, finished_at = null, noted_at = now()
where r.run_id = %(run_id)s
returning r.run_number"""
# Never waits: if a restarted server still knows the old session, its lock shows a live run.
_LOCK: LiteralString = "select pg_try_advisory_lock(hashtext('etl.runs'), %s::integer)"
_LOCK_SHARED: LiteralString = (
    "select pg_try_advisory_lock_shared(hashtext('etl.runs'), %s::integer)"
)


class Session:
    """The session of a run, or of a step of it, from beginning to end."""

    def __init__(self, dsn: str, *, who: str, is_stepwise: bool) -> None:
        self._dsn = dsn
        self._who = who
        self._is_stepwise = is_stepwise
        self._lock = _LOCK_SHARED if is_stepwise else _LOCK
        self._connection = self._connect()

    def begin(self, run_id: UUID, kind: Kind, scope: Facts) -> None:
        """Create the run's row, unless another step has, and take its lock.

        Raises:
            psycopg.Error: the warehouse does not answer, or its schema is older.
        """
        values = {
            "run_id": run_id, "kind": str(kind), "scope": as_json(scope), "who": self._who,
            "code_version": code_version(), "contract_version": contracts_version(),
            "is_stepwise": self._is_stepwise,
        }  # fmt: skip
        try:
            # In one transaction: a running row is never visible without its lock.
            with self._connection.transaction():
                found = self._connection.execute(_GO_ON, values).fetchall()
                rows = found or self._connection.execute(_BEGIN, values).fetchall()
                self._number = int(rows[0][0])
                self._connection.execute(self._lock, [self._number])
        except psycopg.Error:
            self.close()
            raise

    def write(self, write: Callable[[psycopg.Connection], None]) -> None:
        """Run one transaction, in a new session if the server has closed this one.

        Raises:
            psycopg.Error: the warehouse does not answer.
        """
        try:
            self._transact(write)
        except psycopg.OperationalError:
            if not self._connection.closed:
                raise
            self._connection = self._connect()
            self._connection.execute(self._lock, [self._number])
            self._transact(write)

    def close(self) -> None:
        """Release the lock."""
        self._connection.close()

    def _transact(self, write: Callable[[psycopg.Connection], None]) -> None:
        with self._connection.transaction():
            write(self._connection)

    def _connect(self) -> psycopg.Connection:
        name = f"record of {self._who}"[:63]
        return psycopg.connect(self._dsn, autocommit=True, application_name=name)

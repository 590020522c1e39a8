"""Runs whose steps are separate processes, as in Airflow: all steps write one row."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import NAMESPACE_OID, UUID, uuid5

import psycopg
from typing_extensions import override

from batch.runs.model import Facts, Kind, Outcome, as_json, complain
from batch.runs.record import KeptRun, Run, ending
from batch.runs.session import Session

_READ: LiteralString = "select r.scope, r.details from etl.runs as r where r.run_id = %s for update"
_WRITE: LiteralString = """
update etl.runs
set
    scope = %(scope)s, details = %(details)s, outcome = %(outcome)s,
    message = %(message)s, rows_read = %(rows_read)s, rows_written = %(rows_written)s,
    noted_at = clock_timestamp(),
    finished_at = case when %(outcome)s <> 'running' then clock_timestamp() end
where run_id = %(run_id)s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepwiseRun:
    """Identity of a run that its steps share.

    Attributes:
        key: identifies the run, such as the ids of Airflow's DAG and run.
        steps: names of all steps; the run has succeeded once each of them has.
    """

    key: str
    kind: Kind
    scope: Facts
    steps: Sequence[str]
    who: str = "airflow"

    @property
    def run_id(self) -> UUID:
        """Return an id that is the same in each step."""
        return uuid5(NAMESPACE_OID, self.key)


@contextmanager
def recorded_step(
    dsn: str, whole: StepwiseRun, step: str, *, is_required: bool = True
) -> Iterator[Run]:
    """Record one step. If it is repeated, its last outcome counts.

    Raises:
        RetryLaterError: the warehouse does not answer, and a record is required.
        StopPipelineError: its schema is older than this code, and a record is required.
    """
    run = _begun(dsn, whole, step, is_required=is_required)
    with ending(run, is_required=is_required):
        yield run


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """State of a run, computed from its steps."""

    outcome: Outcome
    message: str | None
    rows_read: int | None
    rows_written: int | None


def standing(steps: Mapping[str, Facts], names: Sequence[str]) -> Standing:
    """Compute the state from the steps so far; `names` are all steps that are expected."""
    outcomes = {name: step["outcome"] for name, step in steps.items()}
    messages = [f"{name}: {step['message']}" for name, step in steps.items() if step["message"]]
    if Outcome.RUNNING in outcomes.values():
        outcome = Outcome.RUNNING
    elif Outcome.FAILED in outcomes.values():
        outcome = Outcome.FAILED
    else:
        is_done = all(name in outcomes for name in names)
        outcome = Outcome.SUCCEEDED if is_done else Outcome.RUNNING
    return Standing(
        outcome=outcome,
        message="\n".join(messages) or None,
        rows_read=_sum(steps, "rows_read"),
        rows_written=_sum(steps, "rows_written"),
    )


def merged(known: Facts, more: Facts) -> dict[str, Any]:
    """Merge the facts of two steps: mappings under the same name are merged, too."""
    both = {
        name: {**known[name], **value}
        for name, value in more.items()
        if isinstance(value, Mapping) and isinstance(known.get(name), Mapping)
    }
    return {**known, **more, **both}


class _Step(KeptRun):
    """A step, stored within the row of its run."""

    def __init__(self, whole: StepwiseRun, step: str, session: Session) -> None:
        super().__init__(whole.run_id, {}, session)
        self._whole = whole
        self._step = step
        self._started_at = datetime.now(UTC)

    @override
    def write(self, outcome: Outcome, message: str | None) -> None:
        state = self._state(outcome, message)

        def update(connection: psycopg.Connection) -> None:
            # Other steps may write at the same time: each waits for the row.
            scope, details = connection.execute(_READ, [self.run_id]).fetchone() or ({}, {})
            steps = {**details.get("steps", {}), self._step: state}
            found = standing(steps, self._whole.steps)
            values = {
                "run_id": self.run_id, "scope": as_json(merged(scope, self.noted.scope)),
                "details": as_json({"steps": steps}), "outcome": str(found.outcome),
                "message": found.message, "rows_read": found.rows_read,
                "rows_written": found.rows_written,
            }  # fmt: skip
            connection.execute(_WRITE, values)

        self._session.write(update)

    def _state(self, outcome: Outcome, message: str | None) -> dict[str, Any]:
        """Return the facts of the run, including those of this step."""
        seconds = (datetime.now(UTC) - self._started_at).total_seconds()
        return {
            "outcome": str(outcome),
            "message": message,
            "started_at": self._started_at.isoformat(),
            "seconds": round(seconds, 3),
            "rows_read": self.noted.rows_read,
            "rows_written": self.noted.rows_written,
            **self.noted.details,
        }


def _begun(dsn: str, whole: StepwiseRun, step: str, *, is_required: bool) -> Run:
    try:
        session = Session(dsn, who=whole.who, is_stepwise=True)
        session.begin(whole.run_id, whole.kind, whole.scope)
        run = _Step(whole, step, session)
        run.write(Outcome.RUNNING, None)
    except psycopg.Error as error:
        complain(error, is_required=is_required)
        return Run(whole.run_id, {})
    return run


def _sum(steps: Mapping[str, Facts], name: str) -> int | None:
    known = [step[name] for step in steps.values() if step[name] is not None]
    return sum(known) if known else None

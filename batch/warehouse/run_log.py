"""What loads leave of themselves, the failed ones included: etl.run and etl.check_result."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import psycopg

from batch.warehouse.checks import CheckResult

_RUN = """
insert into etl.run (
    run_id, kind, outcome, quarantine_share, changed_rows, started_at, finished_at
)
values (%s, %s, %s, %s, %s, %s, %s)"""
_RESULT = """
insert into etl.check_result (run_id, check_name, severity, offending_rows, examples)
values (%s, %s, %s, %s, %s)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One load that had something to do. `changed_rows` are those of the entities."""

    run_id: uuid.UUID
    kind: Literal["load", "rebuild"]
    quarantine_share: float | None
    changed_rows: int
    started_at: datetime


def write_run(
    connection: psycopg.Connection, run: Run, results: Sequence[CheckResult], *, is_published: bool
) -> None:
    """Keep a load and the results of its checks, in a transaction of their own."""
    outcome = "published" if is_published else "stopped"
    with connection.transaction():
        connection.execute(
            _RUN,
            [
                run.run_id, run.kind, outcome, run.quarantine_share, run.changed_rows,
                run.started_at, datetime.now(UTC),
            ],
        )  # fmt: skip
        for result in results:
            examples = json.dumps(result.examples)
            connection.execute(
                _RESULT,
                [run.run_id, result.name, result.severity, result.offending_rows, examples],
            )

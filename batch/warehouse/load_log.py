"""Records of loads, including failed ones: etl.load and etl.check_result."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

import psycopg

from batch.warehouse.checks import CheckResult

_LOAD = """
insert into etl.load (
    load_id, kind, outcome, quarantine_share, changed_rows, started_at, finished_at
)
values (
    %s, %s, %s, %s, %s, clock_timestamp() - make_interval(secs => %s), clock_timestamp()
)"""
_RESULT = """
insert into etl.check_result (load_id, check_name, severity, offending_rows, examples)
values (%s, %s, %s, %s, %s)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load that had something to do.

    Attributes:
        changed_rows: number of changed rows in the entities.
        started: in seconds of the monotonic clock. It is stored by the warehouse's clock, with
            which others compute its age.
    """

    load_id: uuid.UUID
    kind: Literal["load", "rebuild"]
    quarantine_share: float | None
    changed_rows: int
    started: float


def write_load(
    connection: psycopg.Connection,
    load: Load,
    results: Sequence[CheckResult],
    *,
    is_published: bool,
) -> None:
    """Record a load and the results of its checks, in a transaction of its own."""
    outcome = "published" if is_published else "stopped"
    with connection.transaction():
        connection.execute(
            _LOAD,
            [
                load.load_id, load.kind, outcome, load.quarantine_share, load.changed_rows,
                monotonic() - load.started,
            ],
        )  # fmt: skip
        for result in results:
            examples = json.dumps(result.examples)
            connection.execute(
                _RESULT,
                [load.load_id, result.name, result.severity, result.offending_rows, examples],
            )

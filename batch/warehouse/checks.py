"""Data-quality checks: SQL that returns offending rows, run before a load commits.

A check is a file of `warehouse_sql/checks/`. Its first line is
`-- check: <name> | severity: fail|warn`, the next ones may be `-- way out: <what to do>`. It may
read the mart, the entities, the temporary tables of the load (affected_…, changed_…) and the
temporary table run_input: one row, with a column for each input of the load.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from batch.warehouse.scripts import run, scripts
from lakehouse.errors import StopPipelineError

EXAMPLES = 5
_HEADER = re.compile(r"\A-- check: (?P<name>[a-z0-9_]+) \| severity: (?P<severity>fail|warn)\n")
_WAY_OUT = re.compile(r"^-- way out: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. `query` is a select without a semicolon, `way_out` what to do if it fails."""

    name: str
    severity: Literal["fail", "warn"]
    query: str
    way_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Result of a check. `examples` are the first of the offending rows."""

    name: str
    severity: Literal["fail", "warn"]
    offending_rows: int
    examples: tuple[dict[str, Any], ...]
    way_out: str = ""

    @property
    def stops(self) -> bool:
        """Return whether it prevents publishing the load."""
        return self.severity == "fail" and self.offending_rows > 0


class FailedCheckError(StopPipelineError):
    """A load fails its checks. `results` are those of all checks."""

    def __init__(self, results: Sequence[CheckResult]) -> None:
        self.results = tuple(results)
        failed = [result for result in results if result.stops]
        told = "; ".join(
            f"{one.name} ({one.offending_rows} rows, e.g. {json.dumps(one.examples)})"
            for one in failed
        )
        says = (
            f"The warehouse was not published and stays as it was. Failed: {told}. The files in "
            "warehouse_sql/checks/ explain each check; results are in etl.check_result."
        )
        super().__init__(" ".join([says, *(one.way_out for one in failed if one.way_out)]))


def all_checks() -> list[Check]:
    """Return all checks, by file name.

    Raises:
        StopPipelineError: a file has no header.
    """
    return [parse(name, text.decode()) for name, text in scripts("checks/*.sql")]


def parse(file: str, text: str) -> Check:
    """Parse the file of a check.

    Raises:
        StopPipelineError: it has no header.
    """
    header = _HEADER.match(text)
    if header is None:
        message = f"warehouse_sql/{file} must begin `-- check: <name> | severity: fail|warn`."
        raise StopPipelineError(message)
    severity: Literal["fail", "warn"] = "fail" if header["severity"] == "fail" else "warn"
    return Check(
        name=header["name"],
        severity=severity,
        query=text.rstrip().rstrip(";"),
        way_out=" ".join(_WAY_OUT.findall(text)),
    )


def run_checks(
    connection: psycopg.Connection, checks: Sequence[Check], inputs: Mapping[str, float | None]
) -> tuple[CheckResult, ...]:
    """Run all checks in the load's transaction.

    Raises:
        FailedCheckError: one with severity fail returns rows.
    """
    known = sql.SQL(", ").join(
        sql.SQL("{}::double precision as {}").format(sql.Literal(value), sql.Identifier(name))
        for name, value in inputs.items()
    )
    run(connection, "create temporary table run_input on commit drop as select {}", known)
    results = tuple(_run(connection, check) for check in checks)
    if any(result.stops for result in results):
        raise FailedCheckError(results)
    return results


def _run(connection: psycopg.Connection, check: Check) -> CheckResult:
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(check.query.encode())
        examples = cursor.fetchmany(EXAMPLES)
        return CheckResult(
            name=check.name,
            severity=check.severity,
            offending_rows=cursor.rowcount,
            way_out=check.way_out,
            examples=tuple(json.loads(json.dumps(row, default=str)) for row in examples),
        )

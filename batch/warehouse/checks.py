"""Data-quality checks: SQL that returns offending rows, run before a load commits.

Checks of a table are in `checks.sql` of its folder, others in `warehouse_sql/checks/`. A check
begins `-- check: <name> | severity: fail|warn`, the next lines may be `-- way out: …`. It may
read the mart, the entities, the temporary tables of the load (affected_…, changed_…) and the
temporary table run_input: one row, with a column for each input of the load. Checks of all entities
or of all versioned dimensions are made from their declarations.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from batch.warehouse.marts import mart
from batch.warehouse.scripts import KEY_OF_ANY, columns_of, run, scripts
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.model import UNKNOWN
from lakehouse.errors import StopPipelineError

EXAMPLES = 5
_HEADER = re.compile(
    r"^-- check: (?P<name>[a-z0-9_]+) \| severity: (?P<severity>fail|warn)\n", re.MULTILINE
)
_WAY_OUT = re.compile(r"^-- way out: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. `query` is a select without a semicolon, `way_out` what to do if it fails.

    `file` has it, by path below the root.
    """

    name: str
    severity: Literal["fail", "warn"]
    query: bytes
    file: str
    way_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Result of a check. `examples` are the first of the offending rows."""

    name: str
    severity: Literal["fail", "warn"]
    offending_rows: int
    examples: tuple[dict[str, Any], ...]
    file: str = ""
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
        files = sorted({one.file for one in failed})
        told = "; ".join(
            f"{one.name} ({one.offending_rows} rows, e.g. {json.dumps(one.examples)})"
            for one in failed
        )
        says = (
            f"The warehouse was not published and stays as it was. Failed: {told}. Results are in "
            f"etl.check_result; each check is explained in {', '.join(files)}."
        )
        super().__init__(" ".join([says, *(one.way_out for one in failed if one.way_out)]))


def all_checks() -> list[Check]:
    """Return all checks.

    Raises:
        StopPipelineError: a file does not begin with a check, or two checks have one name.
    """
    files = (*scripts("checks/*.sql"), *scripts("mart/*/checks.sql"))
    found = [one for name, text in files for one in parse(name, text.decode())]
    found += [_codes_are_known(), _versions_do_not_overlap()]
    count = Counter(check.name for check in found)
    if twice := [check for check in found if count[check.name] > 1]:
        problem = f"{' and '.join(one.file for one in twice)} have a check {twice[0].name} each"
        raise StopPipelineError(problem, "Rename one.")
    return found


def parse(file: str, text: str) -> list[Check]:
    """Parse a file of checks.

    Raises:
        StopPipelineError: it does not begin with the header of a check.
    """
    headers = list(_HEADER.finditer(text))
    if not headers or headers[0].start() > 0:
        message = f"warehouse_sql/{file} must begin `-- check: <name> | severity: fail|warn`."
        raise StopPipelineError(message)
    stops = [*(header.start() for header in headers[1:]), len(text)]
    parts = [text[header.start() : stop] for header, stop in zip(headers, stops, strict=True)]
    return [
        Check(
            name=header["name"],
            severity="fail" if header["severity"] == "fail" else "warn",
            query=part.rstrip().rstrip(";").encode(),
            file=f"warehouse_sql/{file}",
            way_out=" ".join(_WAY_OUT.findall(part)),
        )
        for header, part in zip(headers, parts, strict=True)
    ]


def _codes_are_known() -> Check:
    """Values that no contract lists: their rows count as unknown; see mart.unknown_values.

    Rows: such rows of the load, and in which columns.
    """
    queries = []
    for entity in ENTITIES.values():
        names = [column.name for column in entity.counting_unknown]
        named = sql.SQL(", ").join(
            sql.SQL("case when c.{} = {} then {} end").format(
                sql.Identifier(name), sql.Literal(UNKNOWN), sql.Literal(name)
            )
            for name in names
        )
        if names:
            query = (
                "select {} as entity, c.{}::{} as key, concat_ws(', ', {}) as columns from {} as c "
                "where not c._is_deleted and {} in ({})"
            )
            queries.append(
                sql.SQL(query).format(
                    sql.Literal(entity.table),
                    sql.Identifier(entity.key),
                    KEY_OF_ANY,
                    named,
                    sql.Identifier("pg_temp", f"changed_{entity.table}"),
                    sql.Literal(UNKNOWN),
                    columns_of("c", names),
                )
            )
    return _generated("codes_are_known", "warn", queries)


def _versions_do_not_overlap() -> Check:
    """At most one version is valid at any instant.

    Rows: versions that begin before the last one ends.
    """
    query = (
        "select v.what, v.id, v.valid_from_at::text, v.last_valid_to_at::text from ("
        "select {} as what, d.{}::{} as id, d.valid_from_at, "
        "lag(coalesce(d.valid_to_at, 'infinity')) over "
        "(partition by d.{} order by d.valid_from_at) as last_valid_to_at "
        "from {} as t inner join {} as d using ({})) as v "
        "where v.last_valid_to_at > v.valid_from_at"
    )
    queries = []
    for one in mart().dimensions:
        if one.is_versioned:
            member = sql.Identifier(one.member)
            affected = sql.Identifier(f"affected_{one.entity}")
            table = sql.Identifier("mart", one.name)
            parts = (sql.Literal(one.name), member, KEY_OF_ANY, member, affected, table, member)
            queries.append(sql.SQL(query).format(*parts))
    return _generated("versions_do_not_overlap", "fail", queries)


def _generated(
    name: str, severity: Literal["fail", "warn"], queries: Sequence[sql.Composed]
) -> Check:
    query = sql.SQL(" union all ").join(queries).as_bytes(None)
    return Check(name=name, severity=severity, query=query, file="batch/warehouse/checks.py")


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
        cursor.execute(check.query)
        examples = cursor.fetchmany(EXAMPLES)
        return CheckResult(
            name=check.name,
            severity=check.severity,
            offending_rows=cursor.rowcount,
            file=check.file,
            way_out=check.way_out,
            examples=tuple(json.loads(json.dumps(row, default=str)) for row in examples),
        )

"""Checks whether the roles that read the shop's tables see all current rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

from connectors.readers import STANDBY, USE_THE_PRIMARY, HiddenRows, Reason, read_hidden
from lakehouse.contracts import ENTITIES
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.findings import Said, fine, note, wrong

_ODD: LiteralString = """
select
    c.relname::text as name,
    case
        when c.relkind in ('v', 'm') then 'a view'
        when c.relkind = 'f' then 'a foreign table'
        when c.relkind = 'p' then 'partitioned'
        when c.relpersistence = 'u' then 'unlogged'
        else 'a parent'
    end as shape
from pg_class as c
where
    c.relnamespace = 'public'::regnamespace
    and (
        c.relkind = 'f'
        or (
            c.relkind = 'p'
            and not c.relispartition
            and not exists (
                select from pg_publication as p where p.pubname = 'dbz_shop' and p.pubviaroot
            )
        )
        or (c.relkind = 'r' and c.relpersistence = 'u')
        -- Of views, only those with the name of an expected table.
        or (c.relkind in ('v', 'm') and c.relname = any(%(tables)s))
        or (
            c.relkind = 'r'
            and exists (select from pg_inherits as h where h.inhparent = c.oid)
        )
    )
order by c.relname"""


class Shape(StrEnum):
    """Kind of a relation in the captured schema that is not an ordinary table."""

    VIEW = "a view"
    FOREIGN = "a foreign table"
    PARTITIONED = "partitioned"
    UNLOGGED = "unlogged"
    PARENT = "a parent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """Such a relation."""

    name: str
    shape: str


_MEANING = {
    Shape.VIEW: (
        "is a view, which has no changes in the WAL: nothing of it is captured",
        "give this name to the table that has the rows",
    ),
    Shape.FOREIGN: (
        "is a foreign table, whose rows are in another database: nothing of it is captured",
        "capture the database that has the rows",
    ),
    Shape.UNLOGGED: (
        "is unlogged: nothing of it is captured",
        "as admin: alter table public.{name} set logged; then ./pipeline extract {name} --full",
    ),
    Shape.PARTITIONED: (
        "is partitioned: each partition lands as a table of its own",
        "to have one table, set CONNECT_PARTITIONS=root; then ./pipeline connect partitions",
    ),
    Shape.PARENT: (
        "has child tables, whose rows land under their own names. An initial snapshot also reads "
        "them under this name",
        "./pipeline extract {name} --full deletes those rows again",
    ),
}


def _visibility(measurements: Measurements) -> Sequence[Said]:
    with psycopg.connect(measurements.oltp("monitor"), autocommit=True) as connection:
        row = connection.execute("select pg_is_in_recovery()").fetchone()
        hidden = read_hidden(connection)
        with connection.cursor(row_factory=class_row(Odd)) as cursor:
            names = {"tables": [entity.shop_table for entity in ENTITIES.values()]}
            odd = cursor.execute(_ODD, names).fetchall()
    return diagnose_readers(hidden, odd, is_standby=row is not None and row[0])


def diagnose_readers(
    hidden: Sequence[HiddenRows], odd: Sequence[Odd], *, is_standby: bool
) -> Sequence[Said]:
    """Diagnose whether every reader sees every row.

    Args:
        hidden: tables that hide rows from a reader.
        odd: relations that are not ordinary tables.
        is_standby: whether the database is a standby.
    """
    said = [wrong(STANDBY, USE_THE_PRIMARY)] if is_standby else []
    said += [wrong(one.words, one.remedy) for one in hidden if not _is_of_roles(one)]
    for one in odd:
        meaning, way = _MEANING[Shape(one.shape)]
        said.append(note(f"{one.name} {meaning}", way.format(name=one.name)))
    return said or [fine("all rows of all tables")]


def _is_of_roles(hidden: HiddenRows) -> bool:
    """Return whether the check of roles reports it already."""
    return hidden.reason is Reason.NO_GRANT and not hidden.is_partition


CHECKS: Sequence[Check] = [
    Check(
        area="shop",
        title="rows that readers see",
        by_contracts=True,
        needs=("oltp",),
        run=_visibility,
    )
]

"""Checks of roles: each can log in and has exactly the privileges that it needs."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

from producers.rows import COLUMNS_OF
from stack.doctor.measurements import Measurements, is_shop_elsewhere
from stack.doctor.model import Check
from stack.elsewhere import prepares
from stack.findings import Said, fine, wrong
from stack.postgres.roles import SOURCE_ROLES

Grant = tuple[str, str, str]
"""Role, table with its schema, privilege."""

_READ = ("select",)
_ADD = ("select", "insert")
_KEEP = ("select", "insert", "update")
_WRITE = (*_KEEP, "delete")
_GRANTED: LiteralString = """
select r.rolname::text, n.nspname || '.' || c.relname, p.privilege
from pg_roles as r
cross join pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join unnest(%(privileges)s::text[]) as p (privilege)
where
    r.rolname = any(%(roles)s)
    and c.relkind in ('r', 'p', 'v', 'm')
    and not c.relispartition
    and n.nspname <> 'information_schema'
    and n.nspname !~ '^pg_'
    and has_schema_privilege(r.oid, n.oid, 'usage')
    and has_table_privilege(r.oid, c.oid, p.privilege)"""
_EXISTING: LiteralString = """
select n.nspname || '.' || c.relname
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    c.relkind in ('r', 'p', 'v', 'm')
    and c.relpersistence = 'p'
    and not c.relispartition
    and n.nspname <> 'information_schema'
    and n.nspname !~ '^pg_'"""
_POWERS: LiteralString = """
select
    r.rolname::text,
    array_remove(array[
        case when r.rolsuper then 'superuser' end,
        case when r.rolcreaterole then 'createrole' end,
        case when r.rolcreatedb then 'createdb' end,
        case when r.rolbypassrls then 'bypassrls' end,
        case when r.rolreplication then 'replication' end
    ], null)
    || array(
        select g.rolname::text
        from pg_auth_members as m
        inner join pg_roles as g on m.roleid = g.oid
        where m.member = r.oid
    )
from pg_roles as r
where r.rolname = any(%(roles)s)"""
_PRIVILEGES = ("select", "insert", "update", "delete", "truncate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Required and allowed privileges of a role.

    Attributes:
        must: required privileges by table; `schema.*` is every table of a schema.
        may: additionally allowed privileges, in the same form.
        powers: required role attributes and memberships.
        may_be: additionally allowed ones.
    """

    must: Mapping[str, Sequence[str]]
    may: Mapping[str, Sequence[str]] = field(default_factory=dict)
    powers: Collection[str] = ()
    may_be: Collection[str] = ()


SHOP_RIGHTS: Mapping[str, Rights] = {
    "simulator": Rights(
        must={
            **{f"public.{table}": _WRITE for table in COLUMNS_OF},
            "ledger.dirt": _ADD,
            "ledger.progress": _KEEP,
        }
    ),
    "debezium": Rights(
        must={
            "public.*": _READ,
            "cdc.heartbeat": _KEEP,
            "cdc.signal": ("select", "insert", "delete"),
        },
        powers=("replication",),
        may_be=("bypassrls",),
    ),
    "monitor": Rights(must={"cdc.heartbeat": _READ}, powers=("pg_monitor",)),
    "reconcile": Rights(
        must={"public.*": _READ, "ledger.*": _READ, "cdc.heartbeat": _KEEP},
        may_be=("bypassrls",),
    ),
    "extract": Rights(must={"cdc.signal": ("insert",)}),
}
WAREHOUSE_RIGHTS: Mapping[str, Rights] = {
    "live": Rights(
        must={
            **{f"{schema}.*": _READ for schema in ("entity", "resolved", "mart")},
            "live.*": _WRITE,
            "etl.watermark": _READ,
        },
        may={"etl.*": _READ},
    ),
    "reader": Rights(must={"mart.*": _READ}),
    # On etl.runs it only has column privileges, which are not table privileges.
    "monitor": Rights(
        must=dict.fromkeys(
            (
                "mart.data_freshness",
                "mart.live_freshness",
                "mart.quarantine_by_rule",
                "mart.runs",
            ),
            _READ,
        ),
        powers=("pg_monitor",),
    ),
}
_SCHEMAS = ("entity", "live", "resolved", "mart", "etl")
_WAREHOUSE_PRIVATE = ("airflow", "superset")
"""Roles with databases of their own in the same server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Actual roles and privileges. `refused` has the roles that cannot log in, and why."""

    tables: Collection[str]
    grants: Collection[Grant]
    powers: Mapping[str, Collection[str]]
    refused: Mapping[str, str]


def _of_shop(measurements: Measurements) -> Sequence[Said]:
    rights = rights_elsewhere() if is_shop_elsewhere(measurements) else SHOP_RIGHTS
    dsns = {role: measurements.oltp(role) for role in rights}
    found = _read(dsns["monitor"], dsns)
    return diagnose_roles(rights, found, prepare=prepares("oltp", measurements.config))


def rights_elsewhere() -> Mapping[str, Rights]:
    """Return the rights in a shop that others run: nobody sells there for us.

    Whether the captured tables can be read is a check of its own. What lets a role replicate or
    monitor differs between providers.
    """
    return {
        role: Rights(
            must={name: one for name, one in rights.must.items() if name.startswith("cdc.")},
            may=rights.must,
            may_be=(*rights.powers, *rights.may_be, "rds_replication"),
        )
        for role, rights in SHOP_RIGHTS.items()
        if role in SOURCE_ROLES
    }


def _of_warehouse(measurements: Measurements) -> Sequence[Said]:
    roles = ("batch", *WAREHOUSE_RIGHTS)
    dsns = {role: measurements.warehouse(role) for role in roles}
    found = _read(dsns["batch"], dsns, others=_WAREHOUSE_PRIVATE)
    rights = {**WAREHOUSE_RIGHTS, "batch": _owner(found)}
    private = {role: Rights(must={}) for role in _WAREHOUSE_PRIVATE if role in found.powers}
    prepare = prepares("warehouse", measurements.config)
    return diagnose_roles({**rights, **private}, found, prepare=prepare)


def _owner(found: Found) -> Rights:
    """Return the rights of the owner of the tables in these schemas."""
    return Rights(
        must={f"{schema}.*": _PRIVILEGES for schema in _SCHEMAS},
        may=dict.fromkeys(found.tables, _PRIVILEGES),
        powers=("pg_read_all_stats",),
    )


def _read(dsn: str, logins: Mapping[str, str], others: Sequence[str] = ()) -> Found:
    names = {"roles": [*logins, *others], "privileges": list(_PRIVILEGES)}
    with ThreadPoolExecutor(len(logins)) as pool:
        answers = dict(zip(logins, pool.map(_log_in, logins.values()), strict=True))
    with psycopg.connect(dsn, autocommit=True) as connection:
        return Found(
            tables={name for (name,) in connection.execute(_EXISTING)},
            grants=set(connection.execute(_GRANTED, names).fetchall()),
            powers=dict(connection.execute(_POWERS, names).fetchall()),
            refused={role: answer for role, answer in answers.items() if answer},
        )


def _log_in(dsn: str) -> str | None:
    """Return why the login fails; None if it succeeds."""
    try:
        psycopg.connect(dsn, autocommit=True).close()
    except psycopg.OperationalError as error:
        return str(error).strip().rpartition("FATAL:")[2].strip()
    return None


def diagnose_roles(rights: Mapping[str, Rights], found: Found, *, prepare: str) -> Sequence[Said]:
    """Diagnose whether each role can log in and has exactly the allowed privileges.

    Args:
        rights: by role.
        found: what the server has.
        prepare: the command that creates roles and grants.
    """
    said = [wrong(f"{role} cannot log in: {why}", prepare) for role, why in found.refused.items()]
    has: dict[str, set[tuple[str, str]]] = {role: set() for role in rights}
    for role, table, privilege in found.grants:
        has[role].add((table, privilege))
    for role, wanted in rights.items():
        if role not in found.powers:
            said.append(wrong(f"role {role} does not exist", prepare))
            continue
        must = _expand(wanted.must, found.tables)
        may = must | _expand(wanted.may, found.tables)
        said += [
            wrong(f"{role} lacks {_words(lacks)}", prepare) for lacks in _listed(must - has[role])
        ]
        said += [_too_much(role, one) for one in _listed(has[role] - may)]
        has_powers = set(found.powers[role]) - set(wanted.may_be)
        said += _diagnose_powers(role, has_powers, set(wanted.powers), prepare)
    return said or [fine(f"{len(rights)} roles have exactly the privileges that they need")]


def _expand(granted: Mapping[str, Sequence[str]], tables: Iterable[str]) -> set[tuple[str, str]]:
    known = list(tables)
    found = set()
    for name, privileges in granted.items():
        schema, _, table = name.partition(".")
        meant = [one for one in known if one.startswith(f"{schema}.")] if table == "*" else [name]
        found |= {(one, privilege) for one in meant for privilege in privileges}
    return found


def _listed(grants: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Return privileges in words, with all tables of a schema grouped."""
    by_table: dict[str, list[str]] = {}
    for table, privilege in sorted(grants):
        by_table.setdefault(table, []).append(privilege)
    return list(by_table.items())


def _words(grants: tuple[str, list[str]]) -> str:
    table, privileges = grants
    return f"{', '.join(privileges)} {table}"


def _too_much(role: str, grants: tuple[str, list[str]]) -> Said:
    table, privileges = grants
    revoke = f"as admin: revoke {', '.join(privileges)} on {table} from {role}"
    return wrong(f"{role} has {_words(grants)}, which it does not need", revoke)


def _diagnose_powers(role: str, has: set[str], wanted: set[str], up: str) -> list[Said]:
    said = []
    if wanted - has:
        said.append(wrong(f"{role} is no {', '.join(sorted(wanted - has))}", up))
    for power in sorted(has - wanted):
        is_attribute = power in ("superuser", "createrole", "createdb", "bypassrls", "replication")
        take = f"alter role {role} no{power}" if is_attribute else f"revoke {power} from {role}"
        said.append(wrong(f"{role} is {power}, which it does not need", f"as admin: {take}"))
    return said


CHECKS: Sequence[Check] = [
    Check(area="roles", title="of the shop", needs=("oltp",), run=_of_shop),
    Check(area="roles", title="of the warehouse", needs=("warehouse",), run=_of_warehouse),
]

"""Updates affected members of dimensions, and deletes those that no longer exist.

`load.sql` of a versioned dimension creates `version_<short>`. Grain: one row per row of the history
of an affected member: key, coordinate, attributes named as in the dimension, validity. Adjacent
versions with equal attributes are merged. The key of a version is derived from the change that
started it; a member's first version is valid from -infinity.
"""

import psycopg
from psycopg.sql import SQL, Composable, Identifier

from batch.warehouse.marts import Dimension
from batch.warehouse.scripts import columns_of, run_script
from lakehouse.contracts.schemas import COORDINATE, VALIDITY

_STATEMENTS = (
    # A version that ended at the instant of its start was never valid.
    """
create temporary table {new} on commit drop as
with version as (
    select
        v.*,
        row({attributes_v}) as attributes,
        case
            when row_number() over in_order = 1 then '-infinity'
            else v.valid_from_at
        end as start_at
    from {version} as v
    window in_order as (partition by v.{member} order by v.valid_from_at, v._epoch, v._offset)
),

marked as (
    select
        v.*,
        not coalesce(
            v.start_at = lag(v.valid_to_at) over in_order
            and v.attributes = lag(v.attributes) over in_order,
            false
        ) as is_start
    from version as v
    where v.valid_to_at is null or v.valid_to_at > v.start_at
    window in_order as (partition by v.{member} order by v.start_at)
),

numbered as (
    select
        m.*,
        count(*) filter (where m.is_start) over (partition by m.{member} order by m.start_at) as run
    from marked as m
),

merged as (
    select
        n.*,
        last_value(n.valid_to_at) over (
            partition by n.{member}, n.run
            order by n.start_at
            rows between unbounded preceding and unbounded following
        ) as stop_at
    from numbered as n
)

select
    etl.version_key(m._epoch, m._partition, m._offset) as {key},
    m.{member},
    {attributes_m},
    m.start_at as valid_from_at,
    m.stop_at as valid_to_at,
    m.stop_at is null as is_current
from merged as m
where m.is_start""",
    # Facts that need a new lookup of their version: all of a deleted or changed version, and those
    # of a version that now ends earlier, from its end on.
    """
insert into {rekeyed} ({key}, from_at)
select d.{key}, case when c.is_changed then '-infinity' else n.valid_to_at end as from_at
from {table} as d
inner join {affected} as t on d.{member} = t.{member}
left join {new} as n on d.{key} = n.{key}
cross join lateral (
    select
        n.{key} is null or row({used_d}) is distinct from row({used_n}) as is_changed
) as c
where
    c.is_changed
    or coalesce(d.valid_to_at, 'infinity') > coalesce(n.valid_to_at, 'infinity')""",
    """
insert into {table} as d ({columns})
select {columns_n} from {new} as n
on conflict ({key}) do update set ({columns}) = row({columns_x})
where row({columns_d}) is distinct from row({columns_x})""",
    # Obsolete versions are kept until no fact refers to them, but are excluded from lookups.
    """
update {table} as d
set valid_from_at = 'infinity', valid_to_at = null
from {affected} as t
where d.{member} = t.{member} and not exists (select from {new} as n where n.{key} = d.{key})""",
)
_SWEEP = """
delete from {table} as d
using {affected} as t
where d.{member} = t.{member} and not exists (select from {new} as n where n.{key} = d.{key})"""


def load_dimension(connection: psycopg.Connection, dimension: Dimension) -> None:
    """Compute the affected members, and replace the existing ones."""
    run_script(connection, dimension.file("load.sql"))
    if not dimension.is_versioned:
        return
    names = _names(dimension)
    described = connection.execute(SQL("select * from {version} limit 0").format(**names))
    kept = {dimension.member, *COORDINATE, *VALIDITY.names}
    attributes = [one.name for one in described.description or () if one.name not in kept]
    columns = [dimension.key, dimension.member, *attributes, *VALIDITY.names, "is_current"]
    used = ("valid_from_at", *dimension.used_by_facts)
    names |= {
        "attributes_v": columns_of("v", attributes),
        "attributes_m": columns_of("m", attributes),
        "used_d": columns_of("d", used),
        "used_n": columns_of("n", used),
        "columns": SQL(", ").join(map(Identifier, columns)),
        "columns_d": columns_of("d", columns),
        "columns_n": columns_of("n", columns),
        "columns_x": columns_of("excluded", columns),
    }
    for statement in _STATEMENTS:
        connection.execute(SQL(statement).format(**names))


def sweep_dimension(connection: psycopg.Connection, dimension: Dimension) -> None:
    """Delete obsolete members, once nothing refers to them; tables that refer to it come first."""
    if dimension.is_versioned:
        connection.execute(SQL(_SWEEP).format(**_names(dimension)))
    elif dimension.has("sweep.sql"):
        run_script(connection, dimension.file("sweep.sql"))


def _names(dimension: Dimension) -> dict[str, Composable]:
    return {
        "version": Identifier(f"version_{dimension.short}"),
        "new": Identifier(f"new_{dimension.short}"),
        "table": Identifier("mart", dimension.name),
        "affected": Identifier(f"affected_{dimension.entity}"),
        "rekeyed": Identifier(f"rekeyed_{dimension.entity}"),
        "key": Identifier(dimension.key),
        "member": Identifier(dimension.member),
    }

-- Grain: one row per captured table and role that reads it without seeing all of its rows.
-- Debezium reads all captured tables in snapshots, reconcile to compare them.
with published as (
    select
        coalesce(bool_or(p.pubviaroot), false) as is_via_root,
        -- none: the whole schema
        array_agg(r.prrelid) filter (where r.prrelid is not null) as tables
    from pg_publication as p
    left join pg_publication_rel as r on p.oid = r.prpubid
    where p.pubname = 'dbz_shop'
)

select
    c.relname as table_name,
    r.rolname as role_name,
    c.relispartition as is_partition,
    case
        when not has_table_privilege(r.oid, c.oid, 'select') then 'no_grant'
        else 'row_security'
    end as reason
from pg_class as c
cross join pg_roles as r
cross join published as u
where
    c.relnamespace = 'public'::regnamespace
    -- via the root: by the name of the topmost partitioned table in the schema
    and (c.relkind = 'r' or (c.relkind = 'p' and u.is_via_root))
    and not (
        u.is_via_root and exists (
            select from pg_partition_ancestors(c.oid) as v
            inner join pg_class as x on v.relid = x.oid
            where x.oid <> c.oid and x.relnamespace = c.relnamespace
        )
    )
    and (
        u.tables is null
        or c.oid = any(u.tables)
        or exists (
            select from pg_partition_ancestors(c.oid) as v
            where v.relid = any(u.tables)
        )
    )
    and c.relpersistence = 'p'
    and r.rolname in ('debezium', 'reconcile')
    and (
        not has_table_privilege(r.oid, c.oid, 'select')
        -- Same rule as in Postgres: policies apply to owners only with FORCE ROW LEVEL SECURITY.
        or (
            c.relrowsecurity
            and not r.rolsuper
            and not r.rolbypassrls
            and (c.relforcerowsecurity or not pg_has_role(r.oid, c.relowner, 'usage'))
        )
    )
order by c.relname, r.rolname;

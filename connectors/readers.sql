-- Grain: one row per captured table and role that reads it without seeing all of its rows.
-- Debezium reads all captured tables in snapshots, reconcile to compare them.
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
where
    c.relnamespace = 'public'::regnamespace
    and c.relkind = 'r'
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

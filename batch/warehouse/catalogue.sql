-- Grain: one row per column of a table or materialized view of the warehouse, in order; partitions
-- are left out. What a foreign key of one column points at stands in refers_to.
select
    n.nspname as schema_name,
    c.relname as table_name,
    a.attname as column_name,
    a.attnotnull as is_required,
    f.confrelid::regclass::text as refers_to,
    obj_description(c.oid, 'pg_class') as table_comment,
    format_type(a.atttypid, a.atttypmod) as type_name,
    col_description(c.oid, a.attnum) as column_comment,
    coalesce(a.attnum = any(k.conkey), false) as is_key
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
left join pg_constraint as k on c.oid = k.conrelid and k.contype = 'p'
left join pg_constraint as f
    on c.oid = f.conrelid and f.contype = 'f' and f.conkey = array[a.attnum] and f.conparentid = 0
where
    n.nspname in ('entity', 'mart', 'etl')
    and c.relkind in ('r', 'p', 'm')
    and not c.relispartition
order by n.nspname, c.relname, a.attnum;

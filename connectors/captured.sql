-- Grain: one row per captured table, with its primary key, its timestamptz columns, and whether
-- other tables inherit from it.
with keys as (
    select
        p.conrelid as table_id,
        array_agg(a.attname::text order by k.place) as columns
    from pg_constraint as p
    cross join unnest(p.conkey) with ordinality as k (number, place)
    inner join pg_attribute as a on p.conrelid = a.attrelid and k.number = a.attnum
    where p.contype = 'p'
    group by p.conrelid
),

instants as (
    select
        a.attrelid as table_id,
        array_agg(a.attname::text) as columns
    from pg_attribute as a
    where a.attnum > 0 and not a.attisdropped and a.atttypid = 'timestamptz'::regtype
    group by a.attrelid
),

parents as (
    select distinct h.inhparent as table_id
    from pg_inherits as h
)

select
    c.relname as table_name,
    coalesce(k.columns, '{}') as key_columns,
    coalesce(i.columns, '{}') as timestamp_columns,
    p.table_id is not null as has_children
from pg_class as c
left join keys as k on c.oid = k.table_id
left join instants as i on c.oid = i.table_id
left join parents as p on c.oid = p.table_id
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relpersistence = 'p'
order by c.relname;

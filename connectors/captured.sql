-- Grain: one row per captured table, with its primary key and the column that dates its rows.
select
    c.relname as table_name,
    coalesce(
        (
            select array_agg(a.attname::text order by k.position)
            from unnest(p.conkey) with ordinality as k (number, position)
            inner join pg_attribute as a on k.number = a.attnum and p.conrelid = a.attrelid
        ),
        '{}'
    ) as key,
    (
        select a.attname
        from pg_attribute as a
        where
            a.attrelid = c.oid
            and not a.attisdropped
            and a.atttypid = 'timestamptz'::regtype
            and a.attname = any(%(dating)s::text[])
        order by array_position(%(dating)s::text[], a.attname::text)
        limit 1
    ) as dated_by
from pg_class as c
left join pg_constraint as p on c.oid = p.conrelid and p.contype = 'p'
where
    c.relnamespace = 'public'::regnamespace
    and c.relkind = 'r'
    and c.relpersistence = 'p'
order by c.relname;

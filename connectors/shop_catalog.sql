-- Grain: one row per column of a captured table, in order.
with recursive
below as (
    -- what a domain stands for
    select
        t.oid as type_id,
        t.oid as base_id,
        -1 as modifier,
        0 as dimensions
    from pg_type as t
    union all
    select
        b.type_id,
        d.typbasetype as base_id,
        greatest(b.modifier, d.typtypmod) as modifier,
        greatest(b.dimensions, d.typndims) as dimensions
    from below as b
    inner join pg_type as d on b.base_id = d.oid
    where d.typtype = 'd'
),

counted as (
    -- tables whose `version` a trigger sets: 1 when inserted, one more at every update
    select distinct g.tgrelid as table_id
    from pg_trigger as g
    inner join pg_proc as p on g.tgfoid = p.oid
    where
        g.tgenabled in ('O', 'A')
        and g.tgqual is null
        and g.tgattr = ''::int2vector
        -- before, each row, insert and update
        and g.tgtype & 23 = 23
        and p.prosrc ~* 'new\.version\s*:?=\s*old\.version\s*\+\s*1\M'
        and p.prosrc ~* 'new\.version\s*:?=\s*1\M'
),

identifying as (
    -- columns of unique indexes
    select distinct
        i.indrelid as table_id,
        k.number
    from pg_index as i
    cross join unnest(i.indkey) as k (number)
    where i.indisunique
),

published as (
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
    a.attname as column_name,
    a.attnotnull as is_required,
    format_type(a.atttypid, a.atttypmod) as declared,
    coalesce(e.typname, t.typname) as type_name,
    coalesce(e.typtype, t.typtype)::text as type_kind,
    e.oid is not null as is_array,
    greatest(a.atttypmod, b.modifier) as modifier,
    greatest(a.attndims, b.dimensions)::integer as dimensions,
    array_position(k.conkey, a.attnum) as key_position,
    n.table_id is not null as is_counted,
    c.relkind = 'r' and c.oid in (select h.inhparent from pg_inherits as h) as has_children,
    c.relkind = 'p' as is_partitioned,
    a.attgenerated <> '' as is_generated,
    q.table_id is not null as is_in_unique_index,
    coalesce(col_description(c.oid, a.attnum), '') as comment,
    coalesce(obj_description(c.oid, 'pg_class'), '') as table_comment
from pg_class as c
cross join published as u
inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
inner join below as b on a.atttypid = b.type_id
inner join pg_type as t on b.base_id = t.oid and t.typtype <> 'd'
left join pg_type as e on t.typelem = e.oid and t.typsubscript = 'array_subscript_handler'::regproc
left join pg_constraint as k on c.oid = k.conrelid and k.contype = 'p'
left join counted as n on c.oid = n.table_id
left join identifying as q on c.oid = q.table_id and a.attnum = q.number
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
    -- an unlogged table has no changes to capture, a virtual column none of its own
    and c.relpersistence = 'p'
    and a.attgenerated <> 'v'
order by c.relname, a.attnum;

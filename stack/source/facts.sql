-- Grain: one row per table of schema public, and of partitions elsewhere of its tables.
select
    c.oid::regclass::text as name,
    c.relname::text as plain_name,
    case c.relkind
        when 'f' then 'foreign'
        when 'p' then 'partitioned'
        else case when c.relpersistence = 'u' then 'unlogged' else 'plain' end
    end as kind,
    c.relispartition as is_partition,
    c.relrowsecurity as has_row_security,
    c.relreplident::text as replica_identity,
    exists (select from pg_constraint as k where k.conrelid = c.oid and k.contype = 'p') as has_key,
    exists (
        select from pg_attribute as a
        where a.attrelid = c.oid and a.attgenerated = 'v' and not a.attisdropped
    ) as has_virtual,
    exists (
        select from pg_attribute as a
        where a.attrelid = c.oid and a.attgenerated = 's' and not a.attisdropped
    ) as has_stored,
    c.relkind = 'r' and exists (select from pg_inherits as h where h.inhparent = c.oid)
        as has_children,
    pg_has_role(current_user, c.relowner, 'usage') as is_owned
from pg_class as c
where
    c.relnamespace = to_regnamespace('public')
    and c.relkind in ('r', 'p', 'f')
    and c.relpersistence <> 't'
order by c.relname

-- Prepares the shop's tables for capture, after signals.sql, with no more rights than those of
-- their owner: no event trigger, and a truncate is not captured, since that takes a superuser.
-- Idempotent; captures tables that are new since.

-- Left out are tables of which Postgres would refuse updates and deletes from then on: without
-- REPLICA IDENTITY FULL and without a key, or with it and with a virtual generated column.
create or replace function cdc.capture_owned(with_old_values boolean) returns void
language plpgsql set search_path to pg_catalog, pg_temp as $$
declare
    captured regclass;
    included text;
begin
    for captured in
        select c.oid from pg_class as c
        where
            c.relkind in ('r', 'p')
            and cdc.is_published(c.oid)
            and pg_has_role(current_user, c.relowner, 'usage')
    loop
        -- With a virtual generated column, which cannot be published, Postgres would refuse updates.
        if with_old_values
            and not exists (
                select from pg_attribute as a
                where a.attrelid = captured and a.attgenerated = 'v' and not a.attisdropped
            )
            and (select c.relreplident <> 'f' from pg_class as c where c.oid = captured)
        then
            execute format('alter table %s replica identity full', captured);
        end if;
        if not has_table_privilege('debezium', captured, 'select')
            or not has_table_privilege('reconcile', captured, 'select')
        then
            execute format('grant select on table %s to debezium, reconcile', captured);
        end if;
    end loop;
    select string_agg(format(', %s', c.oid::regclass), '' order by c.oid) into included
    from pg_class as c
    where
        c.relkind in ('r', 'p')
        and cdc.is_published(c.oid)
        and pg_has_role(current_user, c.relowner, 'usage')
        -- Of a partitioned table, the topmost: its partitions are published with it.
        and not exists (
            select from pg_partition_ancestors(c.oid) as a
            inner join pg_class as k on a.relid = k.oid
            where k.oid <> c.oid and k.relnamespace = 'public'::regnamespace
        )
        -- Debezium leaves out all other names.
        and c.relname ~ '^[a-zA-Z0-9_-]+$'
        and not exists (
            select from (
                select c.oid as relid
                union
                select t.relid from pg_partition_tree(c.oid) as t
            ) as p
            inner join pg_class as k on p.relid = k.oid
            where
                k.relkind = 'r'
                and case k.relreplident
                    when 'f' then exists (
                        select from pg_attribute as a
                        where a.attrelid = k.oid and a.attgenerated = 'v' and not a.attisdropped
                    )
                    when 'd' then not exists (
                        select from pg_constraint as o where o.conrelid = k.oid and o.contype = 'p'
                    )
                    else k.relreplident = 'n'
                end
        );
    execute format(
        'alter publication dbz_shop set table cdc.heartbeat, cdc.signal%s', coalesce(included, '')
    );
end
$$;

revoke execute on function cdc.capture_owned(boolean) from public;

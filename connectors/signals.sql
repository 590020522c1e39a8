-- What capture needs in the shop's database beside its tables. Idempotent; runs first.
-- Grain of cdc.heartbeat: one row per writer (`source`). Grain of cdc.signal: one row per signal.
create schema if not exists cdc;
grant usage on schema cdc to public;

create table if not exists cdc.heartbeat (
    source text primary key,
    sent_at timestamptz not null default clock_timestamp(),
    token text
);
-- Until version 0.1 the column was called beat_at.
do $$
begin
    if exists (
        select from pg_attribute as a
        where a.attrelid = 'cdc.heartbeat'::regclass and a.attname = 'beat_at'
    ) then
        alter table cdc.heartbeat rename column beat_at to sent_at;
    end if;
end
$$;

create table if not exists cdc.signal (
    id varchar(42) primary key,
    type varchar(32) not null,
    data varchar(2048)
);

grant select, insert, update on cdc.heartbeat to debezium, reconcile;
grant select, insert, delete on cdc.signal to debezium;
grant insert on cdc.signal to extract;
grant select on cdc.heartbeat to monitor;
grant usage on schema public to debezium, reconcile;

-- All tables of the schema, and partitions of these anywhere: they are published by the name of the
-- partitioned table, or by their own.
create or replace function cdc.is_published(relation regclass) returns boolean
language sql stable set search_path to pg_catalog, pg_temp as $$
    select c.relkind in ('r', 'p') and c.relpersistence = 'p' and (
        c.relnamespace = 'public'::regnamespace
        or exists (
            select from pg_partition_ancestors(relation) as a
            inner join pg_class as k on a.relid = k.oid
            where k.relnamespace = 'public'::regnamespace
        )
    )
    from pg_class as c
    where c.oid = relation
$$;

revoke execute on function cdc.is_published(regclass) from public;

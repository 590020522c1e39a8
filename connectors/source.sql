-- Prepares the shop's database for capture. Run as superuser; run twice = run once.
-- Grain of cdc.heartbeat: one row per writer (`source`). Grain of cdc.signal: one row per signal.
create schema if not exists cdc;
grant usage on schema cdc to public;

create table if not exists cdc.heartbeat (
    source text primary key,
    beat_at timestamptz not null default clock_timestamp(),
    token text
);
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

-- Full old rows, so that deletes and updates can be judged without looking anything up. But
-- Postgres refuses updates when an old row would hold a virtual column, which cannot be published.
create or replace function cdc.capture_table(captured regclass) returns void
language plpgsql set search_path to pg_catalog, pg_temp as $$
declare
    is_full boolean := (select c.relreplident = 'f' from pg_class as c where c.oid = captured);
    has_virtual boolean := exists (
        select from pg_attribute as a
        where a.attrelid = captured and a.attgenerated = 'v' and not a.attisdropped
    );
begin
    if has_virtual and is_full then
        execute format('alter table %s replica identity default', captured);
    elsif not has_virtual and not is_full then
        execute format('alter table %s replica identity full', captured);
    end if;
    if not has_table_privilege('debezium', captured, 'select')
        or not has_table_privilege('reconcile', captured, 'select')
    then
        execute format('grant select on table %s to debezium, reconcile', captured);
    end if;
end
$$;

create or replace function cdc.capture_new_tables() returns event_trigger
language plpgsql set search_path to pg_catalog, pg_temp as $$
begin
    perform cdc.capture_table(c.oid::regclass)
    from pg_event_trigger_ddl_commands() as d
    inner join pg_class as c on d.objid = c.oid and d.classid = 'pg_class'::regclass
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relpersistence = 'p';
end
$$;

-- In the transaction that makes the table: its first row is captured like any other.
-- ALTER TABLE too, for a table that moves into the schema or lowers its replica identity.
do $$
begin
    if not exists (select 1 from pg_event_trigger as t where t.evtname = 'cdc_capture') then
        create event trigger cdc_capture on ddl_command_end
        when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
        execute function cdc.capture_new_tables();
    end if;
end
$$;

select cdc.capture_table(c.oid::regclass)
from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relpersistence = 'p';

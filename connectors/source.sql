-- Prepares the shop's tables for capture, after signals.sql. Run as superuser; idempotent.
-- What the owner of tables has prepared before becomes the superuser's: functions of it run with
-- the superuser's rights from here on, and whoever owns one may replace it.
do $$
declare
    ours text;
begin
    execute format('alter schema cdc owner to %I', current_user);
    execute format('alter table cdc.heartbeat owner to %I', current_user);
    execute format('alter table cdc.signal owner to %I', current_user);
    for ours in
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace = 'cdc'::regnamespace
    loop
        execute format('alter routine %s owner to %I', ours, current_user);
    end loop;
end
$$;
drop function if exists cdc.capture_owned(boolean);

-- A truncate record has no key, so its order relative to the changes of single rows is unknown.
-- A truncate is therefore captured as a delete of each row. These deletes only see the rows of the
-- transaction's snapshot; with an old snapshot, rows committed since would be missed.
create or replace function cdc.has_missed_commits() returns boolean
language plpgsql set search_path to pg_catalog, pg_temp as $$
declare
    seen pg_snapshot := pg_current_snapshot();
    later bigint := pg_snapshot_xmax(seen)::text::bigint;
begin
    if exists (
        select from pg_snapshot_xip(seen) as x (id) where pg_xact_status(x.id) = 'committed'
    ) then
        return true;
    end if;
    loop
        if pg_xact_status(later::text::xid8) = 'committed' then
            return true;
        end if;
        later := later + 1;
    end loop;
exception
    -- a transaction id that was not assigned yet
    when invalid_parameter_value then return false;
end
$$;

-- The session role `replica` disables foreign keys, rules and triggers of the shop, which do not
-- fire on a truncate either. Triggers that fire even as replica would run as superuser, whoever
-- wrote them; the truncate is refused instead.
create or replace function cdc.tell_truncate() returns trigger
language plpgsql security definer
set search_path to pg_catalog, pg_temp
set session_replication_role to replica as $$
begin
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable')
        and cdc.has_missed_commits()
    then
        raise exception using
            errcode = 'serialization_failure',
            message = format(
                '%s cannot be truncated: since this transaction''s snapshot others have '
                'committed, and their rows would disappear without a captured delete',
                tg_relid::regclass
            ),
            hint = 'Try again with the truncate first, or in isolation level read committed.';
    end if;
    if exists (
        select from pg_trigger as t
        where
            t.tgrelid = tg_relid
            and t.tgenabled in ('A', 'R')
            -- on delete
            and t.tgtype & 8 = 8
    ) or exists (
        select from pg_rewrite as r
        where r.ev_class = tg_relid and r.ev_enabled in ('A', 'R') and r.ev_type = '4'
    ) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format(
                '%s cannot be truncated: a trigger or rule for its deletes is enabled always or '
                'as a replica''s, and a truncate is captured as deletes',
                tg_relid::regclass
            ),
            hint = 'Delete from it instead, or enable that trigger or rule without either.';
    end if;
    execute format('delete from only %s', tg_relid::regclass);
    return null;
end
$$;

-- REPLICA IDENTITY FULL, so that deletes and updates can be validated without a lookup. With a
-- virtual generated column, which cannot be published, Postgres would refuse updates.
create or replace function cdc.capture_table(captured regclass) returns void
language plpgsql set search_path to pg_catalog, pg_temp as $$
declare
    is_full boolean := (select c.relreplident = 'f' from pg_class as c where c.oid = captured);
    has_virtual boolean := exists (
        select from pg_attribute as a
        where a.attrelid = captured and a.attgenerated = 'v' and not a.attisdropped
    );
    is_partitioned boolean := (select c.relkind = 'p' from pg_class as c where c.oid = captured);
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
    -- A truncate of a partitioned table fires the triggers of its partitions.
    if is_partitioned then
        return;
    end if;
    if not exists (
        select from pg_trigger as t
        where t.tgrelid = captured and t.tgfoid = 'cdc.tell_truncate()'::regprocedure
    ) then
        -- Triggers fire in order of their names: those of the shop must still see the rows.
        execute format(
            'create or replace trigger zz_cdc_truncate before truncate on %s '
            'for each statement execute function cdc.tell_truncate()', captured
        );
    end if;
    if exists (
        select from pg_trigger as t
        where
            t.tgrelid = captured
            and t.tgfoid = 'cdc.tell_truncate()'::regprocedure
            and t.tgenabled <> 'A'
    ) then
        execute format('alter table %s enable always trigger zz_cdc_truncate', captured);
    end if;
end
$$;

-- Security definer: the role that creates a table may lack the rights to prepare it for capture.
create or replace function cdc.capture_new_tables() returns event_trigger
language plpgsql security definer set search_path to pg_catalog, pg_temp as $$
begin
    perform cdc.capture_table(x.altered)
    from pg_event_trigger_ddl_commands() as d
    -- A table that is attached is not told, but the one that it is attached to.
    cross join lateral (
        select d.objid::regclass as altered
        union
        select t.relid as altered from pg_partition_tree(d.objid) as t
    ) as x
    where d.classid = 'pg_class'::regclass and cdc.is_published(x.altered);
end
$$;

revoke execute on function
cdc.has_missed_commits(), cdc.tell_truncate(), cdc.capture_table(regclass),
cdc.capture_new_tables()
from public;

-- Runs in the transaction that creates the table, so that its first row is captured, too. ALTER
-- TABLE is included for tables that are moved into the schema, lower their replica identity or
-- disable their triggers.
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
where c.relkind in ('r', 'p') and cdc.is_published(c.oid::regclass);

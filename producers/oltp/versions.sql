-- The version of a row: 1 when inserted, incremented by every update, whatever the writer sets.
-- It numbers the changes of a key, so that consumers can detect missing ones.
create or replace function public.keep_version() returns trigger
language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        new.version := 1;
        return new;
    end if;
    new.version := old.version + 1;
    -- A timestamp that the writer sets is kept: the simulator writes past days.
    if new.updated_at is not distinct from old.updated_at then
        new.updated_at := now();
    end if;
    return new;
end
$$;

create or replace function public.refuse_key_change() returns trigger
language plpgsql as $$
begin
    raise exception 'the key of % may not change: its versions would start in the middle',
        tg_table_name
    using errcode = 'integrity_constraint_violation';
end
$$;

-- Adds this trigger to a table, which needs the columns version and updated_at.
create or replace function public.track_versions(tracked regclass, key_column name)
returns void language plpgsql as $$
begin
    execute format('alter table %s replica identity full', tracked);
    execute format(
        'create or replace trigger keep_version before insert or update on %s '
        'for each row execute function public.keep_version()', tracked
    );
    execute format(
        'create or replace trigger refuse_key_change before update on %s '
        'for each row when (old.%2$I is distinct from new.%2$I) '
        'execute function public.refuse_key_change()', tracked, key_column
    );
end
$$;

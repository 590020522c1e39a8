-- What the generated SQL of each contract (./pipeline sql show TABLE) calls.

-- Grain: one row per table of the schema entity: the shop's table that it is made from, its key,
-- and whether live has a table of the same name.
create table if not exists etl.entity_table (
    name text primary key,
    entity text not null,
    key text[] not null,
    is_live boolean not null
);

-- Makes a table with these columns, as in `create table`; or gives them to the table that there is:
-- a new one is null in its rows, and one that is not required any more, or is gone, may be null.
create or replace function etl.make_table(target text, columns text)
returns void
language plpgsql
as $$
declare
    pair record;
begin
    execute format('create table if not exists %s (%s)', target, columns);
    execute format('create temporary table wanted (%s) on commit drop', columns);
    for pair in
        with attribute as (
            select
                a.attrelid,
                a.attname as name,
                a.attnotnull as is_required,
                format_type(a.atttypid, a.atttypmod) as type
            from pg_attribute as a
            where
                a.attrelid in (target::regclass, 'pg_temp.wanted'::regclass)
                and a.attnum > 0
                and not a.attisdropped
        )

        select
            coalesce(w.name, h.name) as name,
            w.type as wanted,
            h.type as type,
            h.is_required and not coalesce(w.is_required, false) as is_freed
        from (select * from attribute where attrelid = 'pg_temp.wanted'::regclass) as w
        full join (select * from attribute where attrelid = target::regclass) as h
            on w.name = h.name
    loop
        if pair.type is null then
            execute format('alter table %s add column %I %s', target, pair.name, pair.wanted);
        elsif pair.type <> pair.wanted then
            raise exception '% of % is %, and its contract says %', pair.name, target, pair.type,
                pair.wanted
            using hint = 'Give the column another name in the contract.';
        elsif pair.is_freed then
            execute format('alter table %s alter column %I drop not null', target, pair.name);
        end if;
    end loop;
    drop table pg_temp.wanted;
end
$$;

-- Returns the condition that the warehouse has not applied the row l of a source table yet: as
-- etl.is_beyond_warehouse says it, in a form that the planner sees through.
create or replace function etl.beyond_condition(source text)
returns text
language sql
immutable
as $$
select format(
    'not exists (
        select
        from etl.watermark as w
        where
            w.entity = %L
            and (
                w.epoch > l._epoch
                or (
                    w.epoch = l._epoch
                    and w.topic_id = l._topic_id
                    and w.partition = l._partition
                    and w.last_offset >= l._offset
                )
            )
    )',
    source
)
$$;

-- Makes live.beyond_<table>, the rows that the warehouse has not applied yet, and for current rows
-- resolved.<table>: the shop's rows as of now.
create or replace function etl.make_live_views(target text)
returns void
language plpgsql
as $$
declare
    source text;
    keys text[];
    columns text;
begin
    select
        t.entity,
        t.key
    into source, keys
    from etl.entity_table as t
    where t.name = target;
    execute format(
        'create or replace view live.%1$I as
        select l.*
        from live.%2$I as l
        where %3$s',
        'beyond_' || target, target, etl.beyond_condition(source)
    );
    if target <> source then
        return;
    end if;
    columns := (
        select string_agg(format('r.%I', a.attname), ', ' order by a.attnum)
        from pg_attribute as a
        where
            a.attrelid = format('entity.%I', target)::regclass
            and a.attnum > 0
            and not a.attisdropped
    );
    execute format(
        'create or replace view resolved.%1$I as
        select %2$s
        from entity.%1$I as r
        where not exists (select from live.%4$I as b where %3$s)
        union all
        select %2$s
        from live.%4$I as r
        where not r._is_deleted',
        target,
        columns,
        (select string_agg(format('b.%1$I = r.%1$I', k), ' and ') from unnest(keys) as k),
        'beyond_' || target
    );
end
$$;

-- Makes what live.apply calls, for its queries to be planned once in a session: received_<table>,
-- those rows of a JSON list that the warehouse has not applied yet, and for current rows
-- put_<table>, which lets these take the place of older ones.
create or replace function etl.make_live_functions(target text)
returns void
language plpgsql
as $make$
declare
    source text;
    keys text[];
    columns text;
    excluded_columns text;
begin
    select
        t.entity,
        t.key
    into source, keys
    from etl.entity_table as t
    where t.name = target;
    execute format(
        'create or replace function live.%1$I(rows json)
        returns setof live.%2$I
        language sql
        stable
        as $$
        select l.*
        from json_populate_recordset(null::live.%2$I, rows) as l
        where %3$s
        $$',
        'received_' || target, target, etl.beyond_condition(source)
    );
    if target <> source then
        return;
    end if;
    select
        string_agg(format('%I', a.attname), ', ' order by a.attnum),
        string_agg(format('excluded.%I', a.attname), ', ' order by a.attnum)
    into columns, excluded_columns
    from pg_attribute as a
    where
        a.attrelid = format('live.%I', target)::regclass
        and a.attnum > 0
        and not a.attisdropped;
    execute format(
        'create or replace function live.%1$I(rows json)
        returns void
        language plpgsql
        as $$
        begin
            insert into live.%2$I as l (%3$s)
            select %3$s
            from live.%4$I(rows) as r
            on conflict (%5$s) do update set (%3$s) = row(%6$s)
            where (l._epoch, l._offset) < (excluded._epoch, excluded._offset);
        end
        $$',
        'put_' || target,
        target,
        columns,
        'received_' || target,
        (select string_agg(format('%I', k), ', ') from unnest(keys) as k),
        excluded_columns
    );
end
$make$;

drop function if exists etl.make_resolved_views();

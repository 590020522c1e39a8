-- Names that the rest of the field uses: judged is validated, a beat is a heartbeat that was sent,
-- the star is the warehouse. Functions of new names are made by their own files.
alter table etl.judged rename to validated;
alter table live.heartbeat rename column beat_at to sent_at;
alter table etl.lake_table rename column looked_at to measured_at;

drop function if exists etl.is_beyond_star(text, text, integer, integer, bigint);
drop function if exists etl.places_of(text);
drop function if exists live.touched_orders();

-- A view keeps the names of its columns when it is replaced.
do $$
declare
    renamed record;
begin
    for renamed in
        select *
        from (
            values
            ('mart.live_freshness', 'star_loaded_at', 'warehouse_loaded_at'),
            ('mart.data_freshness', 'looked_at', 'measured_at'),
            ('mart.data_freshness', 'looked_seconds_ago', 'measured_seconds_ago'),
            ('mart.quarantine_by_rule', 'looked_at', 'measured_at'),
            ('mart.losses', 'is_mended', 'is_resolved')
        ) as r (view_name, before, after)
        where exists (
            select from pg_attribute as a
            where a.attrelid = to_regclass(r.view_name) and a.attname = r.before
        )
    loop
        execute format(
            'alter view %s rename column %I to %I',
            renamed.view_name, renamed.before, renamed.after
        );
    end loop;
end
$$;

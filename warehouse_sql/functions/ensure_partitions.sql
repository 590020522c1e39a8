-- Creates the missing monthly partitions of a fact for these days. Days before 1970 and after 2199
-- stay in the default partition: they are typing errors. A table is created first and then
-- attached: this only locks writers out of the fact, and readers out of its default partition,
-- which Postgres searches for rows of that month. `create table … partition of` would lock readers
-- out of the whole fact. Storage parameters are those of the default partition.
create or replace function etl.ensure_partitions(fact regclass, days date[])
returns void
language plpgsql
as $$
declare
    month_start date;
    partition name;
    options text := (
        select coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', '')
        from pg_partition_tree(fact) as t
        inner join pg_class as c on t.relid = c.oid
        where pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'
    );
begin
    for month_start in
        select distinct date_trunc('month', d.day)::date
        from unnest(days) as d (day)
        where d.day >= date '1970-01-01' and d.day < date '2200-01-01'
        order by 1
    loop
        partition := (
            select c.relname || to_char(month_start, '_YYYY_MM')
            from pg_class as c
            where c.oid = fact
        );
        if to_regclass(format('mart.%I', partition)) is null then
            execute format(
                'create table mart.%I (like %s including all)%s',
                partition, fact, options
            );
            execute format(
                'alter table %s attach partition mart.%I for values from (%L) to (%L)',
                fact, partition, month_start, (month_start + interval '1 month')::date
            );
        end if;
    end loop;
end
$$;

-- Makes the monthly partitions of a fact for these days, where they are missing. Days before 1970
-- and after 2199 stay in the default partition: a slip of the keyboard is not worth a partition.
-- A table is made first and attached then: that keeps writers from the fact and readers only from
-- its default partition, which Postgres searches for rows of that month; made as a partition, it
-- would keep readers from all of the fact.
create or replace function etl.ensure_partitions(fact regclass, days date[])
returns void
language plpgsql
as $$
declare
    month_start date;
    partition name;
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
                'create table mart.%I (like %s including all)',
                partition, fact
            );
            execute format(
                'alter table %s attach partition mart.%I for values from (%L) to (%L)',
                fact, partition, month_start, (month_start + interval '1 month')::date
            );
        end if;
    end loop;
end
$$;

-- Lines and payments change a few times in the days after their order. With some room in each page,
-- the new state of a row stays beside the old one, and no index of it is written. Pages that are
-- full stay full.
do $$
declare
    partition regclass;
begin
    for partition in
        select t.relid
        from (values ('mart.fact_transactions'), ('mart.fact_payments')) as f (name)
        cross join pg_partition_tree(f.name::regclass) as t
        where t.isleaf
    loop
        execute format('alter table %s set (fillfactor = 90)', partition);
    end loop;
end
$$;

-- Least privilege: the simulator writes rows, the others read them. shop.tables has the key column
-- of each table of the shop: tables of other owners are not the simulator's, and only their owners
-- can grant them.
do $$
declare
    own record;
begin
    for own in
        select
            format('public.%I', t.key) as name,
            t.value as key_column
        from jsonb_each_text(current_setting('shop.tables')::jsonb) as t
    loop
        execute format('grant select, insert, update, delete on %s to simulator', own.name);
        execute format('grant select on %s to debezium, reconcile', own.name);
        execute format(
            'grant usage on sequence %s to simulator',
            pg_get_serial_sequence(own.name, own.key_column)
        );
    end loop;
end
$$;

grant select, insert on ledger.dirt to simulator;
grant select, insert, update on ledger.progress to simulator;
grant select on ledger.dirt, ledger.progress, ledger.applied_schema to reconcile;

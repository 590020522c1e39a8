-- Least privilege: the simulator writes rows, the others read them.
grant select, insert, update, delete on all tables in schema public to simulator;
grant usage on all sequences in schema public to simulator;
grant select on all tables in schema public to debezium, reconcile;

grant select, insert on ledger.dirt to simulator;
grant select, insert, update on ledger.progress to simulator;
grant select on ledger.dirt, ledger.progress, ledger.applied_schema to reconcile;

-- Run as superuser: the owner of the shop, and default privileges on future tables.
grant create, usage on schema public to shop_owner;
create schema if not exists ledger authorization shop_owner;

grant usage on schema public to simulator, debezium, reconcile;
grant usage on schema ledger to simulator, reconcile;

alter default privileges in schema public
grant select on tables to debezium, reconcile;
alter default privileges for role shop_owner in schema public
grant select on tables to debezium, reconcile;

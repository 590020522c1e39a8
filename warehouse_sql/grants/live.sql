-- The live consumer writes to the schema live, and only reads the tables that it computes from.
grant usage on schema entity, live, resolved, etl, mart to live;
grant select on all tables in schema entity, live, resolved, etl, mart to live;
alter default privileges in schema entity grant select on tables to live;
alter default privileges in schema live grant select on tables to live;
alter default privileges in schema resolved grant select on tables to live;
alter default privileges in schema mart grant select on tables to live;
grant insert, update, delete on all tables in schema live to live;
alter default privileges in schema live grant insert, update, delete on tables to live;

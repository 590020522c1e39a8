-- Charts only read the mart, freshness included.
revoke all on all tables in schema entity, live, resolved, etl from reader;
revoke all on schema entity, live, resolved, etl from reader;

grant usage on schema mart to reader;
grant select on all tables in schema mart to reader;
alter default privileges in schema mart grant select on tables to reader;

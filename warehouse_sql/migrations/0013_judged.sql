-- Grain: one row per table of silver's counts. What had been counted there, since it was made, when
-- the star was last published from it.
create table etl.judged (
    table_id text primary key,
    seen bigint not null,
    quarantined bigint not null
);

-- What a load keeps of itself. Written in the transaction of the rows it speaks of, runs and their
-- check results apart: those are kept of a load that failed, too.

-- Grain: one row per source table and bronze partition. All changes of that partition up to
-- last_offset, and all of earlier epochs, are in the star; what is beyond is not.
create table etl.watermark (
    entity text not null,
    topic_id text not null,
    epoch integer not null,
    partition integer not null,
    last_offset bigint not null,
    primary key (entity, topic_id, epoch, partition)
);

-- Grain: one row per silver table. The version of it that the star was made from.
create table etl.silver_version (
    silver_table text primary key,
    table_id text not null,
    version bigint not null
);

-- Grain: one row per load that had something to do, the failed ones included.
create table etl.run (
    run_id uuid primary key,
    kind text not null check (kind in ('load', 'rebuild')),
    outcome text not null check (outcome in ('published', 'stopped')),
    quarantine_share double precision,
    changed_rows bigint not null,
    started_at timestamptz not null,
    finished_at timestamptz not null
);

create index run_finished_at_idx on etl.run (finished_at);

-- Grain: one row per check of a load. offending_rows counts what it returned, examples are the
-- first of these.
create table etl.check_result (
    run_id uuid not null references etl.run (run_id) on delete cascade,
    check_name text not null,
    severity text not null check (severity in ('fail', 'warn')),
    offending_rows bigint not null,
    examples jsonb not null,
    primary key (run_id, check_name)
);

-- Grain: one row per materialized view that is behind the mart. Written with the load, so that a
-- view is refreshed even if the loader dies between the two.
create table etl.stale_view (
    view_name text primary key
);

-- A load is one transaction of the warehouse. What a person or Airflow starts is a run: it may hold
-- a load, or none.
alter table etl.run rename to load;
alter table etl.load rename column run_id to load_id;
alter index etl.run_pkey rename to load_pkey;
alter index etl.run_finished_at_idx rename to load_finished_at_idx;
alter table etl.check_result rename column run_id to load_id;

-- Grain: one row per run of a command that writes a layer, or per run of a DAG. Written while it
-- goes on. Its process holds an advisory lock of the run's number: a running one without it died.
create table etl.runs (
    run_number bigint generated always as identity primary key,
    run_id uuid not null unique,
    kind text not null check (
        kind in ('consolidation', 'replay', 'extraction', 'rebuild', 'maintenance', 'redrive')
    ),
    scope jsonb not null,
    code_version text not null,
    contract_version text not null,
    who text not null,
    outcome text not null check (outcome in ('running', 'succeeded', 'failed')),
    is_stepwise boolean not null,
    rows_read bigint,
    rows_written bigint,
    digest jsonb,
    details jsonb not null,
    message text,
    started_at timestamptz not null,
    noted_at timestamptz not null,
    finished_at timestamptz
);

create index runs_started_at_idx on etl.runs (started_at);

-- Grain: one row per table of the lake, as of the last look at it: how much, how far, how new.
create table etl.lake_table (
    layer text not null,
    table_name text not null,
    version bigint not null,
    row_count bigint,
    passed_offsets bigint,
    behind_offsets bigint,
    behind_versions bigint,
    newest_at timestamptz,
    looked_at timestamptz not null,
    primary key (layer, table_name)
);

-- Grain: one row per table of the shop and rule: what is in quarantine, by the rule broken first.
create table etl.quarantine_by_rule (
    entity text not null,
    rule text not null,
    changes bigint not null,
    keys bigint not null,
    oldest_at timestamptz,
    newest_at timestamptz,
    primary key (entity, rule)
);

-- Grain: one row per range of offsets that was lost and accepted as lost.
create table etl.loss (
    topic_id text not null,
    partition integer not null,
    first_offset bigint not null,
    kind text not null,
    topic text not null,
    last_offset bigint,
    explanation text not null,
    recorded_at timestamptz not null,
    primary key (topic_id, partition, first_offset, kind)
);

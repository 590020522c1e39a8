-- What the simulator knows of its own work. Outside the captured schema: the lake never sees it.

-- Grain: one row per value that was written wrong on purpose, with what it should have been.
-- The value stands wrong from row_version on, until a later version of the row changes it.
create table if not exists ledger.dirt (
    dirt_id bigint generated always as identity primary key,
    table_name text not null,
    row_key bigint not null,
    column_name text not null,
    fault text not null,
    dirty_value text,
    clean_value text,
    row_version bigint not null,
    written_at timestamptz not null default now()
);

-- Grain: one row per shop. transactions counts those committed; it is written in each of them, so
-- a commit whose answer was lost is looked up and not done again.
create table if not exists ledger.progress (
    shop text primary key,
    transactions bigint not null,
    orders bigint not null,
    last_timestamp_at timestamptz not null
);

-- Grain: one row. Which files made this schema, so that applying them again takes no lock.
create table if not exists ledger.applied_schema (
    is_only boolean primary key default true check (is_only),
    fingerprint text not null,
    applied_at timestamptz not null default now()
);

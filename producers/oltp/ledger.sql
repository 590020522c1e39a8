-- The simulator's records of its own work, outside the captured schema.

-- Grain: one row per value that was written wrong on purpose, with the correct value. The value is
-- wrong from row_version on, until a later version of the row changes it.
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

-- Grain: one row per shop. Each transaction increments transactions, so that a commit whose
-- response was lost is recognised and not repeated.
create table if not exists ledger.progress (
    shop text primary key,
    transactions bigint not null,
    orders bigint not null,
    last_timestamp_at timestamptz not null
);

-- Grain: one row. Fingerprint of the files that created this schema; unchanged files are not
-- applied again, which would take locks.
create table if not exists ledger.applied_schema (
    is_only boolean primary key default true check (is_only),
    fingerprint text not null,
    applied_at timestamptz not null default now()
);

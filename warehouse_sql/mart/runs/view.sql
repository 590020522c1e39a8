-- Grain: one row per run, for readers of charts: without messages, digests and details.
create or replace view mart.runs as
select
    r.run_number,
    r.kind,
    r.rows_read,
    r.rows_written,
    r.who,
    r.code_version,
    r.contract_version,
    r.started_at,
    r.finished_at,
    etl.scope_in_words(r.scope) as what,
    etl.run_outcome(r.run_number, r.outcome, r.is_stepwise, r.noted_at) as outcome,
    extract(epoch from coalesce(r.finished_at, r.noted_at) - r.started_at)::double precision
        as seconds
from etl.runs as r;

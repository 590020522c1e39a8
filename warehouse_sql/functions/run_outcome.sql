-- The outcome of a run. A running one holds the advisory lock of its number (see batch.runs); if
-- the lock is free, its process died. A stepwise run does not hold it between two steps: it counts
-- as interrupted only when its record was not written for longer than Airflow's pause between
-- retries.
create or replace function etl.run_outcome(
    run_number bigint, outcome text, is_stepwise boolean, noted_at timestamptz
)
returns text
language sql
stable
as $$
select case
    when run_outcome.outcome <> 'running' then run_outcome.outcome
    when exists (
        select
        from pg_locks as l
        where
            l.locktype = 'advisory'
            and l.granted
            and l.database = (
                select d.oid
                from pg_database as d
                where d.datname = current_database()
            )
            and l.classid::bigint = (hashtext('etl.runs')::bigint & 4294967295)
            and l.objid::bigint = run_outcome.run_number
            and l.objsubid = 2
    ) then 'running'
    when
        run_outcome.is_stepwise
        and run_outcome.noted_at > now() - interval '15 minutes' then 'running'
    else 'interrupted'
end
$$;

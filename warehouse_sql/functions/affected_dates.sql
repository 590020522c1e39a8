-- The days of the facts of affected keys, see batch/warehouse/affected.py. Declared immutable
-- although it reads a setting, because a load sets it once: the planner evaluates it once, uses the
-- days for estimates and prunes partitions, and the executor looks a row's day up in a hash table
-- instead of parsing the setting for each row.
create or replace function etl.affected_dates(fact text)
returns date[]
language sql
immutable
parallel safe
as $$
select current_setting('etl.affected_dates_' || fact)::date[]
$$;

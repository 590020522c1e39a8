-- The days on which a load finds the facts of the keys that it touches, see
-- load/affected_dates.sql. Called immutable, though it reads a setting, because a load sets it
-- once: so the planner computes it once, estimates with these very days and leaves out months
-- without any, and the executor looks a row's day up in a hash, where it would read the whole text
-- of the setting for each row.
create or replace function etl.affected_dates(fact text)
returns date[]
language sql
immutable
parallel safe
as $$
select current_setting('etl.affected_dates_' || fact)::date[]
$$;

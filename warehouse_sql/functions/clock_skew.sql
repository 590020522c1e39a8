-- Seconds by which the shop's clock is ahead of the warehouse's (negative: behind), from the delays
-- of the last heartbeats, newest first; null if there is no evidence. A single heartbeat from the
-- future is evidence. A late heartbeat may also have been delayed in the pipeline, so a clock
-- counts as behind only if many heartbeats have the same delay and the last one is not less late:
-- delays in the pipeline vary.
create or replace function etl.clock_skew(lateness double precision[])
returns double precision
language sql
immutable
as $$
select case
    when clock_skew.lateness[1] < -2 then -clock_skew.lateness[1]
    when
        cardinality(clock_skew.lateness) >= 30
        and m.newer > 10
        and clock_skew.lateness[1] > m.newer - 2
        and abs(m.newer - m.older) < 2 then -m.newer
end
from (
    select
        percentile_disc(0.5) within group (order by l.seconds) filter (where l.number <= 15)
            as newer,
        percentile_disc(0.5) within group (order by l.seconds) filter (where l.number > 15)
            as older
    from unnest(clock_skew.lateness) with ordinality as l (seconds, number)
) as m
$$;

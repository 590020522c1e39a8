-- How many seconds the shop's clock is ahead of the warehouse's (or behind, below 0), by how long
-- after its instant each of the last heartbeats came, newest first; null where nothing says so. A
-- heartbeat from the future says it alone. One that is late may have been held up instead, so of a
-- clock that is behind many have to be late by the same, and the last one not by less: what is held
-- up does not keep its distance.
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

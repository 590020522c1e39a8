-- When a heartbeat came, by the clock of the warehouse: that of the shop may be ahead or behind,
-- and one clock tells an age. The next beat, within seconds, fills in what is thrown away here. The
-- defaults are for a live consumer that was started before, and knows of neither.
delete from live.heartbeat;
alter table live.heartbeat
add column read_at timestamptz not null default now(),
add column lateness_seconds double precision[] not null default '{}';

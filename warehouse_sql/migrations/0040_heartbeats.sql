-- When a heartbeat came, by the warehouse's own clock: the shop's may be ahead or behind, and one
-- clock tells an age. The next beat, within seconds, fills in what is thrown away here.
delete from live.heartbeat;
alter table live.heartbeat
add column read_at timestamptz not null,
add column lateness_seconds double precision[] not null;

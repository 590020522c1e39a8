comment on view mart.live_freshness
is 'One row: delay of live charts behind the shop.';
comment on column mart.live_freshness.state
is 'live: at most 10 seconds behind; late: more; stopped: no heartbeat for a minute; clock: '
'heartbeats arrive, but clocks differ by more than 10 seconds, so that the delay is unknown; '
'full: live waits for a consolidation to free space.';
comment on column mart.live_freshness.seconds_behind
is 'Age of the newest heartbeat of the shop before which no change is missing, in seconds; a '
'heartbeat from the future counts from its arrival. Empty without any heartbeat.';
comment on column mart.live_freshness.last_heartbeat_at
is 'The newest heartbeat of the shop before which no change is missing, by the clock of the shop.';
comment on column mart.live_freshness.heartbeat_read_at
is 'When that heartbeat arrived, by the clock of the warehouse.';
comment on column mart.live_freshness.clock_ahead_seconds
is 'How far the shop''s clock is ahead of the warehouse''s, in seconds, by the heartbeats; if '
'negative, it is behind, or all heartbeats have the same delay. Empty if the clocks seem to agree.';
comment on column mart.live_freshness.last_change_at
is 'Commit time of the newest change by the shop''s clock; at most the time of its arrival.';
comment on column mart.live_freshness.last_order_at
is 'When the latest order was placed, by the clock of the shop.';
comment on column mart.live_freshness.warehouse_loaded_at
is 'When the warehouse was last published.';

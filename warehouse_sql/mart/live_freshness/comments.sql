comment on view mart.live_freshness
is 'One row: how far charts are behind the shop.';
comment on column mart.live_freshness.state
is 'live: at most 10 seconds behind; late: more; stopped: nothing has come for a minute; clock: '
'heartbeats come, but clocks are more than 10 seconds apart, so that it cannot be told how far '
'charts are behind; full: waits for a consolidation to make room.';
comment on column mart.live_freshness.seconds_behind
is 'Age of the newest heartbeat of the shop before which nothing is missing, in seconds; that of '
'one from the future counts from when it came. Empty if none was seen.';
comment on column mart.live_freshness.last_heartbeat_at
is 'When the shop''s heart heartbeat that is the newest before which nothing is missing, by the '
'clock '
'of the shop.';
comment on column mart.live_freshness.heartbeat_read_at
is 'When that heartbeat came, by the clock of the warehouse.';
comment on column mart.live_freshness.clock_ahead_seconds
is 'How far the shop''s clock is ahead of the warehouse''s, in seconds, by the heartbeats; below '
'0, it is behind, or every heartbeat is held up by the same. Empty where it seems right.';
comment on column mart.live_freshness.last_change_at
is 'When the newest change that has been seen was committed in the shop, by its clock; at the '
'latest, when it came.';
comment on column mart.live_freshness.last_order_at
is 'When the latest order was placed, by the clock of the shop.';
comment on column mart.live_freshness.warehouse_loaded_at
is 'When the warehouse was last published.';

comment on view mart.live_freshness
is 'One row: how far charts are behind the shop.';
comment on column mart.live_freshness.state
is 'live: at most 10 seconds behind; late: at most a minute; stopped: nothing comes; full: '
'waits for a consolidation to make room.';
comment on column mart.live_freshness.seconds_behind
is 'Age of the newest heartbeat of the shop before which nothing is missing, in seconds; '
'empty if none was seen.';
comment on column mart.live_freshness.last_heartbeat_at
is 'When the shop''s heart beat that is the newest before which nothing is missing.';
comment on column mart.live_freshness.last_change_at
is 'When the newest change that has been seen was committed in the shop.';
comment on column mart.live_freshness.last_order_at
is 'When the latest order was placed.';
comment on column mart.live_freshness.star_loaded_at
is 'When the star was last published.';

comment on view mart.data_freshness
is 'One row per layer and table: how far it has come, and how new it is.';
comment on column mart.data_freshness.layer
is 'bronze, silver, gold, warehouse or live.';
comment on column mart.data_freshness.table_name
is 'Its table; of warehouse and live, the shop''s.';
comment on column mart.data_freshness.passed_offsets
is 'Kafka offsets that it has passed, all partitions together; empty where it has none.';
comment on column mart.data_freshness.behind_offsets
is 'Offsets that bronze has and silver lacks; empty elsewhere.';
comment on column mart.data_freshness.behind_versions
is 'Versions of silver that gold lacks; empty elsewhere.';
comment on column mart.data_freshness.newest_at
is 'Of bronze and silver, when the newest row was made; of gold, when it last changed; of the '
'warehouse, when it was last published; of live, the newest heartbeat before which nothing is '
'missing.';
comment on column mart.data_freshness.measured_at
is 'As of when this is: the last look at the lake; of warehouse and live, now.';
comment on column mart.data_freshness.layer_number
is 'Place of the layer, from the shop on.';
comment on column mart.data_freshness.age_seconds
is 'How old the newest was when it was looked at, in seconds.';
comment on column mart.data_freshness.measured_seconds_ago
is 'How long ago that was, in seconds.';

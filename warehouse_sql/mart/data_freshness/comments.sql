comment on view mart.data_freshness
is 'One row per layer and table: its position, lag and age.';
comment on column mart.data_freshness.layer
is 'bronze, silver, gold, warehouse or live.';
comment on column mart.data_freshness.table_name
is 'The table; for warehouse and live, the shop''s table.';
comment on column mart.data_freshness.passed_offsets
is 'Kafka offsets that it has applied, summed over partitions; empty where it has none.';
comment on column mart.data_freshness.behind_offsets
is 'Offsets that silver is behind bronze; empty elsewhere.';
comment on column mart.data_freshness.behind_versions
is 'Versions that gold is behind silver; empty elsewhere.';
comment on column mart.data_freshness.newest_at
is 'Bronze and silver: commit time of the newest row; gold: last change; warehouse: last publish; '
'live: newest heartbeat before which no change is missing.';
comment on column mart.data_freshness.measured_at
is 'Time of the measurement: for the lake the last consolidation, for warehouse and live now.';
comment on column mart.data_freshness.layer_number
is 'Number of the layer, counted from the shop.';
comment on column mart.data_freshness.age_seconds
is 'Age of newest_at at the time of the measurement, in seconds.';
comment on column mart.data_freshness.measured_seconds_ago
is 'Time since the measurement, in seconds.';

comment on table etl.migration
is 'One row per file of warehouse_sql/ that was applied.';
comment on column etl.migration.name
is 'Its path there; comments are generated.';
comment on column etl.migration.checksum
is 'SHA-256 of what was applied.';
comment on column etl.migration.applied_at
is 'When.';
comment on table etl.watermark
is 'One row per source table and bronze partition: how far the star has come.';
comment on column etl.watermark.entity
is 'The shop''s table.';
comment on column etl.watermark.topic_id
is 'Kafka topic, by id.';
comment on column etl.watermark.epoch
is 'Epoch of that topic.';
comment on column etl.watermark.partition
is 'Partition of that topic.';
comment on column etl.watermark.last_offset
is 'The last offset whose effect is in the star.';
comment on table etl.silver_version
is 'One row per silver table: the version that the star was made from.';
comment on column etl.silver_version.silver_table
is 'Its name.';
comment on column etl.silver_version.table_id
is 'Delta''s id of it: another one is another history.';
comment on column etl.silver_version.version
is 'The version.';
comment on table etl.judged
is 'One row per table of silver''s counts: what it said when the star was last published.';
comment on column etl.judged.table_id
is 'Delta''s id of it: another one begins at nought.';
comment on column etl.judged.seen
is 'Changes that silver had judged, since ever.';
comment on column etl.judged.quarantined
is 'Those of them that it had put aside.';
comment on table etl.run
is 'One row per load that had something to do, the failed ones included.';
comment on column etl.run.run_id
is 'The load.';
comment on column etl.run.kind
is 'load: what changed; rebuild: everything.';
comment on column etl.run.outcome
is 'published, or stopped by a check.';
comment on column etl.run.quarantine_share
is 'Share of the changes since the last published load that were put aside; null without any.';
comment on column etl.run.changed_rows
is 'Rows of the entities that were new, other or gone.';
comment on column etl.run.started_at
is 'When it began.';
comment on column etl.run.finished_at
is 'When it ended.';
comment on table etl.check_result
is 'One row per check of a load.';
comment on column etl.check_result.run_id
is 'The load.';
comment on column etl.check_result.check_name
is 'The check, as in warehouse_sql/checks/.';
comment on column etl.check_result.severity
is 'fail stops the load, warn does not.';
comment on column etl.check_result.offending_rows
is 'How many rows it returned.';
comment on column etl.check_result.examples
is 'The first of these rows.';
comment on table etl.stale_view
is 'One row per materialized view of the mart that has to be refreshed.';
comment on column etl.stale_view.view_name
is 'The view.';

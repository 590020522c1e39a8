comment on table etl.migration
is 'One row per file of warehouse_sql/ that was applied.';
comment on column etl.migration.name
is 'Its path there; comments are generated.';
comment on column etl.migration.checksum
is 'SHA-256 of what was applied.';
comment on column etl.migration.applied_at
is 'When.';
comment on table etl.watermark
is 'One row per source table and bronze partition: how far the warehouse has come.';
comment on column etl.watermark.entity
is 'The shop''s table.';
comment on column etl.watermark.topic_id
is 'Kafka topic, by id.';
comment on column etl.watermark.epoch
is 'Epoch of that topic.';
comment on column etl.watermark.partition
is 'Partition of that topic.';
comment on column etl.watermark.last_offset
is 'The last offset whose effect is in the warehouse.';
comment on table etl.silver_version
is 'One row per silver table: the version that the warehouse was made from.';
comment on column etl.silver_version.silver_table
is 'Its name.';
comment on column etl.silver_version.table_id
is 'Delta''s id of it: another one is another history.';
comment on column etl.silver_version.version
is 'The version.';
comment on table etl.validated
is 'One row per table of silver''s counts: what it said when the warehouse was last published.';
comment on column etl.validated.table_id
is 'Delta''s id of it: another one begins at nought.';
comment on column etl.validated.seen
is 'Changes that silver had judged, since ever.';
comment on column etl.validated.quarantined
is 'Those of them that it had quarantined.';
comment on table etl.load
is 'One row per load that had something to do, the failed ones included.';
comment on column etl.load.load_id
is 'The load.';
comment on column etl.load.kind
is 'load: what changed; rebuild: everything.';
comment on column etl.load.outcome
is 'published, or stopped by a check.';
comment on column etl.load.quarantine_share
is 'Share of the changes since the last published load that were quarantined; null without any.';
comment on column etl.load.changed_rows
is 'Rows of the entities that were new, other or gone.';
comment on column etl.load.started_at
is 'When it began.';
comment on column etl.load.finished_at
is 'When it ended.';
comment on table etl.check_result
is 'One row per check of a load.';
comment on column etl.check_result.load_id
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
comment on table etl.stale_order
is 'One row per order whose facts the next load computes again, by a formula that is another now.';
comment on column etl.stale_order.order_id
is 'The order.';
comment on table etl.runs
is 'One row per run of a command that writes a layer, or of a DAG; the failed ones included.';
comment on column etl.runs.run_number
is 'Its number, in the order in which they began.';
comment on column etl.runs.run_id
is 'The run; of a DAG, made from the ids that Airflow gave it.';
comment on column etl.runs.kind
is 'consolidation, replay, extraction, rebuild, maintenance or redrive.';
comment on column etl.runs.scope
is 'What was asked for, and what that came to: layers, tables, offsets, instants, days.';
comment on column etl.runs.code_version
is 'First 12 digits of a SHA-256 of the code between Kafka and the warehouse.';
comment on column etl.runs.contract_version
is 'First 12 digits of a SHA-256 of all contracts and of what cleans by them.';
comment on column etl.runs.who
is 'User and machine, or airflow.';
comment on column etl.runs.outcome
is 'running, succeeded or failed. One that is running and whose process died was interrupted.';
comment on column etl.runs.is_stepwise
is 'Whether each of its steps is a process of its own, as in Airflow.';
comment on column etl.runs.rows_read
is 'Rows or changes that it applied from where it began; null where that says nothing.';
comment on column etl.runs.rows_written
is 'Rows that it inserted, changed or took away, in all layers; null where that says nothing.';
comment on column etl.runs.digest
is 'By table, a digest of its contents before and after; null where none was taken.';
comment on column etl.runs.details
is 'Figures by table or step.';
comment on column etl.runs.message
is 'Why it failed; null if it did not.';
comment on column etl.runs.started_at
is 'When it began.';
comment on column etl.runs.noted_at
is 'When this row was last written.';
comment on column etl.runs.finished_at
is 'When it ended; null while it has not, or if its process died.';
comment on table etl.lake_table
is 'One row per table of the lake, as of the last look at it.';
comment on column etl.lake_table.layer
is 'bronze, silver or gold.';
comment on column etl.lake_table.table_name
is 'Its name.';
comment on column etl.lake_table.version
is 'Its version in Delta.';
comment on column etl.lake_table.row_count
is 'Rows, those of deleted keys included; null where statistics do not say.';
comment on column etl.lake_table.passed_offsets
is 'Kafka offsets that it has passed, all partitions together; null where it has none.';
comment on column etl.lake_table.behind_offsets
is 'Offsets that the layer below has and it lacks; null where it is not measured in these.';
comment on column etl.lake_table.behind_versions
is 'Versions of silver that it lacks; null where it is not measured in these.';
comment on column etl.lake_table.newest_at
is 'When its newest row was made, or else when it last changed.';
comment on column etl.lake_table.measured_at
is 'When it was looked at.';
comment on table etl.quarantine_by_rule
is 'One row per table of the shop and rule: what silver has quarantined, as of the last look.';
comment on column etl.quarantine_by_rule.entity
is 'The shop''s table.';
comment on column etl.quarantine_by_rule.rule
is 'The rule that was broken first.';
comment on column etl.quarantine_by_rule.changes
is 'Changes quarantined.';
comment on column etl.quarantine_by_rule.keys
is 'Rows of the shop that these changes are of.';
comment on column etl.quarantine_by_rule.oldest_at
is 'When Kafka got the oldest of them.';
comment on column etl.quarantine_by_rule.newest_at
is 'When Kafka got the newest of them.';
comment on table etl.loss
is 'One row per range of offsets that was lost, and one per range that was read again since.';
comment on column etl.loss.topic_id
is 'Kafka topic, by id.';
comment on column etl.loss.partition
is 'Partition of that topic.';
comment on column etl.loss.first_offset
is 'First offset that is missing; of a mending, that of its loss.';
comment on column etl.loss.kind
is 'expired, beyond_end, recreated, repartitioned, slot_lost, truncated; or read_again, a mending.';
comment on column etl.loss.topic
is 'Kafka topic, by name.';
comment on column etl.loss.last_offset
is 'Last offset that is missing; null where nobody can know it. Of a mending, the last one read.';
comment on column etl.loss.explanation
is 'What was found, in words.';
comment on column etl.loss.recorded_at
is 'When somebody accepted it, or all was read again.';
comment on table etl.unknown_value
is 'One row per table of the shop, column and value that is in no list of the contract; of each '
'column, the most frequent ones.';
comment on column etl.unknown_value.entity
is 'The shop''s table.';
comment on column etl.unknown_value.column_name
is 'The shop''s column.';
comment on column etl.unknown_value.value
is 'What the shop says there; its first 100 characters.';
comment on column etl.unknown_value.row_count
is 'Rows of the shop that count as unknown by it.';
comment on column etl.unknown_value.example_key
is 'Key of one of them, the lowest.';
comment on column etl.unknown_value.silver_version
is 'The version of silver in which they were counted.';

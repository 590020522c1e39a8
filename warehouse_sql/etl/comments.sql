comment on table etl.migration
is 'One row per file of warehouse_sql/ that was applied.';
comment on column etl.migration.name
is 'Path of the file in warehouse_sql/; generated comments have none.';
comment on column etl.migration.checksum
is 'SHA-256 of the applied statements.';
comment on column etl.migration.applied_at
is 'When it was applied.';
comment on table etl.watermark
is 'One row per source table and bronze partition: the watermark of the warehouse.';
comment on column etl.watermark.entity
is 'The shop''s table.';
comment on column etl.watermark.topic_id
is 'Kafka topic, by id.';
comment on column etl.watermark.epoch
is 'Epoch of that topic.';
comment on column etl.watermark.partition
is 'Partition of that topic.';
comment on column etl.watermark.last_offset
is 'The last offset that the warehouse has applied.';
comment on table etl.silver_version
is 'One row per silver table: the version that the warehouse was loaded from.';
comment on column etl.silver_version.silver_table
is 'Its name.';
comment on column etl.silver_version.table_id
is 'Delta''s id of the table; it changes when the table is recreated.';
comment on column etl.silver_version.version
is 'The version.';
comment on table etl.validated
is 'One row per silver table that counts validated changes: its totals at the last publish.';
comment on column etl.validated.table_id
is 'Delta''s id of the table; when it is recreated, totals start from zero.';
comment on column etl.validated.seen
is 'Changes that silver has validated, in total.';
comment on column etl.validated.quarantined
is 'Changes that silver has quarantined, in total.';
comment on table etl.load
is 'One row per load that had changes to apply, failed ones included.';
comment on column etl.load.load_id
is 'The load.';
comment on column etl.load.kind
is 'load: changes since the last one; rebuild: all rows.';
comment on column etl.load.outcome
is 'published, or stopped by a check.';
comment on column etl.load.quarantine_share
is 'Share of the changes since the last published load that were quarantined; null without any.';
comment on column etl.load.changed_rows
is 'Rows of the entities that were inserted, updated or deleted.';
comment on column etl.load.started_at
is 'When it started.';
comment on column etl.load.finished_at
is 'When it ended.';
comment on table etl.check_result
is 'One row per check of a load.';
comment on column etl.check_result.load_id
is 'The load.';
comment on column etl.check_result.check_name
is 'The check, by name.';
comment on column etl.check_result.severity
is 'fail stops the load, warn does not.';
comment on column etl.check_result.offending_rows
is 'Number of rows that it returned.';
comment on column etl.check_result.examples
is 'The first of these rows.';
comment on table etl.stale_view
is 'One row per materialized view of the mart that has to be refreshed.';
comment on column etl.stale_view.view_name
is 'The view.';
comment on table etl.stale_order
is 'One row per order whose facts the next load recomputes, because a formula has changed.';
comment on column etl.stale_order.order_id
is 'The order.';
comment on table etl.runs
is 'One row per run of a command that writes to a layer, or of a DAG; failed ones included.';
comment on column etl.runs.run_number
is 'Number of the run, in order of their start.';
comment on column etl.runs.run_id
is 'Id of the run; of a DAG run, derived from Airflow''s ids.';
comment on column etl.runs.kind
is 'consolidation, replay, extraction, rebuild, maintenance or redrive.';
comment on column etl.runs.scope
is 'Arguments of the run as resolved: layers, tables, offsets, instants, days.';
comment on column etl.runs.code_version
is 'First 12 digits of a SHA-256 of the code between Kafka and the warehouse.';
comment on column etl.runs.contract_version
is 'First 12 digits of a SHA-256 of all contracts and of the cleaning code.';
comment on column etl.runs.who
is 'User and machine, or airflow.';
comment on column etl.runs.outcome
is 'running, succeeded or failed. A running one whose process died counts as interrupted.';
comment on column etl.runs.is_stepwise
is 'Whether each step is a separate process, as in Airflow.';
comment on column etl.runs.rows_read
is 'Rows or changes that were read from the first layer; null where this does not apply.';
comment on column etl.runs.rows_written
is 'Rows inserted, updated or deleted in all layers; null where this does not apply.';
comment on column etl.runs.digest
is 'By table, a digest of its contents before and after; null where none was computed.';
comment on column etl.runs.details
is 'Metrics by table or step.';
comment on column etl.runs.message
is 'Why it failed; null if it did not.';
comment on column etl.runs.started_at
is 'When it started.';
comment on column etl.runs.noted_at
is 'When this row was last written.';
comment on column etl.runs.finished_at
is 'When it ended; null while it runs, or if its process died.';
comment on table etl.lake_table
is 'One row per table of the lake, as of the last measurement.';
comment on column etl.lake_table.layer
is 'bronze, silver or gold.';
comment on column etl.lake_table.table_name
is 'Its name.';
comment on column etl.lake_table.version
is 'Delta version of the table.';
comment on column etl.lake_table.row_count
is 'Rows, including those of deleted keys; null without statistics.';
comment on column etl.lake_table.passed_offsets
is 'Kafka offsets that it has applied, summed over partitions; null where it has none.';
comment on column etl.lake_table.behind_offsets
is 'Offsets behind the layer below; null where lag is not measured in offsets.';
comment on column etl.lake_table.behind_versions
is 'Versions behind silver; null where lag is not measured in versions.';
comment on column etl.lake_table.newest_at
is 'Commit time of its newest row in the shop, or else when the table last changed.';
comment on column etl.lake_table.measured_at
is 'When it was measured.';
comment on table etl.quarantine_by_rule
is 'One row per table of the shop and rule: quarantined changes, as of the last measurement.';
comment on column etl.quarantine_by_rule.entity
is 'The shop''s table.';
comment on column etl.quarantine_by_rule.rule
is 'The rule that was broken first.';
comment on column etl.quarantine_by_rule.changes
is 'Number of quarantined changes.';
comment on column etl.quarantine_by_rule.keys
is 'Number of rows of the shop that have such changes.';
comment on column etl.quarantine_by_rule.oldest_at
is 'When the oldest of them was written to Kafka.';
comment on column etl.quarantine_by_rule.newest_at
is 'When the newest of them was written to Kafka.';
comment on table etl.loss
is 'One row per lost range of offsets, and one per range that was resolved by an extraction.';
comment on column etl.loss.topic_id
is 'Kafka topic, by id.';
comment on column etl.loss.partition
is 'Partition of that topic.';
comment on column etl.loss.first_offset
is 'First missing offset; of a resolution, that of its loss.';
comment on column etl.loss.kind
is 'expired, beyond_end, recreated, repartitioned, slot_lost, truncated; or read_again, a '
'resolution.';
comment on column etl.loss.topic
is 'Kafka topic, by name.';
comment on column etl.loss.last_offset
is 'Last missing offset; null where it is unknown. Of a resolution, the last offset read.';
comment on column etl.loss.explanation
is 'Explanation in words.';
comment on column etl.loss.recorded_at
is 'When the loss was accepted, or the table was read again.';
comment on table etl.unknown_value
is 'One row per table of the shop, column and value that the contract does not list; the most '
'frequent values of each column.';
comment on column etl.unknown_value.entity
is 'The shop''s table.';
comment on column etl.unknown_value.column_name
is 'The shop''s column.';
comment on column etl.unknown_value.value
is 'The shop''s value; its first 100 characters.';
comment on column etl.unknown_value.row_count
is 'Rows of the shop with this value, which count as unknown.';
comment on column etl.unknown_value.example_key
is 'Lowest key of these rows.';
comment on column etl.unknown_value.silver_version
is 'The version of silver in which they were counted.';
comment on table etl.entity_table
is 'One row per table of the schema entity.';
comment on column etl.entity_table.name
is 'The table.';
comment on column etl.entity_table.entity
is 'The shop''s table that it is made from.';
comment on column etl.entity_table.key
is 'Its key.';
comment on column etl.entity_table.is_live
is 'Whether live has a table of the same name.';

comment on view mart.quarantine_by_rule
is 'One row per table of the shop and rule: quarantined changes, as of the last measurement.';
comment on column mart.quarantine_by_rule.entity
is 'The shop''s table.';
comment on column mart.quarantine_by_rule.rule
is 'The rule that was broken first.';
comment on column mart.quarantine_by_rule.changes
is 'Number of quarantined changes.';
comment on column mart.quarantine_by_rule.keys
is 'Number of rows of the shop that have such changes.';
comment on column mart.quarantine_by_rule.oldest_at
is 'When the oldest of them was written to Kafka.';
comment on column mart.quarantine_by_rule.newest_at
is 'When the newest of them was written to Kafka.';
comment on column mart.quarantine_by_rule.measured_at
is 'When the lake was measured.';

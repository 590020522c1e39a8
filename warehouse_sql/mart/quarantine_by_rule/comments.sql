comment on view mart.quarantine_by_rule
is 'One row per table of the shop and rule: what was in quarantine at the last look.';
comment on column mart.quarantine_by_rule.entity
is 'The shop''s table.';
comment on column mart.quarantine_by_rule.rule
is 'The rule that was broken first.';
comment on column mart.quarantine_by_rule.changes
is 'Changes quarantined.';
comment on column mart.quarantine_by_rule.keys
is 'Rows of the shop that these changes are of.';
comment on column mart.quarantine_by_rule.oldest_at
is 'When Kafka got the oldest of them.';
comment on column mart.quarantine_by_rule.newest_at
is 'When Kafka got the newest of them.';
comment on column mart.quarantine_by_rule.measured_at
is 'When the lake was looked at.';

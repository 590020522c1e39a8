comment on view mart.losses
is 'One row per range of offsets that was lost and accepted as lost, as of the last look.';
comment on column mart.losses.topic
is 'Kafka topic, by name.';
comment on column mart.losses.partition
is 'Partition of that topic.';
comment on column mart.losses.first_offset
is 'First offset that is missing.';
comment on column mart.losses.last_offset
is 'Last offset that is missing; empty where nobody can know it, as of a slot that was lost.';
comment on column mart.losses.offsets
is 'How many: not every offset held a change; empty where nobody can know it.';
comment on column mart.losses.kind
is 'expired, beyond_end, recreated, repartitioned, slot_lost or truncated.';
comment on column mart.losses.explanation
is 'What was found, in words.';
comment on column mart.losses.recorded_at
is 'When somebody accepted it.';
comment on column mart.losses.is_resolved
is 'Whether all rows were read again since; only what the slot lost or a TRUNCATE ended can be.';

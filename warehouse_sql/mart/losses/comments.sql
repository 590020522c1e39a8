comment on view mart.losses
is 'One row per range of offsets that was accepted as lost, as of the last measurement.';
comment on column mart.losses.topic
is 'Kafka topic, by name.';
comment on column mart.losses.partition
is 'Partition of that topic.';
comment on column mart.losses.first_offset
is 'First missing offset.';
comment on column mart.losses.last_offset
is 'Last missing offset; empty where it is unknown, as for a lost slot.';
comment on column mart.losses.offsets
is 'Number of offsets, not all of which held a change; empty where it is unknown.';
comment on column mart.losses.kind
is 'expired, beyond_end, recreated, repartitioned, slot_lost or truncated.';
comment on column mart.losses.explanation
is 'Explanation in words.';
comment on column mart.losses.recorded_at
is 'When the loss was accepted.';
comment on column mart.losses.is_resolved
is 'Whether all rows were read again since; possible for slot_lost and truncated only.';
